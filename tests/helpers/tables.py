"""Writes checkpoint indexes like TensorFlow, and malformed ones with valid checksums.

It shares no code with porter, so that no misreading can cancel out. Sources: leveldb/doc/table_format.md,
leveldb/doc/log_format.md for the mask, and tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cramjam
import google_crc32c
import numpy as np

MAGIC = 0xDB4775248B80FB57
PLAIN, SNAPPY = 0, 1
MINUS_ONE = 2**64 - 1
"""The varint of -1."""


class Block(NamedTuple):
    """A block's stored bytes, and an upper bound on its keys."""

    last_key: bytes
    stored: bytes
    compression: int = PLAIN


def masked_crc(raw: bytes) -> int:
    crc = google_crc32c.value(raw)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(tag: int, value: int) -> bytes:
    """Return a protobuf field that holds an integer."""
    return varint(tag << 3) + varint(value)


def message(tag: int, value: bytes) -> bytes:
    """Return a protobuf field that holds a message, or any other bytes."""
    return varint(tag << 3 | 2) + varint(len(value)) + value


def header(shards: int = 1) -> bytes:
    return number(1, shards) + message(3, number(1, 1))


def record(raw: bytes, sides: Sequence[int] = (), *, dtype: int = 1, shard: int = 0, offset: int = 0) -> bytes:
    """Return the BundleEntryProto of a tensor whose bytes lie at ``offset``."""
    shape = b"".join(message(2, number(1, side)) for side in sides)
    place = number(3, shard) + number(4, offset) + number(5, len(raw))
    return number(1, dtype) + message(2, shape) + place + varint(6 << 3 | 5) + struct.pack("<I", masked_crc(raw))


def block(pairs: Sequence[tuple[bytes, bytes]], restart_interval: int = 16) -> bytes:
    """Return a block's contents: keys without their common prefix with the key before, then the restart points."""
    out, restarts, last = bytearray(), [0], b""
    for count, (key, value) in enumerate(pairs):
        shared = 0
        if count and count % restart_interval == 0:
            restarts.append(len(out))
        elif count:
            while shared < min(len(last), len(key)) and last[shared] == key[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return bytes(out) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def stack(blocks: Sequence[Block], handle: bytes | None = None) -> bytes:
    """Return a whole table of these blocks. ``handle`` replaces the place of each."""
    out = bytearray()

    def append(stored: bytes, compression: int) -> bytes:
        place = varint(len(out)) + varint(len(stored))
        sealed = stored + bytes([compression])
        out.extend(sealed + struct.pack("<I", masked_crc(sealed)))
        return place

    places = [(each.last_key, append(each.stored, each.compression)) for each in blocks]
    metaindex = append(block([]), PLAIN)
    index = append(block([(key, handle or place) for key, place in places], restart_interval=1), PLAIN)
    return bytes(out) + (metaindex + index).ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def table(
    pairs: Sequence[tuple[bytes, bytes]], *, snappy: bool = False, entries: int = 1 << 20, restart_interval: int = 16
) -> bytes:
    """Return a whole table with this many ``entries`` per block."""
    blocks = []
    for start in range(0, len(pairs), entries):
        part = pairs[start : start + entries]
        contents = block(part, restart_interval)
        packed = bytes(cramjam.snappy.compress_raw(contents)) if snappy else contents
        blocks.append(Block(part[-1][0], packed, SNAPPY if snappy else PLAIN))
    return stack(blocks)


def write_bundle(prefix: Path, tensors: dict[str, np.ndarray], **how: bool | int) -> list[tuple[bytes, bytes]]:
    """Write float32 tensors as a checkpoint of one shard, and return its index's keys and values."""
    data = b""
    pairs = [(b"", header())]
    for name, value in sorted(tensors.items()):
        raw = value.astype(np.float32).tobytes()
        pairs.append((name.encode(), record(raw, value.shape, offset=len(data))))
        data += raw
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(pairs, **how))
    return pairs


def blocks_of(index: bytes) -> list[bytes]:
    """Return the contents of an uncompressed table's data blocks."""
    footer = list(_varints(index[-48:-8]))
    directory = index[footer[2] : footer[2] + footer[3]]
    found = []
    for _, place in _unshared(directory):
        offset, size = list(_varints(place))[:2]
        found.append(index[offset : offset + size])
    return found


def restart_count(contents: bytes) -> int:
    return struct.unpack("<I", contents[-4:])[0]


def _varints(raw: bytes) -> Iterator[int]:
    value, shift = 0, 0
    for byte in raw:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value, shift = 0, 0


def _unshared(contents: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries of a block whose keys are all restart points."""
    starts = struct.unpack(f"<{restart_count(contents)}I", contents[-4 - 4 * restart_count(contents) : -4])
    for start in starts:
        sizes = []
        for size in _varints(contents[start:]):
            sizes.append(size)
            if len(sizes) == 3:
                break
        at = start + sum(len(varint(size)) for size in sizes)
        yield contents[at : at + sizes[1]], contents[at + sizes[1] : at + sizes[1] + sizes[2]]
