"""Reads sorted string tables, the format of TensorFlow's indexes: LevelDB's, with checksums.

Source: leveldb/doc/table_format.md and tensorflow/core/lib/io/table.cc.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

import cramjam

from porter.errors import FormatError
from porter.formats.tensorflow.crc import masked_crc32c
from porter.formats.tensorflow.wire import Buffer, varint

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER = 48
_TRAILER = 5
"""The bytes after each block: one for its compression, four for the masked CRC-32C of both."""
_LONGEST_COPY = 64
"""The most bytes that one byte of Snappy unpacks to."""
_LONGEST_KEYS = 1 << 26
"""A bound on all keys together, because a key repeats the prefix of the one before at no cost."""


def is_table(tail: bytes) -> bool:
    """Tell whether a file's last bytes are a table's footer."""
    return len(tail) >= FOOTER and tail[-8:] == MAGIC


class Table:
    """A table's keys and values in order; its blocks are read and checked on demand.

    If ``buffer`` is a mapped file, the values of uncompressed blocks are mapped too. Every method raises FormatError
    with the byte offset.
    """

    def __init__(self, buffer: Buffer) -> None:
        footer = bytes(buffer[-FOOTER:])
        if not is_table(footer):
            raise FormatError("its last eight bytes are not a table's: it is cut off or not an index")
        self._buffer = buffer
        meta, at = _handle(footer, 0)
        index, end = _handle(footer, at)
        if any(footer[end:-8]) or not footer[end - 1]:  # nor may its last number have needless bytes
            raise FormatError("its footer holds more than the place of its index")
        _block(buffer, *meta)  # TensorFlow leaves it empty
        entries = _within(_entries(_block(buffer, *index), index[0]), index[0])
        self._blocks = [(last, _handle(handle, 0)[0]) for last, handle in entries]
        self._last_keys = [last for last, _ in self._blocks]

    def __iter__(self) -> Iterator[tuple[bytes, Buffer]]:
        last: bytes | None = None
        keys = 0
        for _, block in self._blocks:
            for key, value in self._read(block):
                if last is not None and key <= last:
                    raise FormatError(f"the block at byte {block[0]} has its keys out of order")
                last = key
                keys += len(key)
                if keys > _LONGEST_KEYS:
                    raise FormatError(f"up to the block at byte {block[0]}, keys take more than {_LONGEST_KEYS} bytes")
                yield key, value

    def get(self, key: bytes) -> Buffer | None:
        """Return the value of ``key`` or None; reads only the block that may hold it."""
        number = bisect_left(self._last_keys, key)
        if number == len(self._blocks):
            return None
        block = self._blocks[number][1]
        return next((value for found, value in _within(self._read(block), block[0]) if found == key), None)

    def _read(self, block: tuple[int, int]) -> Iterator[tuple[bytes, Buffer]]:
        return _entries(_block(self._buffer, *block), block[0])


def _within(entries: Iterator[tuple[bytes, Buffer]], offset: int) -> Iterator[tuple[bytes, Buffer]]:
    """Yield a block's entries as long as their keys stay within bounds."""
    keys = 0
    for key, value in entries:
        keys += len(key)
        if keys > _LONGEST_KEYS:
            raise FormatError(f"in the block at byte {offset}, keys take more than {_LONGEST_KEYS} bytes")
        yield key, value


def _handle(buffer: Buffer, at: int) -> tuple[tuple[int, int], int]:
    """Return a block's (offset, size) and the end of the handle."""
    offset, at = varint(buffer, at)
    size, at = varint(buffer, at)
    return (offset, size), at


def _block(buffer: Buffer, offset: int, size: int) -> Buffer:
    """Return a block's contents, checked and decompressed."""
    end = offset + size
    if end + _TRAILER > len(buffer) - FOOTER:
        raise FormatError(f"the block at byte {offset} ends beyond the end of the file")
    stored = int.from_bytes(buffer[end + 1 : end + _TRAILER], "little")
    if masked_crc32c(buffer[offset : end + 1]) != stored:
        raise FormatError(f"the block at byte {offset} does not match its checksum")
    contents, compression = buffer[offset:end], buffer[end]
    if compression == 0:
        return contents
    if compression != 1:
        raise FormatError(f"the block at byte {offset} has the unknown compression {compression}")
    claimed, _ = varint(contents, 0)
    if claimed > _LONGEST_COPY * len(contents):
        raise FormatError(f"the block at byte {offset} claims to unpack to {claimed} bytes")
    try:
        return bytes(cramjam.snappy.decompress_raw(bytes(contents)))
    except cramjam.DecompressionError as error:
        raise FormatError(f"the block at byte {offset} does not unpack ({error})") from None


def _entries(block: Buffer, offset: int) -> Iterator[tuple[bytes, Buffer]]:
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
            raise FormatError(f"the block at byte {offset} has an entry that ends beyond the block")
        key = key[:shared] + bytes(block[at : at + unshared])
        yield key, block[at + unshared : at + unshared + size]
        at += unshared + size
