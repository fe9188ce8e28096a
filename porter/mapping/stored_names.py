"""Where a file has the table's names: unchanged, with a prefix, without scopes, or as older files spell them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from porter.errors import MappingError
from porter.formats.checkpoint import Checkpoint
from porter.formats.roles import base_name, has_variable
from porter.mapping.dialects import Dialect
from porter.mapping.table import Table


@dataclass(frozen=True)
class Located:
    """Where a checkpoint has a table's tensors.

    ``names`` holds ``{table's name: stored name}`` of the tensors asked for, those that the file lacks too. ``unasked``
    holds ``{stored name: part}`` of the optional parts that nobody asked for. ``prefix`` stands before all of them.
    """

    names: dict[str, str]
    unasked: dict[str, str]
    prefix: str

    @cached_property
    def stored(self) -> frozenset[str]:
        """The stored names of the tensors asked for."""
        return frozenset(self.names.values())


def locate(checkpoint: Checkpoint, table: Table, dialect: str, parts: Collection[str], prefix: str | None) -> Located:
    """Return where ``checkpoint`` has the tensors of ``table``, with those of the optional ``parts``.

    Without ``prefix`` it is found. Raises MappingError where two prefixes fit, or ``prefix`` does not.
    """
    stored, record = checkpoint.entries, table.record(dialect)
    part_of = {pair.source: pair.part for pair in table.pairs(dialect, dialect, table.parts)}
    asked = [name for name, part in part_of.items() if part is None or part in parts]
    try:
        names, prefix = resolve_names(stored, asked, record, prefix)
    except MappingError as error:
        raise MappingError(f"{checkpoint.path}: {error}") from None
    unasked = stored_names(stored, [name for name in part_of if name not in names], record, prefix)
    older = table.other_names(dialect)
    names, unasked = (_respelled(stored, found, older, record, prefix) for found in (names, unasked))
    return Located(names, {there: str(part_of[name]) for name, there in unasked.items()}, prefix)


def resolve_names(
    stored: Collection[str], names: Sequence[str], dialect: Dialect, prefix: str | None = None
) -> tuple[dict[str, str], str]:
    """Return ``{table's name: stored name}`` and the prefix that stands before all of them.

    Without ``prefix`` it is the one that most of ``names`` have. Where a file has only the average of a
    variable, the stored name is the variable's own. Raises MappingError where all names have two prefixes.
    """
    if not dialect.scoped:
        if prefix:
            raise MappingError(f"files of {dialect.title} have no prefixes: leave `prefix` out")
        return stored_names(stored, names, dialect), ""
    if prefix is None:
        prefix = find_prefix(stored, names)
    elif not any(has_variable(prefix + name, stored) for name in names):
        found = ", ".join(repr(other) for other, tails in _behind(stored, names).items() if tails) or "nothing"
        raise MappingError(f"no name of the model follows the prefix {prefix!r}; the prefixes in the file are {found}")
    return stored_names(stored, names, dialect, prefix), prefix


def stored_names(stored: Collection[str], names: Iterable[str], dialect: Dialect, prefix: str = "") -> dict[str, str]:
    """Return ``{table's name: stored name}`` for a known ``prefix``."""
    if dialect.scoped:
        return {name: prefix + name for name in names}
    by_layer = {_without_scopes(name, dialect): name for name in stored}
    by_layer |= {
        name.removesuffix(older) + leaf: full
        for leaf, spellings in dialect.older_leaves.items()
        for older in spellings
        for name, full in by_layer.items()
        if name.endswith(dialect.separator + older)
    }
    return {name: by_layer.get(_without_scopes(name, dialect), name) for name in names}


def _without_scopes(name: str, dialect: Dialect) -> str:
    """Return layer and leaf alone: layer names are unique without the scopes, which files drop."""
    return dialect.separator.join(name.split(dialect.separator)[-2:])


def _respelled(
    stored: Collection[str],
    names: Mapping[str, str],
    older: Mapping[str, Sequence[str]],
    dialect: Dialect,
    prefix: str,
) -> dict[str, str]:
    """Return ``names``, those that the file lacks replaced by an older spelling that it has."""
    spelled = stored_names(stored, [other for name in names for other in older.get(name, ())], dialect, prefix)
    found = dict(names)
    for name, there in names.items():
        if not has_variable(there, stored):
            for other in older.get(name, ()):
                if has_variable(spelled[other], stored):
                    found[name] = spelled[other]
    return found


def find_prefix(stored: Collection[str], names: Sequence[str]) -> str:
    """Return what stands before most of the table's ``names``, ``""`` where nothing does."""
    behind = _behind(stored, names)
    whole = [repr(prefix) for prefix, tails in behind.items() if len(tails) == len(names)]
    if len(whole) > 1:
        raise MappingError(
            f"the file holds the model {len(whole)} times, with the prefixes {', '.join(whole)}: "
            "choose one with `prefix` and leave the others out with `ignore`"
        )
    return max(behind, key=lambda prefix: len(behind[prefix]))


def _behind(stored: Collection[str], names: Sequence[str]) -> dict[str, set[str]]:
    """Return the names among ``names`` that each prefix in ``stored`` has; ``""`` is the first."""
    wanted = set(names)
    behind: dict[str, set[str]] = {"": set()}
    for name in map(base_name, stored):
        parts = name.split("/")
        for at in range(len(parts)):
            tail = "/".join(parts[at:])
            if tail in wanted:
                behind.setdefault(name.removesuffix(tail), set()).add(tail)
    return behind


def layer_name(path: str) -> str:
    """Return the name of the Keras layer at ``path``: the last part, which is unique in a network."""
    return path.rpartition("/")[2]


def why_none(stored: Collection[str], table: Table, dialect: str, model: str) -> str:
    """Say why a file has none of the names of ``model`` in ``dialect``: another dialect, or another model."""
    for other, record in table.records.items():
        names = [pair.source for pair in table.pairs(other, other)]
        if other != dialect and any(
            has_variable(name, stored) for name in resolve_names(stored, names, record)[0].values()
        ):
            return f'has the names of the dialect {other}, not of {dialect}: port it with `source="{other}"`'
    return f"has none of the tensors of {model}: name the model that it belongs to"
