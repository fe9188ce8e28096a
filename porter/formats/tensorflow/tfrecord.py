"""TFRecords, the records of event files: a length, its checksum, the data, its checksum.

Damage is reported with its offset, and reading goes on at the next record that can be found.
Source: tensorflow/core/lib/io/record_writer.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from porter.formats.tensorflow.crc import masked_crc32c

_HEADER, _FOOTER = 12, 4
_SEARCHED = 1 << 22
"""How many bytes after a damaged length are searched for the next record."""
_LENGTH_USED = 5
"""Bytes of a length, of 8, that a record of less than a tebibyte uses."""


class Record(NamedTuple):
    """One record's data, or the damage instead; ``offset`` is its first byte in the file."""

    offset: int
    data: bytes
    damage: str = ""


def is_records(head: bytes) -> bool:
    """Tell whether a file's first bytes are a record's length and that length's checksum."""
    return len(head) >= _HEADER and _header_fits(head, 0)


def find_event_files(folder: Path) -> list[Path]:
    """Return the event files in and below ``folder``, by their names and first bytes."""
    found = []
    for path in sorted(folder.rglob("*")):
        if "tfevents" not in path.name or not path.is_file():
            continue
        with path.open("rb") as file:
            head = file.read(_HEADER)
        if not head or is_records(head) or len(head) < _HEADER:
            found.append(path)
    return found


def read_records(buffer: bytes | memoryview) -> Iterator[Record]:
    """Yield every record of ``buffer`` in order, damaged ones with a description instead of data."""
    view, at = memoryview(buffer), 0
    while at < len(view):
        if at + _HEADER > len(view):
            yield Record(at, b"", f"the file ends within the record at byte {at}")
            return
        if not _header_fits(view, at):
            found = _next_header(view, at + 1)
            beyond = "nothing after it can be read" if found is None else f"reading goes on at byte {found}"
            yield Record(at, b"", f"the length at byte {at} does not match its checksum: {beyond}")
            if found is None:
                return
            at = found
            continue
        start = at + _HEADER
        end = start + int.from_bytes(view[at : at + 8], "little")
        if end + _FOOTER > len(view):
            yield Record(at, b"", f"the file ends within the record at byte {at}, which has {end - start:,} bytes")
            return
        if masked_crc32c(view[start:end]) != int.from_bytes(view[end : end + _FOOTER], "little"):
            yield Record(at, b"", f"the record at byte {at} does not match its checksum and is left out")
        else:
            yield Record(at, bytes(view[start:end]))
        at = end + _FOOTER


def record(data: bytes) -> bytes:
    """Return ``data`` as one record of a file."""
    length = len(data).to_bytes(8, "little")
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    return masked_crc32c(data).to_bytes(4, "little")


def _header_fits(view: bytes | memoryview, at: int) -> bool:
    return masked_crc32c(view[at : at + 8]) == int.from_bytes(view[at + 8 : at + _HEADER], "little")


def _next_header(view: memoryview, start: int) -> int | None:
    last = min(len(view) - _HEADER, start + _SEARCHED)
    if last < start:
        return None
    # Few places have such a length. A checksum for every place takes a second per 300,000 bytes.
    high = sliding_window_view(np.frombuffer(view[start + _LENGTH_USED : last + 8], np.uint8), 8 - _LENGTH_USED)
    places = np.flatnonzero(~high.any(axis=1)) + start
    return next((at for at in places.tolist() if _header_fits(view, at)), None)
