"""TensorBundle, TensorFlow's V2 checkpoints: an index of entries and one or more data shards.

Source: tensorflow/core/protobuf/tensor_bundle.proto and core/util/tensor_bundle/tensor_bundle.h.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from porter.checkpoint.crc import masked_crc32c
from porter.checkpoint.dtypes import STRING, TYPES, decode, fits
from porter.checkpoint.entry import Checkpoint, Entry
from porter.checkpoint.sstable import read_table
from porter.checkpoint.wire import fields, signed
from porter.errors import FormatError

FORMAT = "TensorFlow V2 checkpoint"


@dataclass
class _Header:
    shards: int = 1
    big_endian: bool = False


@dataclass
class _Record:
    """A BundleEntryProto: where one tensor lies."""

    dtype: int = 0
    shape: list[int] = field(default_factory=list)
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    sliced: bool = False


def read_bundle(index: Path) -> Checkpoint:
    """Read a checkpoint's ``.index``; its shards are mapped when a tensor is read. Raises FormatError."""
    try:
        table = list(read_table(index.read_bytes()))
        if not table or table[0][0] != b"":
            raise FormatError("it has no header entry")
        header = _header(table[0][1])
        # The keys of a partitioned variable's slices begin with a zero byte, and are no text.
        records = {key.decode(): _record(value) for key, value in table[1:] if key[0]}
    except (FormatError, UnicodeDecodeError) as error:
        raise FormatError(
            f"{index} is not a whole TensorFlow checkpoint index: {error}; copy or download it again"
        ) from None
    if header.big_endian:
        raise FormatError(
            f"{index} comes from a big-endian machine, which porter does not read yet: save it on a little-endian one"
        )
    shards = _Shards(index, header.shards)
    entries: dict[str, Entry] = {}
    asides: dict[str, str] = {}
    for name, record in records.items():
        if record.dtype == STRING:
            asides[name] = "string"
            continue
        entries[name] = _entry(shards, name, record)
    files = (index, *filter(Path.is_file, map(shards.path, range(header.shards))))
    return Checkpoint(index.with_suffix(""), FORMAT, entries, asides, files)


def _header(message: bytes) -> _Header:
    header = _Header()
    for number, value in fields(message):
        if number == 1:
            header.shards = _int(value)
        elif number == 2:
            header.big_endian = value != 0
    return header


def _record(message: bytes) -> _Record:
    record = _Record()
    for number, value in fields(message):
        match number:
            case 1:
                record.dtype = _int(value)
            case 2:
                record.shape = _shape(_bytes(value))
            case 3:
                record.shard = _int(value)
            case 4:
                record.offset = _int(value)
            case 5:
                record.size = _int(value)
            case 6:
                record.crc = _int(value)
            case 7:
                record.sliced = True
    return record


def _shape(message: bytes) -> list[int]:
    """Read a TensorShapeProto: repeated dim (2), each with a size (1) that is absent where it is 0."""
    return [
        next((signed(_int(size)) for inner, size in fields(_bytes(dim)) if inner == 1), 0)
        for number, dim in fields(message)
        if number == 2
    ]


def _int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise FormatError("an entry has bytes where a number belongs")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise FormatError("an entry has a number where a message belongs")
    return value


class _Shards:
    """The data files beside an index, each mapped into memory when first asked for."""

    def __init__(self, index: Path, count: int) -> None:
        self.index = index
        self.count = count
        self._mapped: dict[int, memoryview] = {}

    def path(self, shard: int) -> Path:
        return self.index.with_name(f"{self.index.stem}.data-{shard:05d}-of-{self.count:05d}")

    def __getitem__(self, shard: int) -> memoryview:
        if shard not in self._mapped:
            path = self.path(shard)
            try:
                with path.open("rb") as file:
                    size = path.stat().st_size
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
            except FileNotFoundError:
                raise FormatError(
                    f"{path} is missing: {self.index.name} says that the checkpoint has {self.count} data file(s); "
                    "copy all of them beside it"
                ) from None
            self._mapped[shard] = memoryview(mapped)
        return self._mapped[shard]


def _entry(shards: _Shards, name: str, record: _Record) -> Entry:
    def fail(what: str) -> FormatError:
        return FormatError(f"{shards.index}: {name} {what}; copy or download the checkpoint again")

    if record.sliced:
        raise FormatError(
            f"{shards.index}: {name} is a partitioned variable, which porter does not read yet: save it in one piece"
        )
    if record.dtype not in TYPES:
        raise fail(f"has dtype number {record.dtype}, which porter does not read")
    if not 0 <= record.shard < shards.count:
        raise fail(f"lies in data file {record.shard} of {shards.count}")
    kind = TYPES[record.dtype]
    shape = tuple(record.shape)
    if not fits(shape, kind.stored):
        raise fail(f"has the shape {shape}, which no array can have")
    size = math.prod(shape) * kind.stored.itemsize
    if size != record.size:
        raise fail(f"takes {record.size} bytes, but {kind.name} of shape {shape} takes {size}")
    return Entry(shape, kind.loaded, partial(_load, shards, name, record))


def _load(shards: _Shards, name: str, record: _Record) -> np.ndarray:
    end = record.offset + record.size
    data = shards[record.shard]
    path = shards.path(record.shard)
    if end > len(data):
        raise FormatError(
            f"{path} is cut off: {name} ends at byte {end}, the file at {len(data)}; copy or download it again"
        )
    raw = data[record.offset : end]
    if masked_crc32c(raw) != record.crc:
        raise FormatError(
            f"{path}: {name} (bytes {record.offset} to {end}) does not match its checksum; copy or download it again"
        )
    values = np.frombuffer(raw, TYPES[record.dtype].stored).reshape(record.shape)
    return decode(values, record.dtype)
