"""following: the model whose number of cells, filters or the like are those of a file, as classes follow a head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from porter.catalog.models import Arch
from porter.catalog.open_values import follows, varied
from porter.errors import MappingError, PorterError
from porter.formats.checkpoint import Entry
from porter.formats.roles import base_name
from porter.mapping.containers import find_container
from porter.mapping.dialects import Dialect
from porter.mapping.places import Place, places
from porter.mapping.relayout import parse_axes
from porter.mapping.stored_names import stored_names
from porter.mapping.table import Table

MOST = 1024
"""No network has more layers of one row."""


def following(arch: Arch, shapes: Mapping[str, tuple[int | None, ...] | None], dialect: str | None = None) -> Arch:
    """Return the model like ``arch`` with the numbers that a file tells, ``arch`` itself where it tells none.

    ``shapes`` are those of the file's tensors, and ``dialect`` is that of their names, None if any will do.
    """
    rules = follows(arch)
    if not rules:
        return arch
    variables = {base_name(name): shape for name, shape in shapes.items()}
    dialects = Table.load(arch.table).dialects if dialect is None else (dialect,)
    found = [each for each in (_values(arch, rules, variables, name) for name in dialects) if each]
    if not found:
        return arch
    try:
        model = varied(arch, **max(found, key=lambda each: max(each.values())))
        Table.of(model)  # refuses numbers that no network has
        return model
    except PorterError:  # the file is another network, whose numbers this one cannot have
        return arch


def following_file(arch: Arch, entries: Mapping[str, Entry], dialect: str | None = None) -> Arch:
    """Return ``following`` of a file's ``entries``."""
    return following(arch, {name: entry.shape for name, entry in entries.items()}, dialect)


def _values(
    arch: Arch,
    rules: Mapping[str, Mapping[str, Any]],
    shapes: Mapping[str, tuple[int | None, ...] | None],
    dialect: str,
) -> dict[str, int]:
    """Return the value of each placeholder that the file tells."""
    values = {}
    for placeholder, rule in rules.items():
        if "count" in rule:
            values[placeholder] = len(_row(arch, rule["count"], dialect, shapes, placeholder))
        else:
            stored = _row(arch, rule["width"], dialect, shapes, None)
            width = _width(arch, rule["width"], dialect, shapes[stored[0]]) if stored else None
            values[placeholder] = (width or 0) * rule.get("times", 1)
    return values if all(values.values()) else {}


def _row(
    arch: Arch,
    row: str,
    dialect: str,
    shapes: Mapping[str, tuple[int | None, ...] | None],
    counted: str | None,
) -> list[str]:
    """Return the names in the file of the first tensor of each layer of ``row``, up to the first that is not there.

    A row that the file has whole may go on: with ``counted``, the model gets twice as many of these layers.
    """
    keep = True  # every file is compared with the released model's table
    while True:
        table = Table.of(arch, keep)
        record = table.record(dialect)
        names = [next(iter(layer.tensors(record).values())).name for layer in table.layers if layer.id == row]
        stored = _stored(shapes, names, record)
        lacking = next((at for at, name in enumerate(stored) if name not in shapes), len(stored))
        if counted is None or lacking < len(names) or not 0 < len(names) < MOST:
            return stored[:lacking]
        arch, keep = varied(arch, **{counted: 2 * len(names)}), False


def _stored(shapes: Mapping[str, object], names: list[str], record: Dialect) -> list[str]:
    """Return the names in the file of the table's ``names``, at the place that has most of them."""
    if record.scoped:
        found = places(shapes, names, record.separator)
        place = max(found, key=lambda each: (len(found[each]), not each.renamed))
    else:
        try:
            place = Place(find_container(shapes, names, record))
        except MappingError as error:  # several containers hold it
            place = Place(error.ways[0]["prefix"])
    return list(stored_names(shapes, names, record, place).values())


def _width(arch: Arch, row: str, dialect: str, shape: tuple[int | None, ...] | None) -> int | None:
    """Return the output channels of a layer of ``row`` whose first tensor has this ``shape``."""
    table = Table.load(arch.table)
    layer = next(layer for layer in table.layers if layer.id == row)
    axes = parse_axes(next(iter(layer.tensors(table.record(dialect)).values())).axes)
    return shape[axes.index("O")] if shape is not None and len(shape) == len(axes) else None
