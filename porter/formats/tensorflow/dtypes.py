"""TensorFlow's dtype numbers as numpy dtypes. Source: tensorflow/core/framework/types.proto."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from porter.formats.dtypes import widen_bfloat16


class TFType(NamedTuple):
    """The numpy dtype of a TensorFlow dtype in a file, and the one that porter loads it as."""

    name: str
    stored: np.dtype
    loaded: np.dtype


def _plain(name: str, dtype: type) -> TFType:
    return TFType(name, np.dtype(dtype), np.dtype(dtype))


BFLOAT16 = 14
STRING = 7
VARIANT = 21

# Quantized types load as their integers; bfloat16 loads as float32, which holds each of its values.
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

# Dtypes without a numpy counterpart, and those that hold no numbers.
_OTHERS = {
    STRING: "string", 20: "resource", VARIANT: "variant", 24: "float8_e5m2", 25: "float8_e4m3fn", 26: "float8_e4m3fnuz",
    27: "float8_e4m3b11fnuz", 28: "float8_e5m2fnuz", 29: "int4", 30: "uint4", 31: "int2", 32: "uint2",
}  # fmt: skip


def dtype_name(number: int) -> str:
    """Return the name of a dtype that is not in TYPES."""
    return _OTHERS.get(number, f"number {number}")


def decode(raw: np.ndarray, dtype: int) -> np.ndarray:
    """Return stored values in the dtype that porter loads them as."""
    return widen_bfloat16(raw) if dtype == BFLOAT16 else raw
