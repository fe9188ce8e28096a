"""Extracts a released checkpoint from the archive that was fetched; see porter.formats.archives."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from porter.errors import FormatError
from porter.formats.archives import extract


def unpack(archive: Path, checkpoint: str, folder: Path) -> list[Path]:
    """Extract the files of ``archive`` whose names begin with ``checkpoint`` into ``folder``; return their paths.

    ``checkpoint`` may begin with folders, which the files then lie in. The files lose their folders. Raises FormatError
    as `extract` does, and if the checkpoint is missing.
    """
    wanted = PurePosixPath(checkpoint)

    def keep(member: PurePosixPath) -> PurePosixPath | None:
        named = member.name.startswith(wanted.name)
        return PurePosixPath(member.name) if named and member.with_name(wanted.name).match(checkpoint) else None

    written = extract(archive, folder, keep)
    if not written:
        raise FormatError(f"{archive} does not contain {checkpoint}: delete it, it is not the release")
    return written
