"""Reads TensorFlow's V1 checkpoints: tables of SavedTensorSlices in one file or several.

The first entry lists the tensors and their slices; every other entry holds one slice's values.
Source: tensorflow/core/util/saved_tensor_slice.proto, tensor_slice_writer.h and tensor_slice_reader.h.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from porter.errors import FormatError, unreadable
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.dtypes import check_shape, unread
from porter.formats.tensorflow.dtypes import TYPES, dtype_name
from porter.formats.tensorflow.slices import (
    Extents,
    Region,
    check_cover,
    read_extents,
    read_shape,
    region_of,
    shape_of,
    shown,
    slice_key,
    stitch,
)
from porter.formats.tensorflow.sstable import Table
from porter.formats.tensorflow.tensorproto import listed_values
from porter.formats.tensorflow.wire import Buffer, fields, integer, nested, text

FORMAT = "TensorFlow V1 checkpoint"

_Part = tuple[Region, Callable[[], np.ndarray]]


@dataclass
class _Tensor:
    """A SavedSliceMeta, and the file of each slice."""

    dtype: int = 0
    shape: tuple[int, ...] = ()
    slices: list[tuple[Extents, _File]] = field(default_factory=list)


@dataclass(frozen=True)
class _File:
    path: Path
    table: Table

    def entry(self, name: str, extents: Extents) -> Buffer:
        """Return one slice's TensorProto; reads and checks only its own block."""
        try:
            entry = self.table.get(slice_key(name, extents))
            if entry is None:
                raise FormatError("its values are missing")
            held, its, message = _slice(entry)
            if (held, its) != (name, extents):
                raise FormatError(f"the values of {held} ({shown(its)}) are stored in its place")
            return message
        except FormatError as error:
            raise unreadable(self.path, name, error) from None

    def values(self, name: str, extents: Extents, dtype: int, shape: tuple[int, ...]) -> np.ndarray:
        """Return one slice's values."""
        message = self.entry(name, extents)
        try:
            return listed_values(message, dtype, math.prod(shape)).reshape(shape)
        except FormatError as error:
            raise unreadable(self.path, name, error) from None


def is_v1(path: Path) -> bool:
    """Tell whether a table is a V1 checkpoint; False if it is damaged. V2's first value begins with a number."""
    try:
        first = _open(path).table.get(b"") or b""
        return next((not isinstance(value, int) for number, value in fields(first) if number == 1), False)
    except FormatError:
        return False


def read_v1(path: Path, files: Sequence[Path]) -> Checkpoint:
    """Read the V1 checkpoint ``path``, stored in one or several ``files``; its values are read on demand.

    Raises FormatError if a file is damaged, or if a tensor's slices do not make up its shape.
    """
    tensors: dict[str, _Tensor] = {}
    for file in files:
        try:
            _collect(tensors, file)
        except FormatError as error:
            raise FormatError(f"{file} is not a whole V1 checkpoint: {error}; copy or download it again") from None
    entries: dict[str, Entry] = {}
    asides: dict[str, str] = {}
    checks: dict[str, Callable[[], None]] = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in TYPES:
            asides[name] = unread(dtype_name(tensor.dtype))
            checks[name] = partial(_check, name, tensor)
            continue
        try:
            entries[name] = _entry(path, name, tensor)
        except FormatError as error:
            raise unreadable(path, name, error) from None
    return Checkpoint(path, FORMAT, entries, asides, tuple(files), opens_as=str(path), checks=checks)


def _open(path: Path) -> _File:
    with path.open("rb") as file:
        return _File(path, Table(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))))


def _collect(tensors: dict[str, _Tensor], path: Path) -> None:
    """Add the tensors and slices that a file's first entry lists: field 1 of a SavedTensorSlices."""
    file = _open(path)
    first = file.table.get(b"")
    if first is None:
        raise FormatError("it has no list of its tensors")
    meta = next((nested(value) for number, value in fields(first) if number == 1), b"")
    for number, value in fields(meta):
        if number == 1:
            _collect_tensor(tensors, nested(value), file)


def _collect_tensor(tensors: dict[str, _Tensor], message: Buffer, file: _File) -> None:
    name, dtype = "", 0
    shape: tuple[int, ...] = ()
    slices: list[Extents] = []
    for number, value in fields(message):
        match number:
            case 1:
                name = text(value)
            case 2:
                shape = read_shape(nested(value))
            case 3:
                dtype = integer(value)
            case 4:
                slices.append(read_extents(nested(value)))
    tensor = tensors.setdefault(name, _Tensor(dtype, shape))
    if (tensor.dtype, tensor.shape) != (dtype, shape):
        raise FormatError(f"it lists {name} twice, with different shapes or dtypes")
    tensor.slices += [(extents, file) for extents in slices]


def _entry(path: Path, name: str, tensor: _Tensor) -> Entry:
    kind, shape = TYPES[tensor.dtype], tensor.shape
    check_shape(shape, kind.stored)
    regions = [region_of(extents, shape) for extents, _ in tensor.slices]
    check_cover(regions, shape)
    parts = [
        (region, partial(file.values, name, extents, tensor.dtype, shape_of(region)))
        for region, (extents, file) in zip(regions, tensor.slices, strict=True)
    ]
    return Entry(shape, kind.loaded, partial(_load, path, name, shape, parts))


def _load(path: Path, name: str, shape: tuple[int, ...], parts: Sequence[_Part]) -> np.ndarray:
    read = [(region, load()) for region, load in parts]  # before the whole array takes memory
    try:
        return stitch(shape, read)
    except FormatError as error:
        raise unreadable(path, name, error) from None


def _check(name: str, tensor: _Tensor) -> None:
    """Read the blocks of a tensor that porter lists only, to check their checksums. Raises FormatError."""
    for extents, file in tensor.slices:
        file.entry(name, extents)


def _slice(message: Buffer) -> tuple[str, Extents, Buffer]:
    """Read a SavedTensorSlices' data (2): a SavedSlice of name (1), slice (2) and TensorProto (3)."""
    name = ""
    extents: Extents = ()
    values: Buffer = b""
    for number, data in fields(message):
        if number != 2:
            continue
        for inner, value in fields(nested(data)):
            match inner:
                case 1:
                    name = text(value)
                case 2:
                    extents = read_extents(nested(value))
                case 3:
                    values = nested(value)
    return name, extents, values
