"""places: where in a file the names of a table stand: behind a prefix, under the table's root scope or another.

``prefix`` and ``rename`` answer two questions. The prefix is everything that stands before the model's names, such as
``FeatureExtractor/`` or ``module.``. A renaming replaces the names' own leading scope, behind the prefix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from porter.errors import MappingError
from porter.formats.roles import base_name


@dataclass(frozen=True)
class Place:
    """Where names of a table stand in a file.

    ``prefix`` stands before all of them. ``renamed`` holds pairs of a leading scope in the file and the table's, which
    the file has it for; an empty scope is the top of the file. ``separator`` stands between the parts of a name.
    ``spread`` pairs names with their own prefix where a file has the parts of a network in several scopes.
    """

    prefix: str = ""
    renamed: tuple[tuple[str, str], ...] = ()
    separator: str = "/"
    spread: tuple[tuple[str, str], ...] = ()

    def stored(self, name: str) -> str:
        """Return the name in the file of the table's ``name``."""
        if self.spread:
            return self._prefixes.get(name, "") + name
        for theirs, ours in self.renamed:
            if name == ours or name.startswith(ours + self.separator):
                tail = name[len(ours) :].removeprefix(self.separator)
                return self.prefix + self.separator.join(filter(None, (theirs, tail)))
        return self.prefix + name

    @cached_property
    def _prefixes(self) -> dict[str, str]:
        return dict(self.spread)

    @cached_property
    def shares(self) -> dict[str, int]:
        """The number of names behind each prefix, where a file has the parts of a network in several scopes."""
        return dict(Counter(prefix for _, prefix in self.spread))

    @property
    def scope(self) -> str:
        """The scope of the file that holds the names, for a reader; empty where that is the whole file."""
        if self.spread:
            return " and ".join(prefix.removesuffix(self.separator) for prefix in self.shares)
        roots = [theirs for theirs, _ in self.renamed]
        return (self.prefix + (roots[0] if len(roots) == 1 else "")).removesuffix(self.separator)

    def choice(self) -> dict[str, Any]:
        """Return the arguments that choose this place among others."""
        rename = {"rename": dict(self.renamed)} if self.renamed else {}
        return rename | {"prefix": self.prefix} if self.prefix or not rename else rename


def root_scope(names: Sequence[str], separator: str) -> str | None:
    """Return the first part of the names, None where they differ in it or have no other part."""
    first, found, _ = names[0].partition(separator) if names else ("", "", "")
    return first if found and all(name.startswith(first + separator) for name in names) else None


def places(stored: Collection[str], names: Sequence[str], separator: str) -> dict[Place, set[str]]:
    """Return which of the table's ``names`` stand at each place in ``stored``, the top of the file first.

    A file that has only the average of a variable has the variable's name.
    """
    wanted, root = set(names), root_scope(names, separator)
    tails = {name.removeprefix(root + separator): name for name in names} if root else {}
    found: dict[Place, set[str]] = {Place(separator=separator): set()}
    for name in map(base_name, stored):
        for at in _starts(name, separator):
            tail = name[at:]
            if tail in wanted:
                found.setdefault(Place(name[:at], (), separator), set()).add(tail)
            elif tail in tails and root:
                prefix, theirs = _split(name[:at], separator)
                if theirs != root:
                    found.setdefault(Place(prefix, ((theirs, root),), separator), set()).add(tails[tail])
    return found


def spread_place(found: Mapping[Place, set[str]], body: Sequence[str], separator: str) -> Place | None:
    """Return the place of a ``body`` whose names follow several prefixes, each name one of them alone.

    A two-stage detector has a network like this: FirstStageFeatureExtractor/ and SecondStageFeatureExtractor/.
    None where a name is not there, or more than once.
    """
    exact = {place.prefix: names for place, names in found.items() if names and not place.renamed}
    where = {name: [prefix for prefix, names in exact.items() if name in names] for name in body}
    if len(exact) < 2 or any(len(prefixes) != 1 for prefixes in where.values()):
        return None
    every = {name: prefix for prefix, names in exact.items() for name in names}
    return Place("", (), separator, tuple(every.items()))


def _starts(name: str, separator: str) -> Iterator[int]:
    """Yield where each part of ``name`` starts."""
    at = 0
    while at >= 0:
        yield at
        at = name.find(separator, at)
        at = at + len(separator) if at >= 0 else at


def _split(before: str, separator: str) -> tuple[str, str]:
    """Return the prefix and the last scope of what stands before a name."""
    prefix, found, scope = before.removesuffix(separator).rpartition(separator)
    return prefix + found, scope


def several(scopes: Sequence[str], ways: Sequence[Mapping[str, Any]]) -> MappingError:
    """Return the error for a file that holds the model in several ``scopes``; ``ways`` choose each of them."""
    return MappingError(
        f"the file holds the model {len(scopes)} times, in the scopes {', '.join(map(repr, scopes))}", ways
    )


def by_scope(names: Sequence[str], known: Collection[str], separator: str) -> dict[str, int]:
    """Return the number of ``names`` in each scope: the outermost one that holds none of the ``known`` names.

    A name without such a scope stands for itself.
    """
    inside = {name[: at - len(separator)] for name in known for at in _starts(name, separator) if at}
    found: dict[str, int] = {}
    for name in names:
        scopes = (name[: at - len(separator)] for at in _starts(name, separator) if at)
        scope = next((scope for scope in scopes if scope not in inside), name)
        found[scope] = found.get(scope, 0) + 1
    return found
