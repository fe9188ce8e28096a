"""Context: everything that a side is opened with, and the weights that it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from porter.catalog.goldens import Recorded, seeded_checkpoint
from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.formats.checkpoint import Checkpoint
from porter.formats.input_digests import Inputs
from porter.mapping.table import Table
from porter.mapping.translate import Options


@dataclass(frozen=True)
class Context:
    """What a side is opened with.

    ``size`` is the side of the input images. ``checkpoint`` and ``options`` are the user's. ``golden`` is the golden
    that one of the two sides is, None without one. ``endpoints`` maps endpoints to places in the user's network.
    ``inputs`` collects the files that are read.
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

    def weights(self) -> tuple[Checkpoint, Options]:
        """Return the weights of this comparison: the golden's name-seeded ones, else the checkpoint's.

        Raises PorterError where there are none.
        """
        if self.golden is not None:
            return seeded_checkpoint(self.golden), Options()
        if self.checkpoint is None:
            raise PorterError("there are no weights to port: give `checkpoint`, or name the other side in `candidate`")
        return self.checkpoint, self.options
