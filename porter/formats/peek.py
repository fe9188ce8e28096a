"""Peek: the first and last bytes of a file, and what they tell."""

from __future__ import annotations

import codecs
import zlib
from functools import cached_property
from pathlib import Path

from porter.errors import FormatError
from porter.formats.tensorflow.sstable import FOOTER, is_table
from porter.formats.zip import members_of

_HEAD, _TAIL = 4096, 128
_PRINTABLE = bytes([*range(32, 256), 9, 10, 13])
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
"""The marks at the start of Unicode text; UTF-32's first, because UTF-16's begins it."""


class Peek:
    """A file's first bytes ``head``, its last bytes ``tail`` and its ``size``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self.head = file.read(_HEAD)
            self.size = file.seek(0, 2)
            file.seek(max(0, self.size - _TAIL))
            self.tail = file.read()

    @cached_property
    def text(self) -> bytes:
        """The first bytes of a text in UTF-8, without a byte order mark."""
        return as_utf8(self.head, "ignore")

    @property
    def is_text(self) -> bool:
        """Whether the first bytes are text, of any language."""
        return bool(self.head) and not self.text.translate(None, _PRINTABLE)

    @property
    def is_table(self) -> bool:
        return is_table(self.tail[-FOOTER:])

    @property
    def is_zip(self) -> bool:
        return self.head[:2] == b"PK"

    @property
    def names(self) -> list[str]:
        """The names in a zip archive, none for any other file."""
        return self.members or []

    @cached_property
    def members(self) -> list[str] | None:
        """The names in a zip archive; None for any other file, and for a damaged archive."""
        try:
            return members_of(self.path) if self.is_zip else None
        except FormatError:
            return None

    @cached_property
    def unzipped(self) -> bytes:
        """The first bytes of what a gzipped file holds; of any other file, its own."""
        if not is_gzipped(self.head):
            return self.head
        try:
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(self.head, _HEAD)
        except zlib.error:
            return b""

    @property
    def is_tar(self) -> bool:
        """Whether the file is a tar archive, gzipped or not; its first header has a checksum."""
        import tarfile  # most files are known before this question

        try:
            tarfile.TarInfo.frombuf(self.unzipped[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            return False
        return True

    def begins(self, *starts: bytes) -> bool:
        """Tell whether the file begins with one of ``starts``."""
        return self.head.startswith(starts)


def as_utf8(raw: bytes, errors: str = "strict") -> bytes:
    """Return a text in UTF-8 without a byte order mark; PowerShell and Notepad write UTF-16 and UTF-8 with one.

    ``errors`` is bytes.decode's. Raises UnicodeDecodeError.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding, errors).encode()
    return raw


def is_text_graph(head: bytes) -> bool:
    """Tell whether a file's first bytes are a graph in protobuf's text format."""
    head = as_utf8(head[:_HEAD], "ignore")
    return not head.translate(None, _PRINTABLE) and any(
        word in head
        for word in (b"node {", b"node{", b"graph_def", b"meta_info_def", b"saved_model_schema", b"library {")
    )


def is_gzipped(head: bytes) -> bool:
    """Tell whether a file's first bytes are gzip's."""
    return head[:2] == b"\x1f\x8b"
