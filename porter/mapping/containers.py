"""Names in files that keep no scopes of their own, but those of containers: ``backbone/conv1/kernel``.

Keras' layer names are unique in a model, and a file may hold a model within another one: the layer's name and the leaf
find a tensor, the containers before them tell two networks apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from porter.errors import MappingError
from porter.mapping.dialects import Dialect
from porter.mapping.places import several
from porter.mapping.tails import tails

Candidates = Mapping[str, Sequence[str]]
"""The stored names of each layer and leaf."""


def contained_names(
    stored: Collection[str], names: Iterable[str], dialect: Dialect, prefix: str = ""
) -> dict[str, str]:
    """Return ``{table's name: stored name}`` of the tensors behind ``prefix``; the outermost counts.

    A name that is not there stays as the table has it.
    """
    names = tuple(names)
    found = _candidates(stored, [tail_of(name, dialect) for name in names], dialect, prefix)
    return {name: _nearest(found.get(tail_of(name, dialect), (name,)), name, prefix, dialect) for name in names}


def find_container(stored: Collection[str], names: Sequence[str], dialect: Dialect) -> str:
    """Return the prefix of the innermost container that holds all of ``names`` that the file has, "" without one.

    Where a layer lies in several containers, it is the one that holds most. Raises MappingError where two hold as many.
    """
    wanted = {tail_of(name, dialect): name for name in names}
    found = _candidates(stored, wanted, dialect)
    prefix = ""
    while inner := _held(found, wanted, prefix, dialect):
        fullest = max(inner, key=lambda container: len(inner[container]))
        rivals = [each for each, held in inner.items() if len(held) == len(inner[fullest]) and held & inner[fullest]]
        present = [tail for tail, where in found.items() if any(name.startswith(prefix) for name in where)]
        tied = _tied(found, wanted, prefix, dialect)
        if len(rivals) > 1 and tied:
            raise _choose([_deepest(found, wanted, rival, dialect) for rival in rivals])
        if len(inner[fullest]) < len(present) and not tied:
            break
        prefix = fullest
    return prefix


def _deepest(found: Candidates, wanted: Mapping[str, str], prefix: str, dialect: Dialect) -> str:
    """Return the innermost container in ``prefix`` that holds all that ``prefix`` does."""
    while inner := _held(found, wanted, prefix, dialect):
        present = [tail for tail, where in found.items() if any(name.startswith(prefix) for name in where)]
        whole = [container for container, held in inner.items() if len(held) == len(present)]
        if len(whole) != 1:
            break
        prefix = whole[0]
    return prefix


def check_container(stored: Collection[str], names: Sequence[str], dialect: Dialect, prefix: str) -> None:
    """Raise MappingError where ``prefix`` precedes none of ``names``."""
    wanted = {tail_of(name, dialect) for name in names}
    found = _candidates(stored, wanted, dialect)
    if not any(name.startswith(prefix) for where in found.values() for name in where):
        heads = {name.removesuffix(tail) for tail, where in found.items() for name in where}
        shown = ", ".join(repr(head) for head in sorted(heads)[:5]) or "nothing"
        raise MappingError(f"the prefix {prefix!r} precedes none of the model's names: they follow {shown}")


def tail_of(name: str, dialect: Dialect) -> str:
    """Return layer and leaf alone, as today's files spell the leaf."""
    return dialect.unscoped(name)


def spellings(tail: str, dialect: Dialect) -> tuple[str, ...]:
    """Return layer and leaf as today's files spell the leaf, and as older ones do."""
    layer, separator, leaf = tail.rpartition(dialect.separator)
    return tuple(layer + separator + each for each in (leaf, *dialect.older_leaves.get(leaf, ())))


def _candidates(stored: Collection[str], wanted: Iterable[str], dialect: Dialect, prefix: str = "") -> Candidates:
    """Return the stored names behind ``prefix`` of each of the ``wanted`` tails, in the file's order.

    Where older files spell a leaf otherwise, its tail has their names too.
    """
    index = tails(stored, dialect.separator)
    found: dict[str, list[tuple[int, str]]] = {}
    for tail in dict.fromkeys(wanted):
        scoped = dialect.separator in tail
        for spelled in spellings(tail, dialect):
            for position, before in index.find(spelled):
                if (scoped or not before) and (before + spelled).startswith(prefix):
                    found.setdefault(tail, []).append((position, before + spelled))
    ordered = {tail: sorted(names) for tail, names in found.items()}
    return {tail: [name for _, name in ordered[tail]] for tail in sorted(ordered, key=lambda each: ordered[each][0])}


def _nearest(candidates: Sequence[str], name: str, prefix: str, dialect: Dialect) -> str:
    """Return the candidate that is the table's own name behind the prefix, else the one in the fewest containers."""
    whole = prefix + name
    return whole if whole in candidates else min(candidates, key=lambda each: each.count(dialect.separator))


def _held(found: Candidates, wanted: Mapping[str, str], prefix: str, dialect: Dialect) -> dict[str, set[str]]:
    """Return the layers and leaves that each container directly inside ``prefix`` holds.

    The scopes of the table's own name are no containers.
    """
    held: dict[str, set[str]] = {}
    for tail, candidates in found.items():
        for name in candidates:
            if not name.startswith(prefix) or name == prefix + wanted[tail]:
                continue
            first, _, rest = name.removeprefix(prefix).partition(dialect.separator)
            if dialect.separator in rest:
                held.setdefault(f"{prefix}{first}{dialect.separator}", set()).add(tail)
    return held


def _tied(found: Candidates, wanted: Mapping[str, str], prefix: str, dialect: Dialect) -> bool:
    """Tell whether a layer lies in several containers behind ``prefix``, and in none nearer than in another."""
    for tail, candidates in found.items():
        depths = sorted(name.count(dialect.separator) for name in candidates if name.startswith(prefix))
        if depths[:1] == depths[1:2] and prefix + wanted[tail] not in candidates:
            return True
    return False


def outside(stored: Collection[str], names: Sequence[str], dialect: Dialect, prefix: str) -> set[str]:
    """Return the tensors with the layers and leaves of ``names`` that do not follow ``prefix``."""
    wanted = {tail_of(name, dialect) for name in names}
    found = _candidates(stored, wanted, dialect)
    return {name for candidates in found.values() for name in candidates if not name.startswith(prefix)}


def _choose(containers: Sequence[str]) -> MappingError:
    return several([each.rstrip("/") for each in sorted(containers)], [{"prefix": each} for each in sorted(containers)])
