"""Takes a checkpoint's files out of a stranger's tar archive: regular files only, and only inside the folder."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath

from porter.errors import FormatError

LARGEST = 8 << 30
"""Bytes that an archive may unpack to: ten times NASNet-A Large's."""
_CHUNK = 1 << 20


def unpack(archive: Path, checkpoint: str, folder: Path) -> list[Path]:
    """Write the files of ``archive`` whose names begin with ``checkpoint`` into ``folder`` and return their paths.

    Where in the archive they lie is left behind. Raises FormatError, naming the member, where any member climbs
    out, is a link or a device, or where all of them are too large; and where the checkpoint is not there.
    """
    written = []
    try:
        with tarfile.open(archive, "r:*") as tar:
            room = LARGEST
            for member in tar:
                _check(archive, member)
                room -= member.size
                if room < 0:
                    raise FormatError(f"{archive} unpacks to more than {LARGEST} bytes: it is not the released archive")
                name = PurePosixPath(member.name).name
                if not member.isfile() or not name.startswith(checkpoint):
                    continue
                source = tar.extractfile(member)
                assert source is not None, "a regular file has contents"
                with (folder / name).open("wb") as target:
                    while chunk := source.read(_CHUNK):
                        target.write(chunk)
                written.append(folder / name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise FormatError(f"{archive} is not a whole tar archive ({error}): remove it and fetch it again") from None
    if not written:
        raise FormatError(f"{archive} has no {checkpoint}: it is not the released archive, remove it")
    return written


def _check(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise FormatError(f"{archive} has the member {member.name!r}, which lies outside the folder: do not trust it")
    if not (member.isfile() or member.isdir()):
        raise FormatError(f"{archive} has the member {member.name!r}, a link or a device: do not trust it")
