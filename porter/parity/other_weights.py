"""other_weights: whether two sides that diverge have the same weights, tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.formats.checkpoint import Checkpoint
from porter.mapping.dialects import ORIGINAL
from porter.mapping.translate import Options
from porter.runners.side import Side, original_weights

VALUES = {"raw": "raw values", "ema": "moving averages"}
"""What ``average`` takes of a checkpoint."""

Weights = Mapping[str, np.ndarray]


def other_weights(
    reference: Side, candidate: Side, arch: Arch, checkpoint: Checkpoint | None, options: Options
) -> str | None:
    """Return how the weights of two sides differ; None where they are the same or porter does not know them.

    ``checkpoint`` is one that may have both raw values and averages: the sentence says which each side has.
    """
    if reference.weights is None or candidate.weights is None:
        return None
    try:
        theirs, ours = reference.weights(), candidate.weights()
        return None if theirs is None or ours is None else _sentence(theirs, ours, arch, checkpoint, options)
    except PorterError:  # a graph may hold its weights in a form that only TensorFlow unfolds
        return None


def _sentence(
    theirs: Weights, ours: Weights, arch: Arch, checkpoint: Checkpoint | None, options: Options
) -> str | None:
    both = [name for name in theirs if name in ours]
    changed = [name for name in both if not np.array_equal(theirs[name], ours[name], equal_nan=True)]
    if not changed:
        return None
    if len(changed) == 1:
        return f"other weights: 1 of {len(both)} tensors differs: {changed[0]}"
    found = f"other weights: {len(changed)} of {len(both)} tensors differ"
    kinds = None if checkpoint is None else _kinds(theirs, ours, arch, checkpoint, options)
    if checkpoint is None or kinds is None:
        return found
    return (
        f"{found}, because the reference has the {VALUES[kinds[0]]} of {checkpoint.path.name}, and the port has its "
        f'{VALUES[kinds[1]]}: take `average="{kinds[0]}"`'
    )


def _kinds(
    theirs: Weights, ours: Weights, arch: Arch, checkpoint: Checkpoint, options: Options
) -> tuple[str, str] | None:
    """Return which values of the checkpoint each side has; None where a side has others, or both have the same."""
    found: dict[str, str] = {}
    for average in VALUES:
        try:
            values = original_weights(checkpoint, arch, ORIGINAL, replace(options, average=average))
        except PorterError:  # it lacks these values
            return None
        for side, weights in (("theirs", theirs), ("ours", ours)):
            if values and all(np.array_equal(weights[n], values[n], equal_nan=True) for n in weights if n in values):
                found.setdefault(side, average)
    if len(found) < 2 or found["theirs"] == found["ours"]:
        return None
    return found["theirs"], found["ours"]
