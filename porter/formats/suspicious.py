"""Sanity checks on weights: not finite, a variance below zero, or a number that no training leaves behind.

It is said and not refused: a training that broke down is a checkpoint all the same.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from porter.formats.checkpoint import Entry

_LARGEST = 1e8
"""No weight of a released model is near it; flip a weight's highest exponent bit but one, and it is beyond."""


def watch(entry: Entry, name: str, variance: bool, suspicious: dict[str, str]) -> Entry:
    """Return the entry ``name``; reading it adds a sentence to ``suspicious`` where its values fail a check."""
    return Entry(entry.shape, entry.dtype, partial(_watched, entry, name, variance, suspicious))


def _watched(entry: Entry, name: str, variance: bool, suspicious: dict[str, str]) -> np.ndarray:
    values = entry.load()
    found = what_is_odd(values, variance)
    if found:
        suspicious[name] = f"{name} has {found}: look at what trained it, or copy or download it again"
    return values


def what_is_odd(values: np.ndarray, variance: bool = False) -> str | None:
    """Return which check fails for floats, which may be a ``variance``, or None. Looks at the extremes first."""
    if not values.size or values.dtype.kind != "f":
        return None
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"{_counted(values.size - int(np.isfinite(values).sum()), values.size)} not finite"
    if variance and low < 0:
        return f"{_counted(int((values < 0).sum()), values.size)} below zero, where variances belong"
    if max(-low, high) > _LARGEST:
        return f"values up to {max(-low, high):.3g}, which no training leaves behind"
    return None


def _counted(some: int, size: int) -> str:
    return f"{some:,} of {size:,} values"
