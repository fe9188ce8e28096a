"""Slices, the boxes of a partitioned variable in a checkpoint, and the array that they make up.

Source: tensorflow/core/framework/tensor_slice.proto, tensor_shape.proto; the keys are those of
tensorflow/core/util/saved_tensor_slice_util.cc, in the ordered code of core/lib/strings/ordered_code.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from porter.errors import FormatError
from porter.formats.tensorflow.wire import Buffer, fields, integer, nested, signed

FULL = -1
"""The length of an extent over a whole axis, which the file leaves out."""

Extents = tuple[tuple[int, int], ...]
"""A stored slice: start and length along each axis."""
Region = tuple[slice, ...]
"""A slice as numpy takes it."""


def read_shape(message: Buffer) -> tuple[int, ...]:
    """Read a TensorShapeProto: repeated dim (2), each with a size (1), absent if it is 0."""
    return tuple(
        next((signed(integer(size)) for inner, size in fields(nested(dim)) if inner == 1), 0)
        for number, dim in fields(message)
        if number == 2
    )


def read_extents(message: Buffer) -> Extents:
    """Read a TensorSliceProto: repeated extent (1), each with a start (1) and, unless full, a length (2)."""
    extents = []
    for number, extent in fields(message):
        if number == 1:
            found = {inner: signed(integer(value)) for inner, value in fields(nested(extent))}
            extents.append((found.get(1, 0), found.get(2, FULL)))
    return tuple(extents)


def region_of(extents: Extents, shape: Sequence[int]) -> Region:
    """Return the region of a slice in an array of ``shape``. Raises FormatError if it lies outside."""
    region = tuple(
        slice(start, start + (side - start if length == FULL else length))
        for (start, length), side in zip(extents, shape, strict=False)
    )
    lies = all(0 <= part.start <= part.stop <= side for part, side in zip(region, shape, strict=False))
    if len(extents) != len(shape) or not lies:
        raise FormatError(f"its slice {shown(extents)} does not lie in its shape {tuple(shape)}")
    return region


def shape_of(region: Region) -> tuple[int, ...]:
    """Return a region's own shape."""
    return tuple(part.stop - part.start for part in region)


def check_cover(regions: Sequence[Region], shape: Sequence[int]) -> None:
    """Raise FormatError if the slices hold more or fewer values than the whole; `stitch` finds overlaps."""
    if not regions:
        raise FormatError("it has no slice")
    held, whole = sum(math.prod(shape_of(region)) for region in regions), math.prod(shape)
    if held != whole:
        what = "leave a hole" if held < whole else "overlap"
        raise FormatError(f"its slices {what}: they hold {held} values, but the shape {tuple(shape)} {whole}")


def stitch(shape: Sequence[int], parts: Sequence[tuple[Region, np.ndarray]]) -> np.ndarray:
    """Return the array that the slices ``parts`` make up. Raises FormatError if two of them overlap.

    Together they hold as many values as the array (`check_cover`), so any hole implies an overlap.
    """
    if len(parts) == 1:
        return parts[0][1].reshape(shape)
    whole = np.empty(shape, parts[0][1].dtype)
    filled = np.zeros(shape, np.bool_)
    for region, values in parts:
        if filled[region].any():
            raise FormatError(f"its slices overlap in {_shown(region)}")
        filled[region] = True
        whole[region] = values
    return whole


def shown(extents: Extents) -> str:
    """Write a slice as TensorFlow does: ``start,length`` for each axis, ``-`` for a whole axis."""
    return ":".join("-" if length == FULL else f"{start},{length}" for start, length in extents) or "()"


def _shown(region: Region) -> str:
    return shown(tuple((part.start, part.stop - part.start) for part in region))


def slice_key(name: str, extents: Extents) -> bytes:
    """Return the key of a slice of the tensor ``name`` in a table."""
    escaped = name.encode().replace(b"\0", b"\0\xff")  # the other escaped byte is 255, which UTF-8 lacks
    key = _unsigned(0) + escaped + b"\0\1" + _unsigned(len(extents))
    return key + b"".join(_signed(start) + _signed(length) for start, length in extents)


def name_of_slice(key: bytes) -> str:
    """Return the tensor's name in a key of `slice_key`, or a part of any other key."""
    return key[1:].split(b"\0\1")[0].replace(b"\0\xff", b"\0").decode(errors="replace")


def _unsigned(value: int) -> bytes:
    """Encode as OrderedCode::WriteNumIncreasing: the number of bytes, then the bytes, highest first."""
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "big")


def _signed(value: int) -> bytes:
    """Encode as OrderedCode::WriteSignedNumIncreasing: a unary length and the sign share the first bits."""
    size = (~value if value < 0 else value).bit_length() // 7 + 1
    header = ((1 << size) - 1) << (8 * size - size)
    return ((value & ((1 << 8 * size) - 1)) ^ header).to_bytes(size, "big")
