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
from porter.mapping.tails import Tails, starts, tails


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
    root, index = root_scope(names, separator), tails(stored, separator)
    wanted = dict.fromkeys(names)
    here: list[tuple[int, int, Place, str]] = []
    for name in wanted:
        here += [(nth, len(prefix), Place(prefix, (), separator), name) for nth, prefix in index.find(name)]
        tail = name.removeprefix(root + separator) if root else name
        if tail not in wanted:
            here += [(nth, at, place, name) for nth, at, place in _renamed(index, tail, root, separator)]
    found: dict[Place, set[str]] = {Place(separator=separator): set()}
    for _, _, place, name in sorted(here, key=lambda each: each[:2]):
        found.setdefault(place, set()).add(name)
    return found


def _renamed(index: Tails, tail: str, root: str | None, separator: str) -> Iterator[tuple[int, int, Place]]:
    """Yield each place of ``tail`` in another scope than the table's ``root``, behind both positions."""
    for nth, before in index.find(tail):
        prefix, theirs = _split(before, separator)
        if root and theirs != root:
            yield nth, len(before), Place(prefix, ((theirs, root),), separator)


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
    inside = {name[: at - len(separator)] for name in known for at in starts(name, separator) if at}
    found: dict[str, int] = {}
    for name in names:
        scopes = (name[: at - len(separator)] for at in starts(name, separator) if at)
        scope = next((scope for scope in scopes if scope not in inside), name)
        found[scope] = found.get(scope, 0) + 1
    return found


def beside_the_head(
    heads: Collection[str], body: Collection[str], others: Sequence[str], separator: str
) -> tuple[str, ...]:
    """Return those of ``others`` whose layers stand in a scope that the head shares with the body, as BoxPredictor_0.

    Such layers come before the head, or between it and the body: SSDLite's depthwise convolutions. All are names of
    tensors. A scope that holds the whole network tells nothing.
    """
    around = [{_around(name, separator) for name in names} for names in (heads, body)]
    shared = [f"{scope}{separator}" for scope in around[0] & around[1] if scope]
    inside = tuple(scope for scope in shared if not all(name.startswith(scope) for name in body))
    return tuple(name for name in others if name.startswith(inside))


def _around(name: str, separator: str) -> str:
    """Return the scope around the layer that has the tensor ``name``, empty at the top."""
    return separator.join(name.split(separator)[:-2])
