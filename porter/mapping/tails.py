"""tails: where a file has what a table's names end with, looked up in an index of the file's names.

A file is compared with all tables in all dialects, and large files have tens of thousands of names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from porter.formats.roles import base_name

Tails = Mapping[str, Sequence[tuple[int, str]]]
"""For each tail the names that end with it: a name's position in the file, and what stands before the tail there."""


def tails(stored: Collection[str], separator: str) -> Tails:
    """Return the tails of the names in ``stored``, each name's own tail being the name itself.

    A file that has only the average of a variable has the variable's name.
    """
    return _index(tuple(stored), separator)


@lru_cache(maxsize=4)
def _index(stored: tuple[str, ...], separator: str) -> Tails:
    found: dict[str, list[tuple[int, str]]] = {}
    for position, name in enumerate(map(base_name, stored)):
        for at in starts(name, separator):
            found.setdefault(name[at:], []).append((position, name[:at]))
    return found


def starts(name: str, separator: str) -> Iterator[int]:
    """Yield where each part of ``name`` starts."""
    at = 0
    while at >= 0:
        yield at
        at = name.find(separator, at)
        at = at + len(separator) if at >= 0 else at
