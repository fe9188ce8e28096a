"""Untrusted zip archives: names, sizes and overlaps are checked before any member is read, and its CRC with it.

porter.formats.archives unpacks them to the disk. Source: APPNOTE.TXT, PKWARE's description of the format.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NoReturn

from porter.errors import FormatError

DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError, KeyError)
"""The errors that zipfile raises for a damaged archive, and json for damaged members."""
_CHUNK = 1 << 20
_LITERAL = re.compile(r"""\bb(["']).*\1""", re.DOTALL)
"""Bytes as Python prints them: zipfile quotes the bytes that it found instead of a member, however many."""
_ENCRYPTED = 1
"""The lowest of a member's flag bits."""


def members_of(path: Path) -> list[str]:
    """Return the names of an archive's members. Raises FormatError if its directory cannot be read."""
    with whole(path, "zip archive"), zipfile.ZipFile(path) as archive:
        return archive.namelist()


def refuse(path: Path) -> NoReturn:
    """Raise the FormatError that says why an archive's directory cannot be read."""
    members_of(path)
    raise FormatError(f"{path} is not a whole zip archive; copy or download it again")


def open_archive(path: Path, what: str, ratio: int, room: int = 0) -> zipfile.ZipFile:
    """Open an archive after checking that its members are safe to read; errors call it ``what``.

    A member may unpack to the larger of ``room`` bytes and ``ratio`` times its stored bytes. Raises FormatError, naming
    the member, if one claims more, lies outside the archive, occurs twice, is a link or is encrypted.
    """
    with whole(path, what):
        archive = zipfile.ZipFile(path)
    _check(archive, path, ratio, room)
    return archive


def check_contents(archive: zipfile.ZipFile, path: Path) -> None:
    """Read every member, chunk by chunk, and raise FormatError if one does not match its CRC-32."""
    for member in archive.infolist():
        try:
            with archive.open(member) as file:
                while file.read(_CHUNK):
                    pass
        except DAMAGE:
            raise FormatError(
                f"{path}: its member {member.filename!r}, at byte {member.header_offset}, does not match its CRC-32; "
                "copy or download it again"
            ) from None


@contextmanager
def whole(path: Path, what: str) -> Iterator[None]:
    """Turn errors about damage in the block into a FormatError: ``path`` is not a whole ``what``."""
    try:
        yield
    except DAMAGE as error:
        raise FormatError(f"{path} is not a whole {what} ({said(error)}); copy or download it again") from None


def said(error: Exception) -> str:
    """Return a library's message as one line without quotes, or the error's class if it has no message."""
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    message = _LITERAL.sub("other bytes", message)
    return " ".join(message.split()) or type(error).__name__


def _check(archive: zipfile.ZipFile, path: Path, ratio: int, room: int) -> None:
    size, stored, seen = path.stat().st_size, 0, set()
    for member in archive.infolist():
        name = member.filename
        wrong = _wrong(member, name in seen)
        if wrong:
            raise FormatError(f"{path}: its member {name!r} {wrong}: do not trust it, get it from its author")
        seen.add(name)
        stored += member.compress_size
        packed = min(member.compress_size, size)
        if member.file_size > max(ratio * packed, room):
            raise FormatError(
                f"{path}: its member {name} claims to unpack from {packed} bytes to {member.file_size}; "
                "copy or download it again"
            )
    if stored > size:
        raise FormatError(f"{path}: its members share bytes: they claim {stored} of {size}; copy or download it again")


def _wrong(member: zipfile.ZipInfo, seen: bool) -> str | None:
    """Return the fault of a member apart from its size, or None."""
    given = PurePosixPath(member.filename)
    kind = stat.S_IFMT(member.external_attr >> 16)
    if given.is_absolute() or ".." in given.parts or "\\" in member.filename or ":" in member.filename[:2]:
        return "lies outside the archive"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if seen:
        return "occurs twice"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return None
