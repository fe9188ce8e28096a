"""The values of a .tflite file's constants: packed bits are unpacked, left-out zeros filled in, integers scaled.

Sources: tensorflow/lite/kernels/internal/reference/dequantize.h, tensorflow/lite/kernels/internal/utils/
sparsity_format_converter.cc.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from porter.errors import FormatError
from porter.formats.dtypes import fits
from porter.formats.tensorflow.dtypes import TYPES, decode
from porter.formats.tflite.flatbuffer import Table
from porter.formats.tflite.model import Tensor
from porter.formats.tflite.schema import BITS

_RATIO = 64
"""Zeros of a sparse tensor that are not stored: no pruned network leaves out more."""
_ROOM = 1 << 22
_INDICES = ("", "<i4", "<u2", "u1")
"""The numpy dtypes of SparseIndexVector, by number."""
_DENSE = 0


def stored_dtype(tensor: Tensor) -> np.dtype | None:
    """Return the numpy dtype of a tensor's integers or floats, None if porter reads no values of its dtype."""
    if tensor.dtype in BITS:
        return np.dtype(np.int8 if tensor.dtype % 2 else np.uint8)
    kind = TYPES.get(tensor.dtype)
    return kind.loaded if kind else None


def is_scaled(tensor: Tensor) -> bool:
    """Tell whether a tensor's integers stand for floats."""
    kind = stored_dtype(tensor)
    return len(tensor.scales) > 0 and kind is not None and kind.kind in "iu"


def is_weight(tensor: Tensor) -> bool:
    """Tell whether a constant is a weight: floats, or integers that stand for floats, with at least one axis.

    One that the converter made is none.
    """
    kind = stored_dtype(tensor)
    floats = kind is not None and (kind.kind == "f" or is_scaled(tensor))
    return floats and bool(tensor.shape) and not tensor.made and not tensor.blockwise


def check_size(tensor: Tensor) -> None:
    """Raise FormatError if a constant has more or fewer bytes than its shape, or scales for another shape."""
    count, kind = _count(tensor), stored_dtype(tensor)
    if kind is None:
        return
    if tensor.sparse is None:
        bits = BITS.get(tensor.dtype, 8 * TYPES[tensor.dtype].stored.itemsize if tensor.dtype in TYPES else 8)
        if tensor.size != -(-count * bits // 8):
            raise FormatError(f"has {tensor.size} bytes for the shape {tensor.shape}")
    elif tensor.dtype not in BITS and tensor.size % TYPES[tensor.dtype].stored.itemsize:
        raise FormatError(f"has {tensor.size} bytes, which end within a value")
    elif count * kind.itemsize > max(_RATIO * tensor.size, _ROOM):
        raise FormatError(f"claims {count * kind.itemsize} bytes, but the file stores {tensor.size}")
    if is_scaled(tensor):
        sizes = {1, tensor.shape[tensor.axis] if 0 <= tensor.axis < len(tensor.shape) else 1}
        if len(tensor.scales) not in sizes or len(tensor.zeros) not in {0, 1, len(tensor.scales)}:
            raise FormatError(f"has {len(tensor.scales)} scales for the shape {tensor.shape}")


def _count(tensor: Tensor) -> int:
    kind = stored_dtype(tensor)
    if None in tensor.shape or not fits([size or 0 for size in tensor.shape], kind or np.dtype(np.uint8)):
        raise FormatError(f"has the shape {tensor.shape}, which no constant can have")
    return math.prod(size or 0 for size in tensor.shape)


def load(path: Path, data: memoryview, tensor: Tensor) -> np.ndarray:
    """Return a constant's values, as float32 if they are scaled. Raises FormatError, naming ``path`` and the tensor."""
    try:
        check_size(tensor)
        values = _stored(data, tensor)
        shaped = _dense(values, tensor) if tensor.sparse else values.reshape([size or 0 for size in tensor.shape])
    except FormatError as error:
        raise FormatError(f"{path}: {tensor.name} {error}; copy or download it again") from None
    return _floats(shaped, tensor) if is_scaled(tensor) else shaped


def _stored(data: memoryview, tensor: Tensor) -> np.ndarray:
    raw = np.frombuffer(data, np.uint8, tensor.size, tensor.start)
    bits = BITS.get(tensor.dtype)
    if bits is None:
        return decode(np.ascontiguousarray(raw).view(TYPES[tensor.dtype].stored), tensor.dtype)
    places = np.arange(0, 8, bits, dtype=np.uint8)  # the lowest bits come first
    parts = ((raw[:, None] >> places) & ((1 << bits) - 1)).astype(np.uint8).reshape(-1)
    if tensor.sparse is None:
        parts = parts[: _count(tensor)]
    if tensor.dtype % 2 == 0:
        return parts
    sign = 1 << (bits - 1)
    return (parts.astype(np.int8) ^ sign) - np.int8(sign)


def _floats(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Return (values - zero) * scale, in float64 as TensorFlow Lite computes it before it rounds."""
    sides = [1] * values.ndim
    if len(tensor.scales) > 1:
        sides[tensor.axis] = len(tensor.scales)
    scales = tensor.scales.astype(np.float64).reshape(sides if len(tensor.scales) > 1 else ())
    zeros = tensor.zeros if len(tensor.zeros) else np.zeros(1, np.int64)
    shifted = values.astype(np.float64) - zeros.reshape(sides if len(zeros) > 1 else ())
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(shifted * scales).astype(np.float32)


# ---- sparse tensors
def _dense(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Return a sparse tensor with its zeros: its values are the leaves of a tree, one level for each axis and block."""
    assert tensor.sparse is not None
    shape = tuple(size or 0 for size in tensor.shape)
    order, blocks = tensor.sparse.ints(0), tensor.sparse.ints(1)
    levels = tensor.sparse.tables(2)
    rank = len(shape)
    blocked = all(0 <= axis < rank for axis in blocks) and len(set(blocks)) == len(blocks)
    if sorted(order) != list(range(rank + len(blocks))) or len(levels) != len(order) or not blocked:
        raise FormatError("has an order of axes that does not fit its shape")
    most, count = math.prod(shape), 1
    places: dict[int, np.ndarray] = {}
    sizes: dict[int, int] = {}
    for level, axis in zip(levels, order, strict=True):
        parents, here, size = _level(level, count, most)
        places = {other: found[parents] for other, found in places.items()}
        places[axis], sizes[axis], count = here, size, len(here)
    if count != len(values):
        raise FormatError(f"has {len(values)} values for {count} places")
    index = []
    for axis in range(rank):
        block = rank + blocks.index(axis) if axis in blocks else None
        at = places[axis] if block is None else places[axis] * sizes[block] + places[block]
        if count and not 0 <= at.min() <= at.max() < shape[axis]:
            raise FormatError("has a value outside its shape")
        index.append(at)
    dense = np.zeros(shape, values.dtype)
    dense[tuple(index)] = values
    return dense


def _level(level: Table, count: int, most: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return, for each node of a level under ``count`` nodes, its parent and its place; and the places of each."""
    if level.number(0, "b") == _DENSE:
        size = level.number(1, "i")
        if size < 0 or count * size > most:
            raise FormatError(f"has a level of {size} places under {count}, more than its {most} values")
        return np.repeat(np.arange(count), size), np.tile(np.arange(size), count), size
    segments, indices = (_vector(level, field) for field in (2, 4))
    steps = np.diff(segments)
    whole = len(segments) == count + 1 and segments[0] == 0 and (steps >= 0).all() and segments[-1] == len(indices)
    if not whole or len(indices) > most:
        raise FormatError("has segments that do not fit its indices")
    return np.repeat(np.arange(count), steps), indices, 0


def _vector(level: Table, field: int) -> np.ndarray:
    """Return the integers of a SparseIndexVector: its type and its table."""
    kind, table = level.number(field, "B"), level.table(field + 1)
    if table is None or not 0 < kind < len(_INDICES):
        raise FormatError("lacks the indices of a level")
    return table.array(0, _INDICES[kind]).astype(np.int64)
