"""Context: everything that a side is opened with, and the weights that it gets."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from porter.catalog.goldens import Recorded, seeded_checkpoint
from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.formats.checkpoint import Checkpoint
from porter.formats.input_digests import Inputs
from porter.mapping.dialects import ORIGINAL
from porter.mapping.shapes import IMAGE_CHANNELS
from porter.mapping.table import Table
from porter.mapping.translate import Options, Translation, translate


class Weights(NamedTuple):
    """A checkpoint, the dialect of its names, and how to read it."""

    checkpoint: Checkpoint
    source: str
    options: Options


@dataclass(frozen=True)
class Context:
    """What a side is opened with.

    ``size`` is the side of the input images. ``checkpoint`` and ``options`` are the user's; ``source`` is the dialect
    of the checkpoint's names. ``golden`` is the golden
    that one of the two sides is, None without one. ``endpoints`` maps endpoints to places in the user's network.
    ``inputs`` collects the files that are read. ``tag`` chooses among a SavedModel's graphs, see read_graph.
    ``in_channels`` are the images' channels, None if they are to be found.
    """

    arch: Arch
    table: Table
    size: int
    checkpoint: Checkpoint | None = None
    options: Options = field(default_factory=Options)
    trust_graph: bool = False
    golden: Recorded | None = None
    endpoints: Mapping[str, str] | str | Path | None = None
    inputs: Inputs = field(default_factory=Inputs)
    tag: str | None = None
    in_channels: int | None = None
    source: str = ORIGINAL

    @cached_property
    def channels(self) -> int:
        """The number of channels of the images that the checkpoint's network reads, three where that is unknown."""
        if self.in_channels is not None:
            return self.in_channels
        if self.checkpoint is not None and self.golden is None:
            with suppress(PorterError):  # the side that needs the checkpoint says what is wrong with it
                return translate(self.checkpoint, self.arch, self.source, self.source, self.options).in_channels
        return IMAGE_CHANNELS

    def weights(self) -> Weights:
        """Return the weights of this comparison: the golden's name-seeded ones, else the checkpoint's.

        Raises PorterError where there are none.
        """
        if self.golden is not None:
            parts = self.table.parts_in(ORIGINAL, self.golden.variables)
            return Weights(seeded_checkpoint(self.golden), ORIGINAL, Options(parts=parts))
        if self.checkpoint is None:
            raise PorterError("there are no weights to port: give `checkpoint`, or name the other side in `candidate`")
        return Weights(self.checkpoint, self.source, self.options)

    def translation(self, dialect: str) -> Translation:
        """Return the translation of this comparison's weights to ``dialect``."""
        weights = self.weights()
        if self.golden is not None:  # a library without the golden's auxiliary head computes all else
            held = self.table.parts_of(dialect)
            parts = [part for part in weights.options.parts if part in held]
            weights = weights._replace(options=replace(weights.options, parts=parts))
        return translate(weights.checkpoint, self.arch, weights.source, dialect, weights.options)

    def tensors(self, dialect: str) -> Checkpoint:
        """Return the weights of this comparison under the names of ``dialect``."""
        return self.translation(dialect).as_checkpoint(self.weights().checkpoint)
