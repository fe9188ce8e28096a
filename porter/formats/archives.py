"""Checkpoints in archives as they were released: .tar and .tar.gz, .zip, and single gzipped files.

Archives are untrusted: every member is checked before it is written, and nothing is written outside one folder.
"""

from __future__ import annotations

import atexit
import errno
import gzip
import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Self, TypeVar, cast

from porter.errors import FormatError, PorterError, listing
from porter.files.atomic import scratch
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.identify import Identity, checkpoints_in, identify
from porter.formats.open import open_checkpoint
from porter.formats.peek import Peek
from porter.formats.zip import DAMAGE, open_archive, said

LARGEST = 8 << 30
"""Bytes that an archive may unpack to, ten times NASNet-A Large's."""
_RATIO = 64
"""Graphs as text compress to a seventeenth at best, weights hardly at all; deflate's own bound is 1032."""
_ROOM = 1 << 26
"""Bytes that any archive may unpack to."""
_LONGEST = 1 << 20
_CHUNK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
T = TypeVar("T")


# ---- reading what lies in an archive
def read_archive(path: Path, files: Sequence[Path]) -> Checkpoint:
    """Read the one checkpoint in an archive, or the one at ``path`` inside it: ``release.tgz/model.ckpt``.

    The archive is unpacked into a temporary folder, once for each process, which removes it when it ends. Names in
    errors are those inside the archive. Raises FormatError, and PorterError where the archive holds several checkpoints
    or none.
    """
    (archive,) = files
    room = _unpacked(archive)
    with _named_inside(room, archive), _kept_if_read(room):
        opened = open_checkpoint(room / path.relative_to(archive) if path != archive else _only_one(room))
        _READ.add(room)
    entries = {
        name: Entry(entry.shape, entry.dtype, partial(_called, entry.load, room, archive))
        for name, entry in opened.entries.items()
    }
    checks: dict[str, Callable[[], None]] = {
        name: partial(_called, check, room, archive) for name, check in opened.checks.items()
    }
    inside = archive / opened.path.relative_to(room)
    with _named_inside(room, archive):
        opened.require_whole()
    return replace(opened, path=inside, entries=entries, checks=checks, files=(archive,), unpacked=opened.path)


def read_inside(found: Identity, read: Callable[[Path], T]) -> T | None:
    """Return what ``read`` makes of the graph in an archive, such as a SavedModel; None if the archive holds none.

    ``read`` takes the graph's place in the folder that the archive was unpacked into. Errors name the archive.
    """
    (archive,) = found.files
    room = _unpacked(archive)
    with _named_inside(room, archive), _kept_if_read(room):
        place = room / found.path.relative_to(archive) if found.path != archive else _graph(room)
        if place is None or identify(place).kind.holds != "graph":
            return None
        return read(place)


def leave(found: Identity) -> None:
    """Remove what an archive was unpacked into, unless something in it is read."""
    for archive in found.files if found.kind.holds == "archive" else ():
        _remove(_UNPACKED.get(_state(archive)))


def _graph(room: Path) -> Path | None:
    """Return the graph in the topmost folder that has anything that porter reads, None if that is a checkpoint."""
    for level in _levels(room):
        graphs = [folder for folder in level if identify(folder).kind.holds == "graph"]
        if graphs or any(checkpoints_in(folder) for folder in level):
            return graphs[0] if len(graphs) == 1 else None
    return None


def _levels(room: Path) -> Iterator[list[Path]]:
    """Yield the folders of each depth, ``room`` first."""
    level = [room]
    while level:
        yield level
        level = sorted(path for folder in level for path in folder.iterdir() if path.is_dir())


def _only_one(room: Path) -> Path:
    """Return the checkpoint in the topmost folder that has one. Raises PorterError if it has several, or none has."""
    for level in _levels(room):
        found = [path for folder in level for path in checkpoints_in(folder)]
        if len(found) > 1:
            raise PorterError(f"{room} holds several checkpoints: name one of them{listing(map(str, found))}")
        if found:
            return found[0]
    held = listing(str(path) for path in sorted(room.rglob("*")) if path.is_file())
    raise PorterError(f"{room} holds no checkpoint that porter reads: name another file; it holds{held or ' nothing'}")


@contextmanager
def _named_inside(room: Path, archive: Path) -> Iterator[None]:
    """Name the archive in errors, where they name the folder that it was unpacked into."""
    try:
        yield
    except PorterError as error:
        raise type(error)(str(error).replace(str(room), str(archive))) from None


def _called(function: Callable[[], T], room: Path, archive: Path) -> T:
    with _named_inside(room, archive):
        return function()


_UNPACKED: dict[tuple[Path, int, int], Path] = {}
"""The folder of each archive that this process unpacked, by the archive's path, size and time."""
_ROOMS: dict[Path, ExitStack] = {}
"""What removes each of these folders."""


_READ: set[Path] = set()
"""Those folders from which something is read, perhaps only later."""


def _state(archive: Path) -> tuple[Path, int, int]:
    state = archive.stat()
    return archive.resolve(), state.st_size, state.st_mtime_ns


def _remove(room: Path | None) -> None:
    if room in _ROOMS and room not in _READ:
        _ROOMS.pop(room).close()


def _unpacked(archive: Path) -> Path:
    key = _state(archive)
    if _UNPACKED.get(key) not in _ROOMS:
        with ExitStack() as stack:
            # Its lock lets the next process remove the folder of a killed one.
            room = stack.enter_context(scratch(Path(tempfile.gettempdir()))) / "unpacked"
            room.mkdir()
            extract(archive, room, _wanted)
            _ROOMS[room] = stack.pop_all()
        _UNPACKED[key] = room
    return _UNPACKED[key]


@contextmanager
def _kept_if_read(room: Path) -> Iterator[None]:
    """Remove ``room`` at once if nothing in it can be read, nor was before."""
    try:
        yield
    except PorterError:
        _remove(room)
        raise


@atexit.register
def _remove_all() -> None:
    while _ROOMS:
        _ROOMS.popitem()[1].close()


def _wanted(member: PurePosixPath) -> PurePosixPath | None:
    """Leave out what macOS adds to its archives."""
    return None if "__MACOSX" in member.parts or member.name.startswith("._") else member


# ---- unpacking
Keep = Callable[[PurePosixPath], PurePosixPath | None]
"""Returns where a member goes within the folder, or None to leave it out."""


def extract(archive: Path, folder: Path, keep: Keep) -> list[Path]:
    """Extract the regular files that ``keep`` wants from ``archive`` into ``folder``; return their paths.

    Raises FormatError if the archive is damaged, if a member's path leaves the folder, if a member is a link or a
    device or occurs twice, and if all members together claim more than LARGEST bytes or _RATIO times the archive's.
    Raises PorterError if the disk is full.
    """
    written: list[Path] = []
    seen: set[PurePosixPath] = set()
    room = most(archive)
    try:
        for name, size, file in _members(archive):
            room -= size
            if room < 0:
                raise _bomb(archive)
            if name in seen:
                raise FormatError(f"{archive}: the member {str(name)!r} occurs twice; do not trust this archive")
            seen.add(name)
            place = keep(name)
            if place is not None:
                written.append(_write(file(), folder / place))
    except (*DAMAGE, tarfile.TarError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise PorterError(f"{folder} has no room for what {archive} holds: set TMPDIR to a larger disk") from None
        raise FormatError(f"{archive} is not a whole archive ({said(error)}); copy or download it again") from None
    return written


def most(archive: Path) -> int:
    """Return the number of bytes that ``archive`` may unpack to."""
    return min(LARGEST, max(_RATIO * archive.stat().st_size, _ROOM))


def _bomb(archive: Path) -> FormatError:
    return FormatError(
        f"{archive} unpacks to over {most(archive):,} bytes, which weights never do: do not trust it, or unpack it "
        "yourself"
    )


def _write(source: IO[bytes], target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
    return target


_Member = tuple[PurePosixPath, int, Callable[[], IO[bytes]]]
"""A regular file in an archive: its name, its size in bytes, and how to open it."""


def _members(archive: Path) -> Iterator[_Member]:
    peek = Peek(archive)
    if peek.is_zip:
        return _of_zip(archive)
    return _of_tar(archive) if peek.is_tar else _of_gzip(archive)


def _of_zip(archive: Path) -> Iterator[_Member]:
    with open_archive(archive, "zip archive", _RATIO, _ROOM) as opened:
        for member in opened.infolist():
            if not member.is_dir():
                yield PurePosixPath(member.filename), member.file_size, partial(opened.open, member)


def _of_gzip(archive: Path) -> Iterator[_Member]:
    """Yield the one file in a gzipped file, which does not state its size."""
    yield PurePosixPath(archive.stem), 0, lambda: cast(IO[bytes], _Bounded(archive))


def _of_tar(archive: Path) -> Iterator[_Member]:
    with _Bounded(archive) as raw, tarfile.open(fileobj=raw, mode="r|", tarinfo=_Header) as tar:
        for member in tar:
            _check(archive, member)
            if member.isfile():
                yield PurePosixPath(member.name), member.size, partial(_opened, tar, member)


class _Header(tarfile.TarInfo):
    """A member's header. Those that extend it have no more than _LONGEST bytes, which tarfile reads into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a header. Raises tarfile.ReadError if what follows is not a file, and larger."""
        header = super().frombuf(buf, encoding, errors)
        if not header.isfile() and header.size > _LONGEST:
            raise tarfile.ReadError(f"a header claims {header.size:,} bytes")
        return header


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None  # tarfile returns None only for what is not a file
    return file


def _check(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise FormatError(f"{archive}: the member {member.name!r} points outside the folder; do not trust this archive")
    if not (member.isfile() or member.isdir()):
        raise FormatError(f"{archive}: the member {member.name!r} is a link or a device; do not trust this archive")


class _Bounded(io.RawIOBase):
    """The bytes of a file, gunzipped if it is gzipped, up to the number that the archive may unpack to.

    gzip states no size.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive
        zipped = Peek(archive).begins(b"\x1f\x8b")
        self.file = cast(IO[bytes], gzip.open(archive) if zipped else archive.open("rb"))  # noqa: SIM115 - in close
        self.left = most(archive) + _ROOM  # headers and padding come on top

    def read(self, size: int = -1) -> bytes:
        """Return up to ``size`` bytes. Raises FormatError if that are more than the archive may unpack to."""
        raw = self.file.read(min(size, self.left + 1) if size >= 0 else self.left + 1)
        self.left -= len(raw)
        if self.left < 0:
            raise _bomb(self.archive)
        return raw

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        super().close()
