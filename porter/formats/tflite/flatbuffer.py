"""Reads a flatbuffer of a stranger: every offset is checked before it is followed.

The flatbuffers package follows any offset, a negative one too. Source of the format: flatbuffers.dev/internals.
"""

from __future__ import annotations

import struct

import numpy as np

from porter.errors import FormatError

_VISITS = 8
"""Bytes that may be read for each byte of the file: parts of a flatbuffer may be shared, but hardly are."""
_ROOM = 1 << 20


class Flatbuffer:
    """The bytes of a flatbuffer, and how many of them its readers have taken so far."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self._left = _VISITS * len(data) + _ROOM

    def root(self) -> Table:
        """Return the outermost table. Raises FormatError."""
        return Table(self, self.offset(0))

    def number(self, code: str, at: int) -> int | float:
        """Return the number of ``struct``'s format ``code`` at ``at``. Raises FormatError beyond the end."""
        size = struct.calcsize(code)
        self.check(at, size)
        found: int | float = struct.unpack_from(f"<{code}", self.data, at)[0]
        return found

    def offset(self, at: int) -> int:
        """Return where the offset at ``at`` leads."""
        return at + int(self.number("I", at))

    def vector(self, at: int, width: int) -> tuple[int, int]:
        """Return where the values of the vector at ``at`` begin, each of ``width`` bytes, and their number."""
        count = int(self.number("I", at))
        self.check(at + 4, count * width)
        return at + 4, count

    def check(self, at: int, size: int) -> None:
        """Raise FormatError if ``size`` bytes at ``at`` are not in the file, or if too many bytes were read."""
        if at < 0 or at + size > len(self.data):
            raise FormatError(f"an offset leads to byte {at + size} of {len(self.data)}")
        self._left -= size
        if self._left < 0:
            raise FormatError(f"its parts share bytes: they claim more than {_VISITS} times the file")


class Table:
    """One table. Fields are numbered as in the schema; a field that is absent has its default."""

    def __init__(self, buffer: Flatbuffer, at: int) -> None:
        self._buffer, self._at = buffer, at
        self._fields = at - int(buffer.number("i", at))
        self._size = int(buffer.number("H", self._fields))

    def number(self, field: int, code: str, default: int = 0) -> int:
        """Return an integer field of ``struct``'s format ``code``."""
        at = self._field(field)
        return int(self._buffer.number(code, at)) if at else default

    def decimal(self, field: int) -> float:
        """Return a float32 field, 0 if it is absent."""
        at = self._field(field)
        return float(self._buffer.number("f", at)) if at else 0.0

    def table(self, field: int) -> Table | None:
        """Return the table in a field, or None."""
        at = self._field(field)
        return Table(self._buffer, self._buffer.offset(at)) if at else None

    def tables(self, field: int) -> list[Table]:
        """Return the tables of a vector."""
        at = self._field(field)
        if not at:
            return []
        start, count = self._buffer.vector(self._buffer.offset(at), 4)
        return [Table(self._buffer, self._buffer.offset(start + 4 * index)) for index in range(count)]

    def array(self, field: int, dtype: str) -> np.ndarray:
        """Return a vector of numbers of a numpy ``dtype``."""
        kind = np.dtype(dtype)
        start, count = self.place(field, kind.itemsize)
        return np.frombuffer(self._buffer.data, kind, count, start) if count else np.zeros(0, kind)

    def ints(self, field: int) -> tuple[int, ...]:
        """Return a vector of int32."""
        return tuple(self.array(field, "<i4").tolist())

    def text(self, field: int) -> str:
        """Return a string; bytes that are no UTF-8 are replaced."""
        return self.array(field, "u1").tobytes().decode("utf-8", "replace")

    def place(self, field: int, width: int = 1) -> tuple[int, int]:
        """Return where the values of a vector begin and their number, (0, 0) for an absent one."""
        at = self._field(field)
        return self._buffer.vector(self._buffer.offset(at), width) if at else (0, 0)

    def _field(self, field: int) -> int:
        """Return where a field is, 0 if it is absent."""
        entry = 4 + 2 * field
        offset = int(self._buffer.number("H", self._fields + entry)) if entry + 2 <= self._size else 0
        return self._at + offset if offset else 0
