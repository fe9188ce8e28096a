"""A table's expanded rows: layers and endpoints with their names in every dialect."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from porter.mapping.dialects import Dialect
from porter.mapping.kinds import Tensor, leaves_of


class Named(NamedTuple):
    """One tensor of a layer in one dialect: its whole name, its axis order, and what its kind says of it."""

    name: str
    axes: str
    tensor: Tensor


@dataclass(frozen=True)
class Layer:
    """One layer. ``id`` is that of its row, which several layers share where the row goes over axes.

    ``names`` holds each dialect's name, followed by the names that older files have. ``kinds`` holds the dialects
    in which the layer has another kind than ``kind``, ``lacks`` the roles that a dialect's layer does not have. A
    ``head`` has the classes as its axis O, a layer of the ``foreground`` those but the background. ``part`` is the
    optional part that the layer belongs to. A ``sized`` kernel covers a whole map: its H and W follow from the size of
    the images. The ``stem`` reads the images: its axis I has their channels.
    """

    id: str
    kind: str
    names: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str] = field(default_factory=dict)
    lacks: Mapping[str, Collection[str]] = field(default_factory=dict)
    head: bool = False
    part: str | None = None
    sized: bool = False
    stem: bool = False
    foreground: bool = False

    def kind_in(self, dialect: str) -> str:
        """Return the layer's kind in ``dialect``."""
        return self.kinds.get(dialect, self.kind)

    def tensors(self, dialect: Dialect, spelling: int = 0) -> Mapping[str, Named]:
        """Return the layer's tensors in ``dialect`` by role: none where the dialect does not have the layer.

        ``spelling`` 0 gives today's names, 1 and more those of older files.
        """
        key = dialect.name, spelling
        if key not in self._expanded:
            self._expanded[key] = {named.tensor.role: named for named in self.expand(dialect, spelling)}
        return self._expanded[key]

    def expand(self, dialect: Dialect, spelling: int = 0) -> Iterator[Named]:
        """Yield the layer's tensors in ``dialect``, as ``tensors`` has them, and keep none of them."""
        names, lacking = self.names.get(dialect.name, ()), self.lacks.get(dialect.name, ())
        for name in names[spelling : spelling + 1]:
            for tensor, leaf in leaves_of(self.kind_in(dialect.name), dialect):
                if tensor.role not in lacking:
                    yield Named(dialect.join(name, leaf.name), leaf.axes, tensor)

    @cached_property
    def _expanded(self) -> dict[tuple[str, int], Mapping[str, Named]]:
        """What ``tensors`` has returned; a layer belongs to one table, which has one record of each dialect."""
        return {}


class Endpoint(NamedTuple):
    """A named activation: slim's name, and where each dialect computes it.

    ``logits`` marks the output of a classifier. ``scores`` marks the outputs of a detector's head: class scores of many
    boxes, not of the image. ``softmax`` names the endpoint whose softmax this is, for dialects that do not compute it.
    ``part`` is the optional part that computes it. ``cropped`` is the original's node that reads crops of this map,
    one for each box that a detector proposes; the recorded graph and the ports read the whole map there. ``inner``
    marks a map inside of a block or head whose name does not say so: a feature network passes it over.
    """

    name: str
    where: Mapping[str, str]
    logits: bool = False
    softmax: str | None = None
    part: str | None = None
    scores: bool = False
    cropped: str | None = None
    inner: bool = False

    @property
    def of_head(self) -> bool:
        """Whether the head computes it, so that its values follow from the head's classes."""
        return self.logits or self.scores


class Pair(NamedTuple):
    """One tensor in two dialects. See Layer for ``head``, ``part``, ``sized``, ``stem`` and ``foreground``."""

    source: str
    source_axes: str
    target: str
    target_axes: str
    kind: str
    trainable: bool
    head: bool
    variance: bool = False
    part: str | None = None
    sized: bool = False
    stem: bool = False
    foreground: bool = False


class Lone(NamedTuple):
    """A tensor that one dialect has and another lacks, where it has the value ``fill``.

    ``own`` pairs the tensor with itself. ``beside`` are the layer's tensors that both dialects have, paired from the
    dialect that lacks this one to the dialect that has it.
    """

    own: Pair
    role: str
    fill: float
    beside: tuple[Pair, ...]


def pair(layer: Layer, source: Named, target: Named, dialect: str) -> Pair:
    """Return the pair of one tensor of ``layer``; ``dialect`` is that of ``source``."""
    return Pair(
        source.name,
        source.axes,
        target.name,
        target.axes,
        layer.kind_in(dialect),
        source.tensor.trainable,
        layer.head,
        source.tensor.variance,
        layer.part,
        layer.sized,
        layer.stem and "I" in source.axes,  # of the stem's tensors, the kernel reads the images
        layer.foreground,
    )
