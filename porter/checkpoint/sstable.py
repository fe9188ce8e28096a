"""The sorted string table in which TensorFlow keeps an index: LevelDB's format, with checksums.

Source: leveldb/doc/table_format.md and tensorflow/core/lib/io/table.cc.
"""

from __future__ import annotations

from collections.abc import Iterator

import cramjam

from porter.checkpoint.crc import masked_crc32c
from porter.checkpoint.wire import varint
from porter.errors import FormatError

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER = 48
_TRAILER = 5
"""Behind each block: its compression, one byte, and the masked CRC-32C of both, four."""
_LARGEST_BLOCK = 1 << 28
_LONGEST_KEYS = 1 << 28
"""All keys together, because each repeats its prefix at no cost to the file."""


def is_table(tail: bytes) -> bool:
    """Tell whether a file's last bytes are a table's footer."""
    return len(tail) >= FOOTER and tail[-8:] == MAGIC


def read_table(buffer: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the table's keys and values in order. Raises FormatError with the byte offset."""
    if not is_table(buffer[-FOOTER:]):
        raise FormatError("its last eight bytes are not a table's: it is cut off or not an index")
    footer = buffer[-FOOTER:]
    _, at = _handle(footer, 0)  # the metaindex, which TensorFlow leaves empty
    index, _ = _handle(footer, at)
    last: bytes | None = None
    keys = 0
    for _, handle in _entries(_block(buffer, *index), index[0]):
        block, _ = _handle(handle, 0)
        for key, value in _entries(_block(buffer, *block), block[0]):
            if last is not None and key <= last:
                raise FormatError(f"the block at byte {block[0]} has its keys out of order")
            last = key
            keys += len(key)
            if keys > _LONGEST_KEYS:
                raise FormatError(f"the block at byte {block[0]} brings its keys beyond {_LONGEST_KEYS} bytes")
            yield key, value


def _handle(buffer: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Return a block's (offset, size), and where the handle ends."""
    offset, at = varint(buffer, at)
    size, at = varint(buffer, at)
    return (offset, size), at


def _block(buffer: bytes, offset: int, size: int) -> bytes:
    """Return a block's contents, checked and decompressed."""
    end = offset + size
    if end + _TRAILER > len(buffer) - FOOTER:
        raise FormatError(f"the block at byte {offset} ends behind the file")
    stored = int.from_bytes(buffer[end + 1 : end + _TRAILER], "little")
    if masked_crc32c(buffer[offset : end + 1]) != stored:
        raise FormatError(f"the block at byte {offset} does not match its checksum")
    contents, compression = buffer[offset:end], buffer[end]
    if compression == 0:
        return contents
    if compression != 1:
        raise FormatError(f"the block at byte {offset} has the unknown compression {compression}")
    claimed, _ = varint(contents, 0)
    if claimed > _LARGEST_BLOCK:
        raise FormatError(f"the block at byte {offset} claims to unpack to {claimed} bytes")
    try:
        return bytes(cramjam.snappy.decompress_raw(contents))
    except cramjam.DecompressionError as error:
        raise FormatError(f"the block at byte {offset} does not unpack ({error})") from None


def _entries(block: bytes, offset: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield a block's keys and values; each key shares a prefix with the one before."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if len(block) < 4 or end < 0:
        raise FormatError(f"the block at byte {offset} is too short for its {restarts} restart points")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        unshared, at = varint(block, at)
        size, at = varint(block, at)
        if shared > len(key) or at + unshared + size > end:
            raise FormatError(f"the block at byte {offset} has an entry that ends behind it")
        key = key[:shared] + block[at : at + unshared]
        yield key, block[at + unshared : at + unshared + size]
        at += unshared + size
