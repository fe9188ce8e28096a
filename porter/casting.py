"""Weights rounded to a smaller dtype when they are written."""

from __future__ import annotations

import numpy as np

from porter.checkpoint import Entry

DTYPES = ("float16", "bfloat16")


def round_to(entry: Entry, dtype: str | None) -> Entry:
    """Return ``entry`` with values that ``dtype`` holds exactly: itself for None or where it is not of floats.

    A float16 entry has that dtype; numpy has no bfloat16, so those values stay in float32.
    """
    if dtype is None or entry.dtype.kind != "f":
        return entry
    if dtype == "float16":
        return Entry(entry.shape, np.dtype(np.float16), lambda: entry.load().astype(np.float16))
    return Entry(entry.shape, np.dtype(np.float32), lambda: _widen(bfloat16_bits(entry.load())))


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """Return ``values`` rounded to bfloat16, to nearest and ties to even, as uint16 bit patterns."""
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # Rounding could carry a NaN's mantissa over into infinity: NaNs are cut off instead, and kept quiet.
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def _widen(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)
