"""What a side is opened with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import Arch
from porter.formats.checkpoint import Checkpoint
from porter.formats.input_digests import Inputs
from porter.mapping.table import Table
from porter.mapping.translate import Options


@dataclass(frozen=True)
class Context:
    """What a spec is read with. ``beside`` is the spec of the other side, ``endpoints`` a user's table of names.

    ``inputs`` gathers the files that are read.
    """

    arch: Arch
    table: Table
    size: int
    checkpoint: Checkpoint | None = None
    options: Options = field(default_factory=Options)
    trust_graph: bool = False
    beside: str | None = None
    endpoints: Mapping[str, str] | str | Path | None = None
    inputs: Inputs = field(default_factory=Inputs)


def weights_for(context: Context) -> dict[str, np.ndarray] | None:
    """Return the TensorFlow variables that a user's builder gets: the golden's beside one, else the checkpoint's."""
    from porter.mapping.translate import translate

    if context.beside == "golden":
        return dict(seeded_checkpoint(recorded(context.arch.name)))
    if context.checkpoint is None:
        return None
    taken = translate(context.checkpoint, context.arch, "tf", "tf", context.options).taken
    return {name: context.checkpoint[stored] for name, stored in taken.items()}
