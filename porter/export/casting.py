"""Weights rounded to a smaller dtype when they are written."""

from __future__ import annotations

from functools import partial

import numpy as np

from porter.errors import PorterError
from porter.formats.checkpoint import Entry
from porter.formats.dtypes import widen_bfloat16

DTYPES = ("float16", "bfloat16")


def round_to(name: str, entry: Entry, dtype: str | None) -> Entry:
    """Return the entry ``name`` with its values rounded to ``dtype``; unchanged for None, and if it has no floats.

    Rounding is to nearest, ties to even. For float16 the entry has that dtype. numpy has no bfloat16: its values stay
    float32 arrays. Reading the entry raises PorterError if a finite value overflows.
    """
    if dtype is None or entry.dtype.kind != "f":
        return entry
    stored = np.dtype(np.float16 if dtype == "float16" else np.float32)
    return Entry(entry.shape, stored, partial(_rounded, name, entry, dtype))


def _rounded(name: str, entry: Entry, dtype: str) -> np.ndarray:
    values = entry.load()
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16) if dtype == "float16" else widen_bfloat16(bfloat16_bits(values))
    if np.isinf(rounded).sum() > np.isinf(values).sum():
        largest = np.abs(values[np.isfinite(values)]).max()
        raise PorterError(f"{name} has values up to {largest:.3g}, too large for {dtype}: leave `save_dtype` out")
    return rounded


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """Return ``values`` rounded to bfloat16, to nearest and ties to even, as uint16 bit patterns."""
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # Rounding could carry a NaN's mantissa over into infinity: NaNs are truncated instead, and kept quiet.
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype(np.uint16)
