"""recognise: which of porter's architectures a file's variables are or contain, in any dialect, and where they differ.

A candidate is an architecture in one dialect at one place of the file. Candidates are ranked by the share of tensors
whose names and shapes are the original's. Free are the number of classes, the number of image channels, and the size of
a kernel that covers a whole map.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import NamedTuple

from porter.catalog.families import is_outside
from porter.catalog.models import ARCHS, Arch
from porter.catalog.open_values import full_width, widths
from porter.errors import MappingError, PorterError
from porter.formats.checkpoint import Entry
from porter.formats.roles import SHADOW, VARIABLE, base_name, roles
from porter.mapping.containers import find_container
from porter.mapping.dialects import Dialect
from porter.mapping.folded import bias_beside
from porter.mapping.follow import following
from porter.mapping.places import Place, beside_the_head, places, spread_place
from porter.mapping.relayout import parse_axes
from porter.mapping.rows import Pair
from porter.mapping.shapes import classes_of, expected_shapes, image_channels, with_free_axes
from porter.mapping.stored_names import stored_names
from porter.mapping.table import BATCH_NORM, Table
from porter.mapping.tails import tails

Shapes = Mapping[str, tuple[int | None, ...] | None]
"""A file's variables and their shapes, as far as it says them."""

KNOWN = 0.5
"""A file holds something of an architecture if this share of its layers' names is there."""

ROUNDED_BY = 0.1
"""Networks round the channels of wide layers by at most this share: _make_divisible of slim's MobileNet V2."""


@dataclass(frozen=True)
class Match:
    """One architecture that a file holds, or comes close to.

    ``dialect`` is that of its names, and ``also`` are dialects that have the same names of every tensor.
    ``place`` is where they stand, and ``copies`` are other places that hold it too. ``classes`` is its head's
    number of classes, None without a head. ``whole`` tells whether its classifier is there too. ``channels`` is the
    number of image channels. ``folded`` tells that all batch norms are missing, ``no_gamma`` that only their gammas
    are. ``missing`` and ``differing`` are the other tensors of the body that the file lacks, or has in another shape,
    under the file's names. ``named`` and ``fitting`` are shares of the body's tensors: there, and there with the right
    shape. ``unknown`` are the file's other variables, and ``between`` those of layers before the head.
    """

    arch: Arch
    dialect: str
    place: Place
    copies: tuple[Place, ...]
    classes: int | None
    whole: bool
    channels: int
    folded: bool
    no_gamma: bool
    missing: tuple[str, ...]
    differing: tuple[str, ...]
    named: float
    fitting: float
    unknown: tuple[str, ...]
    also: tuple[str, ...] = ()
    between: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What stands before all names."""
        return self.place.prefix

    @property
    def exact(self) -> bool:
        """Whether the whole body is there, with the original's shapes, and no other layers between it and the head."""
        return not self.missing and not self.differing and not self.between

    @property
    def rank(self) -> tuple[object, ...]:
        """The sort key of candidates, the best first."""
        return (not self.exact, -self.fitting, -self.named, not self.whole, bool(self.place.renamed), self.folded)


class _Row(NamedTuple):
    pair: Pair
    role: str
    stored: str
    layer: str


class _Found(NamedTuple):
    """A table's names in one dialect, at the place of the file that has most of them.

    ``known`` are the names of all its tensors there, those of optional parts included.
    """

    table: Table
    dialect: str
    rows: Sequence[_Row]
    place: Place
    copies: tuple[Place, ...]
    known: frozenset[str]
    also: tuple[str, ...] = ()


def recognise(shapes: Shapes, size: int | None = None) -> list[Match]:
    """Return every architecture whose body is among ``shapes``, those of the input ``size`` first."""
    return [match for match in nearest(shapes, size) if match.exact]


def nearest(shapes: Shapes, size: int | None = None) -> list[Match]:
    """Return every architecture that the file holds something of, the best first; of equals, the input ``size``."""
    found, tables = [], dict[str, list[_Found]]()
    for arch in ARCHS.values():
        # A family outside of porter may be half written: it is recognised once its table and golden are whole.
        with suppress(PorterError) if is_outside(arch.family) else nullcontext():
            like = following(arch, shapes)
            if arch.table not in tables:
                tables[arch.table] = list(_in_dialects(Table.of(like), shapes))
            found += [_judged(like, names, shapes) for names in tables[arch.table]]
    if not any(match.exact for match in found):
        whole = sorted((match for match in found if not match.missing), key=lambda match: match.rank)
        for table, dialect in dict.fromkeys((match.arch.table, match.dialect) for match in whole):
            names = next(each for each in tables[table] if each.dialect == dialect)
            if others := _of_other_widths(names, shapes):
                found += others
                break
    return sorted(found, key=lambda match: (*match.rank, match.arch.input_size != size))


def _of_other_widths(found: _Found, shapes: Shapes) -> list[Match]:
    """Return the matches of a width that was not released, at the released sizes of the images.

    The widest axis that is not of the full width gives the multiplier, up to the rounding of its channels. The
    shortest number that fits is it.
    """
    archs = [arch for arch in ARCHS.values() if arch.table == found.table.name]
    full = full_width(archs[0])
    if full is None or not (scaled := _scaled_axes(found, full, shapes)):
        return []
    whole, size, _, _ = max(scaled)
    for value in _short_numbers(size * (1 - ROUNDED_BY) / whole, size * (1 + ROUNDED_BY) / whole):
        fitting = (
            arch for arch in widths(full, [value]) if all(arch.scaled(row, axis, w) == s for w, s, row, axis in scaled)
        )
        if any(_judged(arch, found, shapes).exact for arch in fitting):
            like = [arch for arch in archs if arch.title == full.title]
            return [_judged(each, found, shapes) for arch in like for each in widths(arch, [value])]
    return []


def _scaled_axes(found: _Found, full: Arch, shapes: Shapes) -> set[tuple[int, int, str, str]]:
    """Return the size in ``full``, the size in the file, the row and the letter of each axis where the sizes differ."""
    want = expected_shapes(full, found.table, found.dialect)
    axes = set[tuple[int, int, str, str]]()
    for row in found.rows:
        stored, whole, letters = shapes.get(row.stored), want[row.pair.source], parse_axes(row.pair.source_axes)
        if not row.pair.head and stored is not None and len(stored) == len(whole):
            sizes = zip(whole, stored, letters, strict=True)
            scaled = ("O", "C") if row.pair.stem else ("I", "O", "C")
            axes |= {(w, s, row.layer, axis) for w, s, axis in sizes if s and s != w and axis in scaled}
    return axes


def _short_numbers(low: float, high: float) -> Iterator[float]:
    """Yield the positive numbers between ``low`` and ``high`` with up to three decimals, the shortest first."""
    seen = set[float]()
    for decimals in range(1, 4):
        scale = 10**decimals
        for number in range(max(math.ceil(low * scale), 1), math.floor(high * scale) + 1):
            if number / scale not in seen:
                seen.add(number / scale)
                yield number / scale


def variable_shapes(entries: Mapping[str, Entry]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the variables among a checkpoint's ``entries``; one may be there as its average alone."""
    found = roles(entries)
    shapes = {}
    for name, role in found.items():
        base = base_name(name)
        if found.get(base, VARIABLE if role == SHADOW else role) == VARIABLE:
            shapes[base] = entries[name].shape
    return shapes


def in_dialects(arch: Arch, shapes: Shapes) -> list[Match]:
    """Return what the file holds of ``arch`` in each dialect, the best first: of equals, the one that explains most.

    Dialects with the same names count once, as the table's first.
    """
    matches = [_judged(arch, found, shapes) for found in _in_dialects(Table.of(arch), shapes, 0)]
    return sorted(matches, key=lambda match: (*match.rank, len(match.unknown)))


def _in_dialects(table: Table, shapes: Shapes, known: float = KNOWN) -> Iterator[_Found]:
    """Yield the table's names in each dialect if the file has the share ``known`` of its layers.

    Dialects with the same names count once.
    """
    for names, (dialect, *also), endings in table.namings:
        if len(shapes) < known * len(endings):  # however it names them
            continue
        record, listed = table.record(dialect), table.tensors[dialect]
        ends = tails(shapes, record.separator).endings
        # Most files have the tensors of few tables at any place, and places take time.
        if sum(not ends.isdisjoint(each) for each in endings) < known * len(endings):
            continue
        body = [each.source for each, _, _ in listed if not each.head]
        place, copies = _places(shapes, names, body, record)
        stored = stored_names(shapes, names, record, place)
        rows = [_Row(each, role, stored[each.source], layer) for each, role, layer in listed]
        there = [row for row in rows if row.stored in shapes and row.pair.kind != BATCH_NORM and not row.pair.head]
        if len(there) >= known * len(endings):
            known_there = _stored_at(shapes, table, dialect, place)
            yield _Found(table, dialect, rows, place, copies, known_there, tuple(also))


def _places(
    shapes: Shapes, names: Sequence[str], body: Sequence[str], record: Dialect
) -> tuple[Place, tuple[Place, ...]]:
    """Return the place in the file that most ``names`` stand at, and the others that have the whole ``body``."""
    if not record.scoped:
        try:
            return Place(find_container(shapes, names, record)), ()
        except MappingError as error:  # several containers hold it
            first, *others = (Place(way["prefix"]) for way in error.ways)
            return first, tuple(others)
    found = places(shapes, names, record.separator)
    best = max(found, key=lambda place: (len(found[place]), not place.renamed))
    if not found[best].issuperset(body) and (spread := spread_place(found, body, record.separator)):
        return spread, ()
    return best, tuple(place for place in found if place != best and found[place].issuperset(body))


def _judged(arch: Arch, found: _Found, shapes: Shapes) -> Match:
    """Compare names and shapes of the file with those of ``arch``."""
    want = expected_shapes(arch, found.table, found.dialect)
    body = [row for row in found.rows if not row.pair.head]
    there = [row for row in body if row.stored in shapes]
    fitting = {row.stored for row in there if _fits(row.pair, want[row.pair.source], shapes[row.stored])}
    missing = [row for row in body if row.stored not in shapes]
    folded, no_gamma = _norms(body, missing)
    heads = [row for row in found.rows if row.pair.head]
    classes = [_classes(row, want[row.pair.source], shapes, arch.num_classes) for row in heads]
    copies = tuple(place for place in found.copies if _is_copy(place, body, want, shapes))
    record = found.table.record(found.dialect)
    known = found.known.union(*(_stored_at(shapes, found.table, found.dialect, place) for place in copies))
    if folded:
        known |= {bias_beside(row.stored, record) for row in body if row.pair.kind != BATCH_NORM}
    unknown = tuple(name for name in shapes if name not in known and not _ignored(found, name))
    stored = [row.stored for row in body]
    return Match(
        arch,
        found.dialect,
        found.place,
        copies,
        classes[0] if classes and all(classes) else None,
        bool(classes) and all(classes),
        _channels(body, shapes),
        folded,
        no_gamma,
        () if folded or no_gamma else tuple(row.stored for row in missing),
        tuple(row.stored for row in there if row.stored not in fitting),
        len(there) / len(body),
        len(fitting) / len(body),
        unknown,
        found.also,
        beside_the_head([row.stored for row in heads], stored, unknown, record.separator) if unknown else (),
    )


def _fits(pair: Pair, want: Sequence[int], shape: Sequence[int | None] | None) -> bool:
    return shape is not None and tuple(shape) == with_free_axes(pair, tuple(want), shape)


def _is_copy(place: Place, body: Sequence[_Row], want: Mapping[str, Sequence[int]], shapes: Shapes) -> bool:
    return all(_fits(row.pair, want[row.pair.source], shapes.get(place.stored(row.pair.source))) for row in body)


def _channels(rows: Sequence[_Row], shapes: Shapes) -> int:
    """Return the number of channels of the images that the stem reads."""
    stem = [(row.pair.source_axes, shapes.get(row.stored) or ()) for row in rows if row.pair.stem]
    return image_channels((axes, tuple(size or 0 for size in shape)) for axes, shape in stem)


def _norms(body: Sequence[_Row], missing: Sequence[_Row]) -> tuple[bool, bool]:
    """Tell whether exactly the batch norms are missing, and whether exactly their gammas are."""
    lost = {row.stored for row in missing}
    norms = {row.stored for row in body if row.pair.kind == BATCH_NORM}
    gammas = {row.stored for row in body if row.pair.kind == BATCH_NORM and row.role == "gamma"}
    return bool(norms) and lost == norms, bool(gammas) and lost == gammas


def _classes(row: _Row, want: Sequence[int], shapes: Shapes, released: int) -> int | None:
    """Return the number of classes of one tensor of the head, None where it is missing or no classifier's."""
    shape = shapes.get(row.stored)
    return None if shape is None else classes_of(row.pair, shape, want, released)


def _ignored(found: _Found, name: str) -> bool:
    """Tell whether a port leaves ``name`` out by the table's own patterns, such as a batch norm's counter."""
    return found.table.ignored(found.dialect, name.removeprefix(found.place.prefix))


def _stored_at(shapes: Shapes, table: Table, dialect: str, place: Place) -> frozenset[str]:
    """Return the file's names of all the table's tensors at ``place``, those of optional parts included."""
    names = [each.source for each in table.pairs(dialect, dialect, table.parts)]
    return frozenset(stored_names(shapes, names, table.record(dialect), place).values())


def title(arch: Arch, sized: bool = False) -> str:
    """Return an architecture's name as papers write it: ``MobileNet V1 1.0``, with its input size if ``sized``."""
    return arch.title + (f" at {arch.input_size}" if sized else "")
