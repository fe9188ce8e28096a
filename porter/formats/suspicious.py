"""Sanity checks on weights: values that are not finite, negative variances, implausibly large values, and statistics
that no training ever updated.

porter reports them and goes on: the checkpoint of a training that broke down is still a checkpoint.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from porter.formats.checkpoint import Entry

_LARGEST = 1e8
"""No weight of a released model comes near it; a flip of the second highest exponent bit exceeds it."""
NEVER_UPDATED = "statistics"
"""The key of the sentence on statistics that no training ever updated."""


class Findings(dict[str, str]):
    """One sentence for each tensor that fails a check when it is read, by the tensor's name.

    ``untouched`` tells of each watched moving mean and variance whether it still has its first value; None before it
    is read. Where all still have it, the sentence has the key NEVER_UPDATED.
    """

    def __init__(self) -> None:
        super().__init__()
        self.untouched: dict[str, bool | None] = {}


def watch(entry: Entry, name: str, variance: bool, findings: Findings, statistic: bool = False) -> Entry:
    """Return the entry ``name``; reading it adds a sentence to ``findings`` if its values fail a check.

    A ``statistic`` is a batch norm's moving mean, or its moving ``variance``.
    """
    if statistic:
        findings.untouched[name] = None
    return Entry(entry.shape, entry.dtype, partial(_watched, entry, name, variance, findings))


def _watched(entry: Entry, name: str, variance: bool, findings: Findings) -> np.ndarray:
    values = entry.load()
    found = failed_check(values, variance)
    if found:
        findings[name] = f"{name} has {found}: look at its training, or copy or download it again"
    if name in findings.untouched:
        # tf.layers, slim, PyTorch and Keras all begin with the mean 0 and the variance 1.
        findings.untouched[name] = bool((values == (1 if variance else 0)).all())
        if all(findings.untouched.values()):
            findings[NEVER_UPDATED] = (
                f"all {len(findings.untouched)} moving means and variances are still 0 and 1: the training never "
                "updated them (UPDATE_OPS), so run its update ops, or take a trained checkpoint"
            )
    return values


def failed_check(values: np.ndarray, variance: bool = False) -> str | None:
    """Return the check that floats fail, or None; a ``variance`` must not be negative. Looks at the extremes first."""
    if not values.size or values.dtype.kind != "f":
        return None
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"{_counted(values.size - int(np.isfinite(values).sum()), values.size)} not finite"
    if variance and low < 0:
        return f"{_counted(int((values < 0).sum()), values.size)} below zero, where variances belong"
    if max(-low, high) > _LARGEST:
        return f"values up to {max(-low, high):.3g}, which no training produces"
    return None


def _counted(some: int, size: int) -> str:
    return f"{some:,} of {size:,} values"
