"""Side: one side of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from porter.catalog.models import Arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.dialects import ORIGINAL
from porter.mapping.translate import Options, translate
from porter.runners.runner import Runner

ReadWeights = Callable[[], Mapping[str, np.ndarray] | None]
"""Reads a side's tensors, by their names and in the axis order of the original; None where the file has other tensors.

Raises PorterError if it cannot.
"""


@dataclass(frozen=True)
class Side:
    """A runner, its key in a result's ``ports``, and a title that describes it; ``""`` for a port of porter's.

    ``weights`` reads the tensors that it computes with, None where porter does not know them.
    """

    name: str
    title: str
    runner: Runner
    weights: ReadWeights | None = None


def original_weights(
    checkpoint: Checkpoint, arch: Arch, dialect: str, options: Options | None = None
) -> Mapping[str, np.ndarray] | None:
    """Return the tensors of a ``checkpoint`` in ``dialect`` under the original's names, each read on demand.

    Return None where the file does not have them as the original does: folded batch norms have other kernels.
    """
    translation = translate(checkpoint, arch, dialect, ORIGINAL, options or Options())
    return None if translation.made else translation.as_checkpoint(checkpoint)
