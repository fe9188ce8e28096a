"""A TensorProto's values, listed one by one as V1 checkpoints keep them.

Source: tensorflow/core/framework/tensor.proto and core/util/saved_tensor_slice_util.h.
"""

from __future__ import annotations

import struct

import numpy as np

from porter.errors import FormatError
from porter.formats.tensorflow.dtypes import TYPES, TFType, decode
from porter.formats.tensorflow.wire import Buffer, fields, varints

_FLOAT, _DOUBLE, _INT, _COMPLEX64, _INT64 = 5, 6, 7, 9, 10
_BOOL, _COMPLEX128, _HALF, _UINT32, _UINT64 = 11, 12, 13, 16, 17
_FIELDS = {
    1: _FLOAT, 2: _DOUBLE, 3: _INT, 4: _INT, 5: _INT, 6: _INT, 8: _COMPLEX64, 9: _INT64, 10: _BOOL, 11: _INT, 12: _INT,
    13: _INT, 14: _HALF, 15: _INT, 16: _INT, 17: _INT, 18: _COMPLEX128, 19: _HALF, 22: _UINT32, 23: _UINT64,
}  # fmt: skip
"""Which field holds a dtype's values."""
_FIXED = {_FLOAT: "<f4", _COMPLEX64: "<f4", _DOUBLE: "<f8", _COMPLEX128: "<f8"}
"""The fields whose values take as many bytes as they are wide; a complex is two of them. All others are varints."""


def listed_values(message: Buffer, dtype: int, count: int) -> np.ndarray:
    """Return the ``count`` values of a TensorProto of ``dtype``. Raises FormatError where it has others."""
    kind = TYPES[dtype]
    wanted = _FIELDS[dtype]
    chunks = []
    for number, value in fields(message):
        if number == wanted:
            chunks.append(_chunk(value, wanted, kind))
    values = chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, kind.stored), *chunks])
    if len(values) != count:
        raise FormatError(f"it has {len(values)} values where {count} belong")
    return decode(values, dtype)


def _chunk(value: int | Buffer, field: int, kind: TFType) -> np.ndarray:
    """Return the values of one occurrence of a field: packed into bytes, or a single one."""
    if field in _FIXED:
        width = np.dtype(_FIXED[field])
        raw = struct.pack("<Q", value)[: width.itemsize] if isinstance(value, int) else value
        if len(raw) % kind.stored.itemsize:
            raise FormatError("half a value stands at its end")
        return np.frombuffer(raw, kind.stored)
    integers: np.ndarray = np.array([value], np.uint64) if isinstance(value, int) else varints(value)
    if field == _BOOL:
        return integers.astype(np.bool_)
    if field == _HALF:
        return integers.astype(np.uint16).view(kind.stored)
    return integers.astype(kind.stored)  # the low bits, as TensorFlow casts
