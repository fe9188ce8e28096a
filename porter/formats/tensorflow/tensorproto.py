"""A TensorProto's values, from its bytes in a V1 checkpoint or from a parsed message in a graph.

Source: tensorflow/core/framework/tensor.proto and core/util/saved_tensor_slice_util.h.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import FormatError
from porter.formats.dtypes import fits
from porter.formats.tensorflow.dtypes import TYPES, TFType, decode
from porter.formats.tensorflow.wire import Buffer, fields, varints

_FLOAT, _DOUBLE, _INT, _COMPLEX64, _INT64 = 5, 6, 7, 9, 10
_BOOL, _COMPLEX128, _HALF, _UINT32, _UINT64 = 11, 12, 13, 16, 17
_FIELDS = {
    1: _FLOAT, 2: _DOUBLE, 3: _INT, 4: _INT, 5: _INT, 6: _INT, 8: _COMPLEX64, 9: _INT64, 10: _BOOL, 11: _INT, 12: _INT,
    13: _INT, 14: _HALF, 15: _INT, 16: _INT, 17: _INT, 18: _COMPLEX128, 19: _HALF, 22: _UINT32, 23: _UINT64,
}  # fmt: skip
"""The number of the field that lists a dtype's values one by one."""
_FIXED = {_FLOAT: "<f4", _COMPLEX64: "<f4", _DOUBLE: "<f8", _COMPLEX128: "<f8"}
"""The fields of floats; a complex value is two of them. All other fields hold varints."""
_LARGEST_FILL = 1 << 28


def listed_values(message: Buffer, dtype: int, count: int) -> np.ndarray:
    """Return the ``count`` values that the bytes of a TensorProto list. Raises FormatError on any other number."""
    kind = TYPES[dtype]
    wanted = _FIELDS[dtype]
    chunks = []
    for number, value in fields(message):
        if number == wanted:
            chunks.append(_chunk(value, wanted, kind))
    values = chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, kind.stored), *chunks])
    if len(values) != count:
        raise FormatError(f"it has {len(values)} values instead of {count}")
    return decode(values, dtype)


def tensor_values(path: Path, name: str, proto: Any) -> np.ndarray:
    """Return the values of a parsed TensorProto: its raw bytes, or a list whose last value fills the rest.

    A single value that fills the shape takes no more memory than itself. Raises FormatError, naming ``path`` and
    ``name``.
    """
    kind = TYPES[proto.dtype]
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if not fits(shape, kind.loaded):
        raise FormatError(f"{path}: {name} has the shape {shape}, which no array can have; copy or download it again")
    count = math.prod(shape)
    try:
        raw = np.frombuffer(proto.tensor_content, kind.stored) if proto.tensor_content else _listed(proto, kind)
    except ValueError:
        raise FormatError(f"{path}: {name} ends within a value; copy or download it again") from None
    values = decode(raw, proto.dtype)
    missing = count - len(values)
    if missing > 0 and not proto.tensor_content:
        if len(values) <= 1:
            return np.broadcast_to(values.reshape(()) if len(values) else np.zeros((), kind.loaded), shape)
        if missing > _LARGEST_FILL:
            raise FormatError(f"{path}: {name} leaves out {missing} of its values; copy or download it again")
        values = np.concatenate([values, np.broadcast_to(values[-1:], missing)])
    if len(values) != count:
        raise FormatError(f"{path}: {name} has {len(values)} values for the shape {shape}; copy or download it again")
    return values.reshape(shape)


def _listed(proto: Any, kind: TFType) -> np.ndarray:
    """Return the values that a parsed TensorProto lists. Raises ValueError if half a complex value is missing."""
    field = _FIELDS[proto.dtype]
    listed = getattr(proto, proto.DESCRIPTOR.fields_by_number[field].name)
    if field in _FIXED:
        return np.array(listed, _FIXED[field]).view(kind.stored)
    return _narrowed(np.array(listed, np.uint64 if field == _UINT64 else np.int64), field, kind)


def _chunk(value: int | Buffer, field: int, kind: TFType) -> np.ndarray:
    """Return the values of one occurrence of a field: packed into bytes, or a single one."""
    if field in _FIXED:
        width = np.dtype(_FIXED[field])
        raw = struct.pack("<Q", value)[: width.itemsize] if isinstance(value, int) else value
        if len(raw) % kind.stored.itemsize:
            raise FormatError("it ends within a value")
        return np.frombuffer(raw, kind.stored)
    integers: np.ndarray = np.array([value], np.uint64) if isinstance(value, int) else varints(value)
    return _narrowed(integers, field, kind)


def _narrowed(integers: np.ndarray, field: int, kind: TFType) -> np.ndarray:
    """Return a field's integers in the dtype that is stored; keeps the low bits, as TensorFlow's casts do."""
    if field == _BOOL:
        return integers.astype(np.bool_)
    if field == _HALF:  # a float16's bits
        return integers.astype(np.uint16).view(kind.stored)
    return integers.astype(kind.stored)
