"""Reads a table: its files merged, its rows expanded over their axes, the outcome checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from porter.mapping.dialects import Dialect
from porter.mapping.differs import Differs, read_differs
from porter.mapping.embedded import Embedded
from porter.mapping.networks import Network, read_networks
from porter.mapping.overlays import Entry, Overlay, names_of
from porter.mapping.rows import Endpoint, Layer
from porter.mapping.table_checks import (
    check_axes,
    check_endpoints,
    check_layers,
    check_leaves,
    check_names,
    check_rows,
)
from porter.mapping.table_files import Source
from porter.mapping.table_merge import Merged, ignore_of, merge, records_of
from porter.mapping.table_types import Row, refuse


class Contents(NamedTuple):
    """A table's fields, expanded and checked. See Table for them."""

    records: Mapping[str, Dialect]
    layers: tuple[Layer, ...]
    endpoints: tuple[Endpoint, ...]
    ignore: Mapping[str, Sequence[str]]
    parts: Mapping[str, str]
    differs: tuple[Differs, ...]
    networks: Mapping[str, Network]
    needs: Mapping[str, Sequence[str]]
    embedded: tuple[Embedded, ...]


def expand(sources: Sequence[Source]) -> Contents:
    """Return the contents of the last table of ``sources``, which extends those before it. Raises MappingError."""
    merged = merge(sources)
    records = records_of(merged)
    check_axes(merged)
    check_rows(merged)
    layers = tuple(_layers(merged))
    endpoints = tuple(_endpoints(merged))
    check_leaves(merged, records)
    check_layers(merged, records, layers)
    check_names(merged, records, layers)
    check_endpoints(merged.path, endpoints)
    differs = read_differs(merged.differs, records, merged.path)
    networks = read_networks(merged.networks, records, merged.path)
    ignore = ignore_of(merged, records)
    return Contents(
        records, layers, endpoints, ignore, merged.parts, differs, networks, _needs(merged), tuple(merged.embedded)
    )


def _needs(merged: Merged) -> dict[str, Sequence[str]]:
    return {dialect: overlay.needs for dialect, overlay in merged.overlays.items() if overlay.needs}


def _layers(merged: Merged) -> Iterator[Layer]:
    for row, line in _lines(merged, "layer"):
        values = _values(merged, line)
        names = {name: _fill(names_of(row.get(name, ())), values, merged.path) for name in merged.dialects}
        kinds: dict[str, str] = dict(row.get("kinds", {}))
        lacks: dict[str, Sequence[str]] = dict(row.get("lacks", {}))
        row_id = merged.row_id(row)
        for dialect, overlay in merged.overlays.items():
            entry = overlay.layers.get(row_id, Entry(()))
            if model := overlay.model_of(row.get("part")):
                names[dialect] = names[model]
                kinds |= {dialect: kinds[model]} if model in kinds else {}
                lacks |= {dialect: lacks[model]} if model in lacks else {}
            if entry.names:
                names[dialect] = _fill(entry.names, _values(merged, line, overlay), overlay.path)
            if entry.kind is not None:
                kinds[dialect] = entry.kind
            if entry.lacks:
                lacks[dialect] = entry.lacks
        head, sized, stem, foreground = (row.get(mark, False) for mark in ("head", "sized", "stem", "foreground"))
        yield Layer(row_id, row["kind"], names, kinds, lacks, head, row.get("part"), sized, stem, foreground)


def _endpoints(merged: Merged) -> Iterator[Endpoint]:
    for row, line in _lines(merged, "endpoint"):
        values = _values(merged, line)
        (name,) = _fill([row["name"]], values, merged.path)
        where = {d: _fill([row[d]], values, merged.path)[0] for d in merged.dialects if d in row}
        for dialect, overlay in merged.overlays.items():
            model = overlay.model_of(row.get("part"))
            if model in where:
                where[dialect] = where[model]
            if row["name"] in overlay.endpoints:
                place = [overlay.endpoints[row["name"]]]
                (where[dialect],) = _fill(place, _values(merged, line, overlay), overlay.path)
        softmax, cropped = (
            _fill([row[key]], values, merged.path)[0] if key in row else None for key in ("softmax", "cropped")
        )
        logits, scores, inner = (row.get(mark, False) for mark in ("logits", "scores", "inner"))
        yield Endpoint(name, where, logits, softmax, row.get("part"), scores, cropped, inner)


def _lines(merged: Merged, section: str) -> Iterator[tuple[Row, dict[str, int]]]:
    """Yield each row once for every line of its axes, ``{axis: line}``; neighbours over the same axes interleave."""
    for over, group in itertools.groupby(merged.rows[section], key=lambda row: row.get("over", [])):
        rows = list(group)
        sizes = [len(next(iter(merged.axes[axis].values()))) for axis in over]
        for at in itertools.product(*map(range, sizes)):
            for row in rows:
                yield row, dict(zip(over, at, strict=True))


def _values(merged: Merged, line: Mapping[str, int], overlay: Overlay | None = None) -> dict[str, Any]:
    """Return the value of every column at ``line``, those of ``overlay`` too."""
    values = {column: cells[at] for axis, at in line.items() for column, cells in merged.axes[axis].items()}
    if overlay is not None:
        for axis, at in line.items():
            values |= {column: cells[at] for column, cells in overlay.columns.get(axis, {}).items()}
    return values


def _fill(templates: Iterable[str], values: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    filled = []
    for template in templates:
        try:
            filled.append(template.format_map(values))
        except (KeyError, ValueError, IndexError, AttributeError, TypeError):
            refuse(path, f"has {template!r}, whose placeholders are not columns of its axes {sorted(values)}")
    return tuple(filled)
