"""Replaces a file or a folder in one step: written beside its target, flushed, then renamed.

Whatever stops a writer, its target holds what was there before or all of what is new. What a killed writer leaves lies
in a hidden folder beside the target, which the next writer removes; the lock on it, which ends with its process, tells
that nobody writes there any more.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from porter.errors import PorterError

_BEGIN, _END = ".porter-", ".partial"
_RETIRED = ".retired"


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path to write a file or a folder to; what lies there at the end is renamed to ``target``.

    It has the target's name, in a hidden folder beside it. Nothing is renamed, and ``target`` stays as it was, where
    the body raises or leaves nothing. Raises PorterError where it cannot be written.
    """
    place = target.resolve()  # what a link leads to, and not the link, is replaced
    try:
        with scratch(place.parent) as room:
            _restore(place)
            temporary = room / place.name
            yield temporary
            if temporary.exists():
                _put(temporary, place)
    except OSError as error:
        raise _sentence(target, error) from error


def discard(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Have what was written to a file, or the names in a folder, on the disk before returning."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Yield a new hidden folder in ``folder``, which is removed in the end, as are those that killed runs left."""
    for left in folder.glob(f"{_BEGIN}*{_END}"):
        _remove_if_dead(left)
    room, lock = _locked(folder)
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(lock)


def _locked(folder: Path) -> tuple[Path, int]:
    """Return a new folder in ``folder`` and the descriptor that holds its lock."""
    while True:
        room = Path(tempfile.mkdtemp(_END, _BEGIN, folder))
        lock = os.open(room, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            return room, lock  # a file system without locks, on which nobody can take it for a dead writer's either
        if room.is_dir():
            return room, lock
        os.close(lock)  # another writer removed it before it was locked


def _remove_if_dead(room: Path) -> None:
    try:
        lock = os.open(room, os.O_RDONLY)
    except OSError:
        return  # gone, or another user's
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # somebody writes there
    else:
        shutil.rmtree(room, ignore_errors=True)
    finally:
        os.close(lock)


def _put(new: Path, target: Path) -> None:
    """Flush ``new`` and rename it to ``target``."""
    for path in [*new.rglob("*"), new] if new.is_dir() else [new]:
        flush(path)
    if target.is_dir():
        _exchange(new, target)
    else:
        new.replace(target)
    flush(target.parent)


def _exchange(new: Path, old: Path) -> None:
    """Put the folder ``new`` where ``old`` is; a folder that is not empty cannot be renamed over."""
    libc = ctypes.CDLL(None)
    names = os.fsencode(new), os.fsencode(old)
    try:
        if sys.platform == "darwin":
            done = libc.renamex_np(*names, _RENAME_SWAP)
        else:
            done = libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    except AttributeError:  # a C library without it
        done = -1
    if done == 0:
        return
    # Two steps, then; a writer that is killed between them leaves what the next one puts back.
    aside = old.with_name(f".{old.name}{_RETIRED}")
    old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside)


_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # fcntl.h, stdio.h: renameat2(2)
_RENAME_SWAP = 2  # sys/stdio.h of macOS: renamex_np(2)


def _restore(target: Path) -> None:
    """Put back the folder that a killed writer had moved aside."""
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
