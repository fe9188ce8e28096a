"""Replaces a file or folder in one step: writes it beside its target, flushes it, then renames it.

Whatever stops a writer, the target holds the old contents or all of the new ones. Each writer works in a hidden folder
beside the target and holds a lock in it, which ends with its process. The next writer removes the folders of killed
writers: those with a free lock.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter.errors import PorterError

if TYPE_CHECKING:
    from filelock import BaseFileLock

_BEGIN, _END = ".porter-", ".partial"
_LOCK, _CONTENTS = "lock", "contents"
_RETIRED = ".retired"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path to write a file or folder to, and rename the result to ``target`` at the end.

    The path has the target's name and lies in a hidden folder beside it. If the body raises or writes nothing,
    ``target`` keeps its old contents. Raises PorterError if writing fails.
    """
    place = target.resolve()  # replace the file that a link points to, not the link
    _require_regular(place, target)
    try:
        with scratch(place.parent) as room:
            _restore(place)
            temporary = room / place.name
            yield temporary
            if temporary.is_file() and place.is_dir():
                raise PorterError(f"{target} is a folder: name a file to write")
            if temporary.exists():
                _put(temporary, place)
    except OSError as error:
        raise _sentence(target, error) from error


@contextmanager
def creating(name: Path, targets: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield a path for each of ``targets``, files of one folder that make up ``name``, and rename them at the end.

    The last file leads readers to the others, and gets its name last. So it is replaced by the same bytes alone, see
    `refuse_other`. A target that the body leaves out is removed. If the body raises or does not write the last file,
    all targets keep their old contents. Raises PorterError if writing fails.
    """
    folder = targets[0].parent.resolve()
    for target in targets:
        _require_regular(folder / target.name, target)
    try:
        with scratch(folder) as room:
            temporaries = [room / target.name for target in targets]
            yield temporaries
            if temporaries[-1].exists():
                refuse_other(temporaries[-1], targets[-1])
                for new in temporaries:
                    if new.exists():
                        _put(new, folder / new.name)
                    else:
                        (folder / new.name).unlink(missing_ok=True)
    except OSError as error:
        raise _sentence(name, error) from error


def refuse_other(new: Path, target: Path) -> None:
    """Raise PorterError if ``target`` has other bytes than ``new``: several files are not replaced in one step."""
    if target.is_file() and target.read_bytes() != new.read_bytes():
        raise PorterError(f"{target} belongs to another checkpoint already: delete it, or name another `out`")


def _require_regular(place: Path, target: Path) -> None:
    if place.exists() and not (place.is_file() or place.is_dir()):
        raise PorterError(f"{target} is not a regular file: name a new file to write")


def discard(path: Path) -> None:
    """Remove a file or folder if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Write a file's contents, or a folder's names, through to the disk before returning."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a new hidden folder in ``folder`` and remove it at the end, with those that killed writers left."""
    for left in folder.glob(f"{_BEGIN}*{_END}"):
        _remove_if_dead(left)
    room, lock = _locked(folder)
    try:
        (room / _CONTENTS).mkdir()
        yield room / _CONTENTS
    finally:
        _remove(room, lock)


def _lock_in(room: Path) -> BaseFileLock:
    lock: BaseFileLock = _filelock().FileLock(room / _LOCK)
    return lock


def _filelock() -> Any:
    """Import filelock, which warns on a system without native locks that it writes process ids into files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import filelock
    return filelock


def _locked(folder: Path) -> tuple[Path, BaseFileLock]:
    """Return a new folder in ``folder`` and the lock that this process holds on it."""
    while True:
        room = Path(tempfile.mkdtemp(_END, _BEGIN, folder))
        lock = _lock_in(room)
        try:
            lock.acquire(blocking=False)
        except _filelock().Timeout:
            continue  # another writer took the folder for a dead one and removes it
        except (OSError, NotImplementedError):
            if room.is_dir():
                return room, lock  # the file system has no locks, so no writer removes another's folder
        else:
            if (room / _LOCK).exists():
                return room, lock
            lock.release()  # another writer removed the folder before this one locked it


def _remove_if_dead(room: Path) -> None:
    lock = _lock_in(room)
    try:
        lock.acquire(blocking=False)
    except (_filelock().Timeout, OSError, NotImplementedError):
        return  # in use, already gone, or another user's
    _remove(room, lock)


def _remove(room: Path, lock: BaseFileLock) -> None:
    # Removal comes before release: otherwise another writer could lock the folder and lose its files.
    shutil.rmtree(room, ignore_errors=True)
    lock.release()
    if sys.platform == "win32":  # which keeps the lock's file as long as it is open
        shutil.rmtree(room, ignore_errors=True)


def _put(new: Path, target: Path) -> None:
    """Flush ``new`` and rename it to ``target``."""
    for path in [*new.rglob("*"), new] if new.is_dir() else [new]:
        flush(path)
    if not target.is_dir():
        new.replace(target)
    elif not _exchange(new, target):
        # Two steps. If the writer dies between them, the next writer moves the old folder back.
        aside = target.with_name(f".{target.name}{_RETIRED}")
        target.rename(aside)
        new.rename(target)
        shutil.rmtree(aside)
    flush(target.parent)


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # fcntl.h, stdio.h: renameat2(2)
_RENAME_SWAP = 2  # sys/stdio.h of macOS: renamex_np(2)


def _exchange(new: Path, old: Path) -> bool:
    """Swap two folders in one step; return False if the system or the file system cannot.

    A rename alone cannot replace a folder that is not empty.
    """
    names = os.fsencode(new), os.fsencode(old)
    try:
        if sys.platform == "linux":
            done = ctypes.CDLL(None).renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
        elif sys.platform == "darwin":
            done = ctypes.CDLL(None).renamex_np(*names, _RENAME_SWAP)
        else:
            done = -1
    except AttributeError:  # an older C library
        done = -1
    return bool(done == 0)


def _restore(target: Path) -> None:
    """Move a folder back that a killed writer had moved aside."""
    aside = target.with_name(f".{target.name}{_RETIRED}")
    if aside.is_dir() and not target.exists():
        aside.rename(target)
    elif aside.is_dir():
        shutil.rmtree(aside)


def _sentence(target: Path, error: OSError) -> PorterError:
    reason = os.strerror(error.errno) if error.errno else (str(error) or type(error).__name__).splitlines()[0]
    if error.filename and _BEGIN not in str(error.filename):
        return PorterError(f"{error.filename}: {reason}; {target} was not written")
    return PorterError(f"{target} cannot be written: {reason}; name another place for it")
