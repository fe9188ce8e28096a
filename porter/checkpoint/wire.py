"""The protobuf wire format: a message's fields, without its schema.

For the few messages that tensorboard does not ship. Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from porter.errors import FormatError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def varint(buffer: bytes, at: int) -> tuple[int, int]:
    """Return the unsigned integer at ``at`` and the offset behind it; FormatError where it is cut or too long."""
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


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
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
            raise FormatError(f"field {number} ends behind its message")
        chunk = message[at : at + size]
        yield number, chunk if kind == BYTES else int.from_bytes(chunk, "little")
        at += size
