"""Extracts a checkpoint from an untrusted tar archive: regular files only, and only into one folder."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath

from porter.errors import FormatError

LARGEST = 8 << 30
"""Bytes that an archive may unpack to, ten times NASNet-A Large's."""
_CHUNK = 1 << 20


def unpack(archive: Path, checkpoint: str, folder: Path) -> list[Path]:
    """Extract the files of ``archive`` whose names begin with ``checkpoint`` into ``folder``; return their paths.

    ``checkpoint`` may begin with folders, which the files then lie in. The files lose their folders. Raises FormatError
    if a member's path leaves the folder, if a member is a link or a device, if all members together exceed LARGEST, or
    if the checkpoint is missing.
    """
    written = []
    wanted = PurePosixPath(checkpoint)
    inside = wanted.parts[:-1]
    try:
        with tarfile.open(archive, "r:*") as tar:
            room = LARGEST
            for member in tar:
                _check(archive, member)
                room -= member.size
                if room < 0:
                    raise FormatError(f"{archive} unpacks to over {LARGEST} bytes: delete it, it is not the release")
                *folders, name = PurePosixPath(member.name).parts or ("",)
                fits = name.startswith(wanted.name) and tuple(folders[len(folders) - len(inside) :]) == inside
                if not member.isfile() or not fits:
                    continue
                source = tar.extractfile(member)
                assert source is not None  # tarfile returns None only for what is not a file
                with (folder / name).open("wb") as target:
                    while chunk := source.read(_CHUNK):
                        target.write(chunk)
                written.append(folder / name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise FormatError(f"{archive} is not a complete tar archive ({error}): delete it and fetch it again") from None
    if not written:
        raise FormatError(f"{archive} does not contain {checkpoint}: delete it, it is not the release")
    return written


def _check(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise FormatError(f"{archive}: the member {member.name!r} points outside the folder; do not trust this archive")
    if not (member.isfile() or member.isdir()):
        raise FormatError(f"{archive}: the member {member.name!r} is a link or a device; do not trust this archive")
