"""Reads the protobuf wire format: a message's fields, without its schema.

It serves the few messages that tensorboard does not ship. Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from porter.errors import FormatError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Buffer = bytes | memoryview
"""The bytes of a message; the fields of a memoryview are memoryviews, so that nothing is copied."""


def varint(buffer: Buffer, at: int) -> tuple[int, int]:
    """Return the unsigned integer at ``at`` and the offset after it. Raises FormatError if it does not end."""
    if at < len(buffer) and buffer[at] < 0x80:  # nearly all: opening a checkpoint takes a quarter less
        return buffer[at], at + 1
    value = 0
    for position in range(at, min(at + 10, len(buffer))):
        byte = buffer[position]
        value |= (byte & 0x7F) << 7 * (position - at)
        if byte < 0x80:
            return value, position + 1
    raise FormatError(f"the integer at byte {at} does not end")


def signed(value: int) -> int:
    """Return a varint's value as an int64."""
    return value - (1 << 64) if value >= 1 << 63 else value


def varints(buffer: Buffer) -> np.ndarray:
    """Return all the consecutive integers in ``buffer`` as uint64. Raises FormatError if one does not end."""
    raw = np.frombuffer(buffer, np.uint8)
    ends = np.flatnonzero(raw < 0x80)
    if len(raw) and (not len(ends) or ends[-1] != len(raw) - 1):
        raise FormatError("the last of its packed integers does not end")
    starts = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)[: len(ends)]
    lengths = ends - starts + 1
    if (lengths > 10).any():
        raise FormatError("one of its packed integers does not end")
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        longer = lengths > place
        values[longer] |= (raw[starts[longer] + place] & np.uint64(0x7F)) << np.uint64(7 * place)
    return values


def integer(value: int | Buffer) -> int:
    """Return a field's value. Raises FormatError if it is not a number."""
    if not isinstance(value, int):
        raise FormatError("an entry has bytes instead of a number")
    return value


def nested(value: int | Buffer) -> Buffer:
    """Return a field's value. Raises FormatError if it is not a message, a string or bytes."""
    if isinstance(value, int):
        raise FormatError("an entry has a number instead of a message")
    return value


def text(value: int | Buffer) -> str:
    """Return a field's value. Raises FormatError if it is not a UTF-8 string."""
    try:
        return bytes(nested(value)).decode()
    except UnicodeDecodeError as error:
        raise FormatError(str(error)) from None


def fields(message: Buffer) -> Iterator[tuple[int, int | Buffer]]:
    """Yield (field number, value) of each field: an unsigned int, or the bytes of a nested message."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = varint(message, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = varint(message, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise FormatError(f"field {number} has the unknown wire type {kind}")
        if at + size > len(message):
            raise FormatError(f"field {number} ends beyond its message")
        chunk = message[at : at + size]
        yield number, chunk if kind == BYTES else int.from_bytes(chunk, "little")
        at += size
