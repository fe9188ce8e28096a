"""Writes TensorBundles, TensorFlow's V2 checkpoints, without TensorFlow: one data file and its index.

Sources: tensorflow/core/protobuf/tensor_bundle.proto, leveldb/doc/table_format.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from porter.files.early_flush import open_early
from porter.formats.tensorflow.crc import masked_crc32c
from porter.formats.tensorflow.dtypes import BFLOAT16, TYPES
from porter.formats.tensorflow.sstable import MAGIC

_BLOCK = 1 << 14
"""A block ends once it has this many bytes."""
_RESTART = 16
"""Every 16th key is written whole, as LevelDB does."""
_NUMBERS = {kind.stored: number for number, kind in reversed(TYPES.items()) if kind.stored == kind.loaded}


class Stored(NamedTuple):
    """A tensor as a data file has it: little-endian, in C order, with TensorFlow's number of its dtype."""

    name: str
    values: np.ndarray
    dtype: int


def stored(name: str, values: np.ndarray, bfloat16: bool = False) -> Stored:
    """Return ``values`` as they are stored; those of ``bfloat16`` are its bits, as uint16."""
    little = np.require(values.astype(values.dtype.newbyteorder("<"), copy=False), requirements=["C"])
    return Stored(name, little, BFLOAT16 if bfloat16 else _NUMBERS[values.dtype])


def data_file(prefix: Path) -> Path:
    """Return the one data file of the checkpoint ``prefix``."""
    return prefix.with_name(f"{prefix.name}.data-00000-of-00001")


def index_file(prefix: Path) -> Path:
    """Return the index of the checkpoint ``prefix``."""
    return prefix.with_name(f"{prefix.name}.index")


def meta_file(prefix: Path) -> Path:
    """Return the graph beside the checkpoint ``prefix``."""
    return prefix.with_name(f"{prefix.name}.meta")


def write_bundle(data: Path, index: Path, tensors: Iterable[Stored]) -> None:
    """Write ``tensors``, which come `in_order`, to the paths ``data`` and ``index``, one at a time."""
    records = [(b"", _field(1, 1) + _message(3, _field(1, 1)))]  # one shard; version 1 of the format
    offset = 0
    with open_early(data) as file:
        for tensor in tensors:
            raw = tensor.values.reshape(-1).view(np.uint8).data
            file.write(raw)
            records.append((tensor.name.encode(), _record(tensor, offset, raw)))
            offset += len(raw)
    index.write_bytes(_table(records))


def in_order(names: Iterable[str]) -> list[str]:
    """Return ``names`` in the order of an index: by their bytes."""
    return sorted(names, key=str.encode)


def _record(tensor: Stored, offset: int, raw: memoryview) -> bytes:
    """Return a BundleEntryProto."""
    shape = b"".join(_message(2, _field(1, size)) for size in tensor.values.shape)
    return b"".join(
        (
            _field(1, tensor.dtype),
            _message(2, shape),
            _field(4, offset),
            _field(5, len(raw)),
            _varint(6 << 3 | 5) + masked_crc32c(raw).to_bytes(4, "little"),
        )
    )


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _field(number: int, value: int) -> bytes:
    """Return a varint field; protobuf leaves zeros out."""
    return _varint(number << 3) + _varint(value) if value else b""


def _message(number: int, message: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(message)) + message


def _table(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a table of sorted ``records``: blocks, an empty metaindex, an index of the blocks, a footer."""
    out = bytearray()

    def append(block: bytes) -> bytes:
        """Add an uncompressed block with its trailer, and return its handle."""
        handle = _varint(len(out)) + _varint(len(block))
        out.extend(block + b"\0" + masked_crc32c(block + b"\0").to_bytes(4, "little"))
        return handle

    handles = [(last, append(block)) for last, block in _blocks(records)]
    footer = append(_block([])) + append(_block(handles))
    return bytes(out) + footer.ljust(40, b"\0") + MAGIC


def _blocks(records: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield each block's last key and contents."""
    waiting: list[tuple[bytes, bytes]] = []
    size = 0
    for key, value in records:
        waiting.append((key, value))
        size += len(key) + len(value)
        if size >= _BLOCK:
            yield key, _block(waiting)
            waiting, size = [], 0
    if waiting:
        yield waiting[-1][0], _block(waiting)


def _block(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a block: keys without the prefix that they share with the key before, and restart points."""
    out, restarts, before = bytearray(), [], b""
    for number, (key, value) in enumerate(records):
        shared = 0
        if number % _RESTART == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += _varint(shared) + _varint(len(key) - shared) + _varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return bytes(out) + b"".join(at.to_bytes(4, "little") for at in (*restarts, len(restarts)))
