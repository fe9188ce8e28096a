"""TensorFlow's dtype numbers as numpy's. Source: tensorflow/core/framework/types.proto."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class TFType(NamedTuple):
    """How a dtype lies in a file, and the numpy dtype that porter gives it."""

    name: str
    stored: np.dtype
    loaded: np.dtype


def _plain(name: str, dtype: type) -> TFType:
    return TFType(name, np.dtype(dtype), np.dtype(dtype))


BFLOAT16 = 14
STRING = 7
VARIANT = 21

# Quantized types are their integers; bfloat16 widens to float32, which holds each of its values.
TYPES: dict[int, TFType] = {
    1: _plain("float32", np.float32),
    2: _plain("float64", np.float64),
    3: _plain("int32", np.int32),
    4: _plain("uint8", np.uint8),
    5: _plain("int16", np.int16),
    6: _plain("int8", np.int8),
    8: _plain("complex64", np.complex64),
    9: _plain("int64", np.int64),
    10: _plain("bool", np.bool_),
    11: _plain("qint8", np.int8),
    12: _plain("quint8", np.uint8),
    13: _plain("qint32", np.int32),
    BFLOAT16: TFType("bfloat16", np.dtype(np.uint16), np.dtype(np.float32)),
    15: _plain("qint16", np.int16),
    16: _plain("quint16", np.uint16),
    17: _plain("uint16", np.uint16),
    18: _plain("complex128", np.complex128),
    19: _plain("float16", np.float16),
    22: _plain("uint32", np.uint32),
    23: _plain("uint64", np.uint64),
}


# What numpy has no arrays of, or what is no number.
_OTHERS = {
    STRING: "string", 20: "resource", VARIANT: "variant", 24: "float8_e5m2", 25: "float8_e4m3fn", 26: "float8_e4m3fnuz",
    27: "float8_e4m3b11fnuz", 28: "float8_e5m2fnuz", 29: "int4", 30: "uint4", 31: "int2", 32: "uint2",
}  # fmt: skip


def unread(dtype: object) -> str:
    """Return the role of a tensor that porter lists but does not read, from TensorFlow's dtype number or its name."""
    name = _OTHERS.get(dtype, f"number {dtype}") if isinstance(dtype, int) else dtype
    return "string" if name == "string" else f"tensor of dtype {name}"


def fits(shape: Sequence[int], dtype: np.dtype) -> bool:
    """Tell whether numpy has arrays of this shape: no negative, endless or too many axes. Takes no memory."""
    try:
        np.broadcast_to(np.empty((), dtype), shape)
    except ValueError:
        return False
    return True


def decode(raw: np.ndarray, dtype: int) -> np.ndarray:
    """Return stored values in the dtype that porter gives them."""
    if dtype == BFLOAT16:
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw
