"""Helpers for dtypes and shapes that every format's reader needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from porter.errors import FormatError


def fits(shape: Sequence[int], dtype: np.dtype) -> bool:
    """Tell whether numpy can have arrays of this shape: no negative, too long or too many axes. Allocates nothing."""
    try:
        np.broadcast_to(np.empty((), dtype), shape)
    except ValueError:
        return False
    return True


def check_shape(shape: Sequence[int], dtype: np.dtype) -> None:
    """Raise FormatError if the shape does not fit numpy."""
    if not fits(shape, dtype):
        raise FormatError(f"it has the shape {tuple(shape)}, which no array can have")


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Return bfloat16 values, given as integers of 16 bits, as float32, which holds each of them exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def unread(dtype: str) -> str:
    """Return the role of a tensor that porter lists but does not read, from the name of its dtype."""
    return dtype if dtype == "string" else f"tensor of dtype {dtype}"
