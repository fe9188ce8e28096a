"""Sanity checks on weights: values that are not finite, negative variances, and implausibly large values.

porter reports them and goes on: the checkpoint of a training that broke down is still a checkpoint.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from porter.formats.checkpoint import Entry

_LARGEST = 1e8
"""No weight of a released model comes near it; a flip of the second highest exponent bit exceeds it."""


def watch(entry: Entry, name: str, variance: bool, suspicious: dict[str, str]) -> Entry:
    """Return the entry ``name``; reading it adds a sentence to ``suspicious`` if its values fail a check."""
    return Entry(entry.shape, entry.dtype, partial(_watched, entry, name, variance, suspicious))


def _watched(entry: Entry, name: str, variance: bool, suspicious: dict[str, str]) -> np.ndarray:
    values = entry.load()
    found = failed_check(values, variance)
    if found:
        suspicious[name] = f"{name} has {found}: look at its training, or copy or download it again"
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
