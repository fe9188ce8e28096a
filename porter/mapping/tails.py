"""tails: where a file has what a table's names end with, looked up in an index of the file's names.

A file is compared with all tables in all dialects, and large files have tens of thousands of names.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator
from functools import lru_cache

from porter.formats.roles import base_name


class Tails:
    """The names of a file that end with a tail: names written backwards, in order, so that equal ends are neighbours.

    A dictionary of all tails would take ten times the memory.
    """

    def __init__(self, stored: Collection[str], separator: str) -> None:
        names = [base_name(name) for name in stored]
        self._backward = sorted((name[::-1], position) for position, name in enumerate(names))
        self._end = separator[::-1]
        self.endings = {end for name in names for end in (ending(name, separator), name.rpartition(separator)[2])}
        """The last two parts of the names, and their last part."""

    def find(self, tail: str) -> list[tuple[int, str]]:
        """Return each name's position in the file and what stands before ``tail`` there, in the file's order."""
        backward, found = tail[::-1], []
        for at in range(bisect_left(self._backward, (backward,)), len(self._backward)):
            name, position = self._backward[at]
            if not name.startswith(backward):
                break
            before = name[len(backward) :]
            if not before or before.startswith(self._end):
                found.append((position, before[::-1]))
        return sorted(found)


def tails(stored: Collection[str], separator: str) -> Tails:
    """Return the tails of the names in ``stored``, each name's own tail being the name itself.

    A file that has only the average of a variable has the variable's name.
    """
    return _index(tuple(stored), separator)


@lru_cache(maxsize=4)
def _index(stored: tuple[str, ...], separator: str) -> Tails:
    return Tails(stored, separator)


def ending(name: str, separator: str) -> str:
    """Return the last two parts of ``name``: a tensor's layer and leaf."""
    return separator.join(name.rsplit(separator, 2)[-2:])


def starts(name: str, separator: str) -> Iterator[int]:
    """Yield where each part of ``name`` starts."""
    at = 0
    while at >= 0:
        yield at
        at = name.find(separator, at)
        at = at + len(separator) if at >= 0 else at
