"""Where a file has the table's names: unchanged, behind a prefix, in a renamed scope, without scopes, or older ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from porter.errors import MappingError
from porter.formats.checkpoint import Checkpoint
from porter.formats.roles import has_variable
from porter.mapping.containers import check_container, contained_names, find_container, outside
from porter.mapping.dialects import Dialect
from porter.mapping.places import Place, places, root_scope, several, spread_place
from porter.mapping.table import Table

Fits = Callable[[str, str], bool]
"""Tells whether the entry of the second name can hold the table's tensor of the first: whether its shape fits."""


@dataclass(frozen=True)
class Wanted:
    """Which of a table's tensors are looked for, and where, as far as the caller says it.

    ``parts`` are the optional parts to take. ``prefix`` and ``rename`` see porter.mapping.places; None and nothing
    find them. ``fits`` judges shapes.
    """

    parts: Collection[str] = ()
    prefix: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    fits: Fits = lambda _ours, _theirs: True


@dataclass(frozen=True)
class Located:
    """Where a checkpoint has a table's tensors.

    ``names`` holds ``{table's name: stored name}`` of the tensors asked for, those that the file lacks too. ``unasked``
    holds ``{stored name: part}`` of the optional parts that nobody asked for. ``place`` is where all of them stand.
    ``elsewhere`` holds the stored names of the network's other copies, where the caller chose this one.
    """

    names: dict[str, str]
    unasked: dict[str, str]
    place: Place
    elsewhere: frozenset[str] = frozenset()

    @property
    def prefix(self) -> str:
        """What stands before all of the names."""
        return self.place.prefix

    @cached_property
    def stored(self) -> frozenset[str]:
        """The stored names of the tensors asked for."""
        return frozenset(self.names.values())


def locate(checkpoint: Checkpoint, table: Table, dialect: str, wanted: Wanted) -> Located:
    """Return where ``checkpoint`` has the tensors of ``table``.

    Raises MappingError where the network is there more than once, or not where ``wanted`` says.
    """
    stored, record = checkpoint.entries, table.record(dialect)
    pairs = {pair.source: pair for pair in table.pairs(dialect, dialect, table.parts)}
    asked = [name for name, pair in pairs.items() if pair.part is None or pair.part in wanted.parts]
    body = [name for name in asked if not pairs[name].head]
    try:
        place, others = find_place(stored, asked, body, record, wanted)
    except MappingError as error:
        raise MappingError(f"{checkpoint.path}: {error.finding}", error.ways) from None
    names = stored_names(stored, asked, record, place)
    unasked = stored_names(stored, [name for name in pairs if name not in names], record, place)
    older = table.other_names(dialect)
    names, unasked = (_respelled(stored, found, older, record, place) for found in (names, unasked))
    elsewhere = {other.stored(name) for other in others for name in pairs}
    if not record.scoped and wanted.prefix:
        elsewhere = outside(stored, list(pairs), record, wanted.prefix)
    return Located(
        names,
        {there: str(pairs[name].part) for name, there in unasked.items()},
        place,
        frozenset(elsewhere),
    )


def find_place(
    stored: Collection[str], asked: Sequence[str], body: Sequence[str], dialect: Dialect, wanted: Wanted
) -> tuple[Place, list[Place]]:
    """Return the place of the table's names ``asked`` in ``stored``, and those of the network's other copies.

    A copy has all names of the ``body``, which is the network without its head. Its root scope may be another if all
    shapes fit, and so may its parts stand in several scopes. Otherwise the place is the prefix of most names. Raises
    MappingError where several copies fit.
    """
    if not dialect.scoped:
        if wanted.rename:
            raise MappingError(f"files of {dialect.title} keep no scopes of layers: leave `rename` out")
        if wanted.prefix is None:
            return Place(find_container(stored, asked, dialect)), []
        check_container(stored, asked, dialect, wanted.prefix)
        return Place(wanted.prefix), []
    found = places(stored, asked, dialect.separator)
    copies = [place for place, names in found.items() if _is_copy(place, names, body, wanted.fits)]
    if wanted.rename:
        place = given_place(stored, asked, dialect.separator, wanted.prefix, wanted.rename)
        return place, [copy for copy in copies if copy != place]
    here = [place for place in copies if wanted.prefix in (None, place.prefix)]
    exact = [place for place in here if not place.renamed]
    if wanted.prefix is not None and exact:
        here = exact
    if len(here) > 1:
        raise several([place.scope for place in here], [place.choice() for place in here])
    if here:
        return here[0], [copy for copy in copies if copy != here[0]] if wanted.prefix is not None else []
    spread = spread_place(found, body, dialect.separator) if wanted.prefix is None else None
    if spread and all(wanted.fits(name, spread.stored(name)) for name in body):
        return spread, []
    return _most_names(found, wanted.prefix, dialect.separator), []


def _is_copy(place: Place, names: Collection[str], body: Sequence[str], fits: Fits) -> bool:
    if not body or any(name not in names for name in body):
        return False
    return not place.renamed or all(fits(name, place.stored(name)) for name in body)


def _most_names(found: Mapping[Place, set[str]], prefix: str | None, separator: str) -> Place:
    """Return the ``prefix``, or the one of most names. Raises MappingError where ``prefix`` precedes no name."""
    behind = {place.prefix: names for place, names in found.items() if not place.renamed}
    if prefix is None:
        return Place(max(behind, key=lambda each: len(behind[each])), (), separator)
    if not behind.get(prefix):
        others = ", ".join(repr(other) for other, names in behind.items() if names) or "nothing"
        raise MappingError(
            f"the prefix {prefix!r} precedes none of the model's names: they follow {others}; give another `prefix`"
        )
    return Place(prefix, (), separator)


def given_place(
    stored: Collection[str], names: Sequence[str], separator: str, prefix: str | None, rename: Mapping[str, str]
) -> Place:
    """Return the place that a user names by ``rename`` = {the file's scope: the table's}, behind ``prefix``.

    Without ``prefix`` it is the one that most of the renamed names follow. Raises MappingError where a scope is
    not there, or where a renaming only puts scopes before the names.
    """
    renamed = tuple((theirs.strip(separator), ours.strip(separator)) for theirs, ours in rename.items())
    for theirs, ours in renamed:
        if not any(name.startswith(ours + separator) for name in names):
            known = root_scope(names, separator)
            remedy = f"its scope is {known}" if known else "its names have no common scope: take `prefix`"
            raise MappingError(f"`rename` names the scope {ours!r}, which the model does not have: {remedy}")
        if theirs.endswith(separator + ours):
            before = theirs.removesuffix(ours)
            raise MappingError(
                f"`rename` of {theirs!r} to {ours!r} only puts scopes before the names", [{"prefix": before}]
            )
    behind = Place("", renamed, separator)
    if prefix is None:
        prefix = find_prefix(stored, [behind.stored(name) for name in names], separator)
    place = Place(prefix, renamed, separator)
    for theirs, _ in renamed:
        scope = place.prefix + theirs + separator if theirs else place.prefix
        if not any(name.startswith(scope) for name in stored):
            raise MappingError(
                f"no tensor stands in the scope {scope!r}, which `rename` names: look with `port inspect`"
            )
    return place


def find_prefix(stored: Collection[str], names: Sequence[str], separator: str = "/") -> str:
    """Return the prefix that most of ``names`` have, ``""`` where none has any.

    Raises MappingError where all of them have two.
    """
    behind = {place: tails for place, tails in places(stored, names, separator).items() if not place.renamed}
    whole = [place for place, tails in behind.items() if len(tails) == len(names)]
    if len(whole) > 1:
        raise several([place.scope for place in whole], [place.choice() for place in whole])
    return max(behind, key=lambda place: len(behind[place])).prefix


def stored_names(
    stored: Collection[str], names: Iterable[str], dialect: Dialect, place: Place | None = None
) -> dict[str, str]:
    """Return ``{table's name: stored name}`` of names at ``place``, by default the top of the file."""
    place = place or Place()
    if dialect.scoped:
        return {name: place.stored(name) for name in names}
    return contained_names(stored, names, dialect, place.prefix)


def _respelled(
    stored: Collection[str],
    names: Mapping[str, str],
    older: Mapping[str, Sequence[str]],
    dialect: Dialect,
    place: Place,
) -> dict[str, str]:
    """Return ``names``, those that the file lacks replaced by an older spelling that it has."""
    spelled = stored_names(stored, [other for name in names for other in older.get(name, ())], dialect, place)
    found = dict(names)
    for name, there in names.items():
        if not has_variable(there, stored):
            for other in older.get(name, ()):
                if has_variable(spelled[other], stored):
                    found[name] = spelled[other]
    return found


def layer_name(path: str) -> str:
    """Return the name of the Keras layer at ``path``: the last part, which is unique in a network."""
    return path.rpartition("/")[2]
