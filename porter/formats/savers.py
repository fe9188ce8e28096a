"""The files that TensorFlow's savers write under one prefix: index and data files, or V1's one or several files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from porter.errors import PorterError, listing

_DATA = re.compile(r"(.*)\.data-\d{5}-of-\d{5}")
_V1_SHARD = re.compile(r"(.+)-(?:\d{5}|\?{5})-of-(\d{5})")


class Place(NamedTuple):
    """Where a checkpoint lies: ``path`` names it, ``files`` state what it holds; several only for V1's shards."""

    path: Path
    files: tuple[Path, ...]


def one(path: Path) -> Place:
    """Return the place of a checkpoint that ``path`` alone describes."""
    return Place(path, (path,))


def index_of(path: Path) -> Path | None:
    """Return the index that the data file ``path`` belongs to, or None for any other file.

    A data file has no magic number, so that only its name tells. A saver that is given a folder as its prefix writes
    ``.index`` and ``.data-00000-of-00001`` in it.
    """
    found = _DATA.fullmatch(path.name)
    return path.with_name(f"{found[1]}.index") if found else None


def of_prefix(prefix: Path) -> Place | None:
    """Return what a saver wrote under ``prefix``: V2's index, V1's file or V1's shards; None if nothing is there.

    A saver that was given a folder wrote ``.index`` in it.
    """
    index = prefix.with_name(f"{prefix.name}.index") if prefix.name else prefix
    for path in (index, prefix / ".index", prefix):
        if path.is_file():
            return one(path)
    shards = v1_shards(prefix)
    if shards:
        return shards
    named = sorted(prefix.parent.glob(f"{_quoted(prefix.name)}-00000-of-[0-9][0-9][0-9][0-9][0-9]"))
    return v1_shards(named[0]) if len(named) == 1 else None


def v1_shards(path: Path) -> Place | None:
    """Return all files of a sharded V1 checkpoint; ``path`` is one of them, or the pattern of their names.

    Returns None if ``path`` names no shard. Raises PorterError if some of the files are missing.
    """
    shard = _V1_SHARD.fullmatch(path.name)
    if not shard or _DATA.fullmatch(path.name):
        return None
    files = tuple(path.with_name(f"{shard[1]}-{number:05d}-of-{shard[2]}") for number in range(int(shard[2])))
    present = [file for file in files if file.is_file()]
    if not present:
        return None
    if len(present) < len(files):
        missing = listing(file.name for file in files if not file.is_file())
        raise PorterError(f"{path} is one of {len(files)} files, but some are missing: copy them beside it{missing}")
    return Place(path.with_name(f"{shard[1]}-?????-of-{shard[2]}"), files)


def _quoted(name: str) -> str:
    """Return a glob pattern that matches ``name`` alone."""
    return re.sub(r"([*?[])", r"[\1]", name)
