"""Layer: what several ops compute together, such as a convolution with its bias, batch norm and activation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from porter.graph.shapes import Shape, size_text

CONVOLUTIONS = frozenset({"conv", "depthwise", "separable", "dense", "transposed conv"})

ROW = "expand dims"
"""The kind of a layer that makes an image of one row, for a convolution of one axis."""
RNN, LOOP = "rnn", "while loop"
LOOPS = frozenset({RNN, LOOP})
"""The kinds of a loop with a recurrent cell, and of any other, which is the op of a whole loop's node too."""


@dataclass(eq=False)
class Layer:
    """One layer of a network.

    ``kind`` is a word such as conv, add or avg pool, or the op's own name. ``nodes`` lists the layer's nodes, and
    ``end`` names the one that computes its output. ``inputs`` are layers, or names of the graph's inputs.

    Shapes are TensorFlow's, for a batch of one; kernels, strides and dilations are (height, width). ``padding`` is
    TensorFlow's word or the explicit pads. ``before`` is an activation in front of the layer. ``norm`` is batch norm or
    another kind, and ``epsilon`` belongs to it. ``numbers`` are those of idioms, such as slope, rate or groups.
    ``multiply_adds`` counts for a batch of one and is None if a shape is unknown.
    """

    name: str
    kind: str
    nodes: list[str]
    inputs: list[Layer | str] = field(default_factory=list, repr=False)  # else a layer's repr contains the network
    shape: Shape = None
    kernel: tuple[int | None, ...] = ()
    strides: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    padding: str = ""
    before: str = ""
    norm: str = ""
    bias: bool = False
    activation: str = ""
    in_channels: int | None = None
    channels: int | None = None
    epsilon: float | None = None
    detail: str = ""
    variables: list[str] = field(default_factory=list)
    parameters: int = 0
    multiply_adds: int | None = 0
    end: str = ""
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The layer without channels and sizes. Layers of repeated blocks have equal labels."""
        if self.kind == "activation":
            return self.activation
        parts = [self.before and f"{self.before} >", self.kind, size_text(self.kernel)]
        if self.kind in CONVOLUTIONS:
            parts += ["bias" if self.bias else "", "bn" if self.norm == "batch norm" else self.norm]
        if self.kind in LOOPS:
            parts.append(f"({_cell(self.detail)})")
        return " ".join(part for part in (*parts, self.activation) if part)


def _cell(detail: str) -> str:
    """Return a loop's cell and steps without its sizes: ``LSTM cell, 6 steps`` of ``LSTM cell of dense …, 6 steps``."""
    cell, of, sizes = detail.partition(" of ")
    return f"{cell}, {sizes.rpartition(', ')[2]}" if of else detail


def total(layers: Iterable[Layer]) -> tuple[int, int | None]:
    """Return the parameters of ``layers`` and their multiply-adds, which are None if one layer's are unknown."""
    layers = list(layers)
    products = [layer.multiply_adds for layer in layers if layer.multiply_adds is not None]
    return sum(layer.parameters for layer in layers), sum(products) if len(products) == len(layers) else None


def spatial(shape: Shape) -> str:
    """Return a shape without its batch: ``42x42x1008``; of three axes, the first may count steps, and is shown."""
    if shape is None:
        return "?"
    if len(shape) == 3 and shape[1] == 1 and shape[0] != 1:
        return size_text(shape)
    return size_text(shape[1:] if len(shape) > 1 else shape) or "scalar"
