"""Reads TensorBundles, TensorFlow's V2 checkpoints: an index of entries and one or more data files.

Source: tensorflow/core/protobuf/tensor_bundle.proto and core/util/tensor_bundle/tensor_bundle.h.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path

import numpy as np

from porter.errors import FormatError, plural, unreadable
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.dtypes import check_shape, unread
from porter.formats.signatures import stand_in
from porter.formats.tensorflow import objects
from porter.formats.tensorflow.crc import masked_crc32c
from porter.formats.tensorflow.dtypes import STRING, TYPES, VARIANT, decode, dtype_name
from porter.formats.tensorflow.slices import (
    Extents,
    Region,
    check_cover,
    name_of_slice,
    read_extents,
    read_shape,
    region_of,
    shape_of,
    shown,
    slice_key,
    stitch,
)
from porter.formats.tensorflow.sstable import Table
from porter.formats.tensorflow.strings import read_strings
from porter.formats.tensorflow.tiles import Span, check_tiles
from porter.formats.tensorflow.wire import Buffer, fields, integer, nested

FORMAT = "TensorFlow V2 checkpoint"
OBJECT_BASED = "TensorFlow object-based checkpoint"


@dataclass
class _Header:
    shards: int = 1
    big_endian: bool = False


@dataclass(slots=True)
class _Record:
    """A BundleEntryProto: the dtype, shape, place and checksum of one tensor."""

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    slices: tuple[Extents, ...] = ()


def read_bundle(index: Path) -> Checkpoint:
    """Read a checkpoint's ``.index``; its data files are opened when a tensor is read. Raises FormatError.

    An object-based checkpoint's object graph is read at once, because it has the variables' names.
    """
    records: dict[str, _Record] = {}
    slices: dict[bytes, _Record] = {}
    try:
        table = iter(Table(index.read_bytes()))
        first, value = next(table, (None, b""))
        if first != b"":
            raise FormatError("it has no header entry")
        header = _header(value)
        for raw, value in table:
            if raw[0]:
                records[raw.decode()] = _record(value)
            else:  # a slice of a partitioned variable
                slices[raw] = _record(value)
    except (FormatError, UnicodeDecodeError) as error:
        raise FormatError(f"{index} is not a whole TensorFlow checkpoint: {error}; copy or download it again") from None
    shards = _Shards(index, header)
    names, asides, copies = _names(shards, records)
    checks: dict[str, Callable[[], None]] = {}
    entries: dict[str, Entry] = {}
    for key, record in records.items():
        name = names.get(key, key)
        if record.dtype == 0 and name not in asides:
            raise unreadable(index, name, FormatError("it has the invalid dtype number 0"))
        if name in asides or record.dtype not in TYPES:
            asides.setdefault(name, unread(dtype_name(record.dtype)))
            if record.dtype != VARIANT:
                checks[name] = partial(_check, shards, key, record, slices)
        elif record.slices:
            entries[name] = _sliced(shards, key, record, slices)
        else:
            entries[name] = _entry(shards, key, record)
    _check_tiles(shards, (*records.items(), *slices.items()))
    # Only data files with tensors in them: a hostile index may claim any number of files.
    used = sorted({record.shard for record in (*records.values(), *slices.values()) if record.shard < header.shards})
    files = (index, *filter(Path.is_file, map(shards.path, used)))
    return Checkpoint(
        shards.prefix,
        OBJECT_BASED if objects.KEY in records else FORMAT,
        entries,
        asides,
        files,
        shards.opens_as,
        {name: key for key, name in names.items() if name in entries and name != key},
        {key: name for key, name in copies.items() if name in entries},
        checks,
        require_whole=shards.require_whole,
    )


def _header(message: Buffer) -> _Header:
    header = _Header()
    for number, value in fields(message):
        if number == 1:
            header.shards = integer(value)
        elif number == 2:
            header.big_endian = value != 0
    return header


def _record(message: Buffer) -> _Record:
    record = _Record()
    for number, value in fields(message):
        match number:
            case 1:
                record.dtype = integer(value)
            case 2:
                record.shape = read_shape(nested(value))
            case 3:
                record.shard = integer(value)
            case 4:
                record.offset = integer(value)
            case 5:
                record.size = integer(value)
            case 6:
                record.crc = integer(value)
            case 7:
                record.slices += (read_extents(nested(value)),)
    return record


class _Shards:
    """The data files beside an index, opened for each tensor.

    They are read instead of mapped, so that memory holds one tensor at a time.
    """

    def __init__(self, index: Path, header: _Header) -> None:
        self.index = index
        self.count = header.shards
        self.big_endian = header.big_endian
        self.name = self._name()
        self._paths: dict[int, Path] = {}
        self.ends: dict[int, int] = {}
        """Where the last tensor of each data file ends, in bytes."""

    def _name(self) -> str:
        """Return the index's name without ``.index``, or that of its data files if the index was renamed.

        It is empty where a saver was given a folder: ``.index``.
        """
        names = [self.index.name.removesuffix(".index"), self.index.with_suffix("").name]
        return next((name for name in names if self._named(name, 0).is_file()), names[0])

    def _named(self, name: str, shard: int) -> Path:
        return self.index.with_name(f"{name}.data-{shard:05d}-of-{self.count:05d}")

    @property
    def prefix(self) -> Path:
        """The name of the checkpoint, its folder where it has none."""
        return self.index.parent / self.name

    @property
    def opens_as(self) -> str | None:
        """The prefix for TensorFlow's own reader; None if it cannot open the index under its name."""
        return os.path.join(self.index.parent, self.name) if self.index.name == f"{self.name}.index" else None

    def path(self, shard: int) -> Path:
        if shard not in self._paths:  # each tensor asks
            self._paths[shard] = self._named(self.name, shard)
        return self._paths[shard]

    def size(self, shard: int) -> int:
        """Return the size of a data file in bytes."""
        with self._open(shard) as file:
            return os.fstat(file.fileno()).st_size

    def raw(self, name: str, record: _Record) -> memoryview:
        """Return a record's bytes, not yet checked. Raises FormatError if the file ends before them."""
        path, end = self.path(record.shard), record.offset + record.size
        with self._open(record.shard) as file:
            size = os.fstat(file.fileno()).st_size
            if end <= size:
                raw = np.empty(record.size, np.uint8).data
                file.seek(record.offset)
                if file.readinto(raw) == record.size:
                    return raw
        # An empty file may be the one that this process opened, and somebody cut since.
        raise FormatError((stand_in(path) if size else None) or _cut(path, name, end, size))

    def require_whole(self) -> None:
        """Raise FormatError if a data file is missing, cut off, or what a failed download left."""
        for shard, end in self.ends.items():
            size = self.size(shard)
            if size < end:
                raise FormatError(stand_in(self.path(shard)) or _cut(self.path(shard), "its last tensor", end, size))

    def _open(self, shard: int) -> BufferedReader:
        try:
            return self.path(shard).open("rb")
        except FileNotFoundError:
            # Downloads get other names: model.ckpt.data, or a (1) behind it.
            near = sorted(
                path.name for path in self.index.parent.iterdir() if path.name.startswith(f"{self.name}.data")
            )
            if len(near) == self.count == 1:
                raise FormatError(
                    f"{self.path(shard)} is missing: rename {near[0]} if that is the data file of {self.index.name}"
                ) from None
            raise FormatError(
                f"{self.path(shard)} is missing: {self.index.name} expects {plural(self.count, 'data file')}; "
                "copy all of them beside it"
            ) from None


def _cut(path: Path, name: str, end: int, size: int) -> str:
    return f"{path} is cut off: {name} ends at byte {end}, the file at {size}; copy or download it again"


def _names(shards: _Shards, records: dict[str, _Record]) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return the names that an object graph gives to keys, the roles of all names besides variables, and the copies.

    The copies map keys to the names of the variables whose values they repeat.
    """
    if objects.KEY not in records:
        return {}, {}, {}
    found = _object_graph(shards, records[objects.KEY])
    keys_of: dict[str, list[str]] = {}
    for key, full_name in found.names.items():
        if key in records:
            keys_of.setdefault(full_name or objects.path_of(key), []).append(key)
    names: dict[str, str] = {}
    asides = {objects.KEY: "object graph"}
    repeated: dict[str, str] = {}
    taken = {objects.KEY}
    # Keras' export stores each variable twice. Containers tell different variables of one name apart.
    clashes = [keys for keys in keys_of.values() if not all(_same(records[key], records[keys[0]]) for key in keys)]
    containers = {found.containers[key] for keys in clashes for key in keys if key not in found.roles} - {""}
    for name, keys in keys_of.items():
        held = not containers.isdisjoint(found.containers[key] for key in keys)
        outermost = [key for key in keys if not found.containers[key]]
        variables = (
            [[key] for key in keys] if held else objects.variables_of(keys, lambda a, b: _same(records[a], records[b]))
        )
        for key, first in ((key, same[0]) for same in variables for key in same):
            container = found.containers[key]
            whole = f"{container}/{name}" if container in containers else objects.path_of(key)
            alone = (len(variables) == 1 and key == first and not held) or (held and outermost == [key])
            wanted = name if alone else whole
            names[key] = key if wanted in taken else wanted
            taken.add(names[key])
            if key != first:
                asides[names[key]] = "copy of a variable"
                repeated[key] = names[first]
    return names, asides | {names[key]: role for key, role in found.roles.items() if key in names}, repeated


def _object_graph(shards: _Shards, record: _Record) -> objects.Objects:
    try:
        _check_place(shards, record)
        if record.dtype != STRING or record.shape:
            raise FormatError("it is not a string")
    except FormatError as error:
        raise unreadable(shards.index, objects.KEY, error) from None
    raw = bytes(shards.raw(objects.KEY, record))
    try:
        (graph,) = read_strings(raw, 1, record.crc, shards.big_endian)
        return objects.read_objects(graph)
    except FormatError as error:
        raise unreadable(shards.path(record.shard), objects.KEY, error) from None


def _same(one: _Record, other: _Record) -> bool:
    """Tell by their checksums whether two records hold the same bytes."""
    return (one.dtype, one.shape, one.size, one.crc) == (other.dtype, other.shape, other.size, other.crc)


def _check_place(shards: _Shards, record: _Record) -> None:
    if not 0 <= record.shard < shards.count:
        raise FormatError(f"it lies in data file {record.shard} of {shards.count}")


def _check_tiles(shards: _Shards, records: Iterable[tuple[str | bytes, _Record]]) -> None:
    """Check each data file that exists: every byte must belong to exactly one tensor. Raises FormatError."""
    spans: dict[int, list[Span]] = {}
    for name, record in records:
        if record.size and record.shard < shards.count:
            shown = name if isinstance(name, str) else name_of_slice(name)
            spans.setdefault(record.shard, []).append(Span(record.offset, record.size, shown))
    for shard, its in spans.items():
        path = shards.path(shard)
        try:
            end = shards.ends[shard] = check_tiles(its)
        except FormatError as error:
            raise FormatError(f"{shards.index}: in {path.name}, {error}; copy or download it again") from None
        if path.is_file() and path.stat().st_size > end:
            raise FormatError(
                f"{path} has {path.stat().st_size} bytes, but its index names {end}: it belongs to another index, or "
                "something was appended; copy or download both again"
            )


def _entry(shards: _Shards, name: str, record: _Record) -> Entry:
    kind, shape = TYPES[record.dtype], record.shape
    try:
        _check_place(shards, record)
        check_shape(shape, kind.stored)
        size = math.prod(shape) * kind.stored.itemsize
        if size != record.size:
            raise FormatError(f"it takes {record.size} bytes, but {kind.name} of shape {shape} takes {size}")
    except FormatError as error:
        raise unreadable(shards.index, name, error) from None
    return Entry(shape, kind.loaded, partial(_load, shards, name, record))


def _check(shards: _Shards, name: str, record: _Record, slices: dict[bytes, _Record]) -> None:
    """Compare a tensor that porter does not read, or all its slices, with its checksum. Raises FormatError."""
    parts = [slices.get(slice_key(name, extents)) for extents in record.slices] or [record]
    try:
        for part in parts:
            if part is None:
                raise FormatError("one of its slices is missing")
            _check_place(shards, part)
            raw = shards.raw(name, part)
            if part.dtype == STRING:
                read_strings(bytes(raw), math.prod(part.shape), part.crc, shards.big_endian)
            elif masked_crc32c(raw) != part.crc:
                raise FormatError("it does not match its checksum")
    except FormatError as error:
        raise unreadable(shards.index, name, error) from None


def _load(shards: _Shards, name: str, record: _Record) -> np.ndarray:
    raw = shards.raw(name, record)
    if masked_crc32c(raw) != record.crc:
        raise FormatError(
            f"{shards.path(record.shard)}: {name} (bytes {record.offset} to {record.offset + record.size}) "
            "does not match its checksum; copy or download it again"
        )
    stored = TYPES[record.dtype].stored
    values = np.frombuffer(raw, stored.newbyteorder(">") if shards.big_endian else stored).reshape(record.shape)
    return decode(values.astype(stored) if shards.big_endian else values, record.dtype)


_Slice = tuple[Region, Entry]


def _sliced(shards: _Shards, name: str, record: _Record, slices: dict[bytes, _Record]) -> Entry:
    """Return the entry of a partitioned variable; each slice has a record of its own under a key that encodes it."""
    shape, kind = record.shape, TYPES[record.dtype]
    found: list[tuple[Region, str, _Record]] = []
    try:
        check_shape(shape, kind.stored)
        for extents in record.slices:
            region = region_of(extents, shape)
            part = slices.get(slice_key(name, extents))
            if part is None:
                raise FormatError(f"its slice {shown(extents)} is missing")
            if (part.dtype, part.shape) != (record.dtype, shape_of(region)):
                raise FormatError(f"its slice {shown(extents)} has another dtype or shape than its place")
            found.append((region, f"{name} ({shown(extents)})", part))
        check_cover([region for region, _, _ in found], shape)
    except FormatError as error:
        raise unreadable(shards.index, name, error) from None
    parts = [(region, _entry(shards, of, part)) for region, of, part in found]
    return Entry(shape, kind.loaded, partial(_stitched, shards, name, shape, parts))


def _stitched(shards: _Shards, name: str, shape: tuple[int, ...], parts: list[_Slice]) -> np.ndarray:
    read = [(region, entry.load()) for region, entry in parts]  # before the whole array takes memory
    try:
        return stitch(shape, read)
    except FormatError as error:
        raise unreadable(shards.index, name, error) from None
