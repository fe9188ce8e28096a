"""Lays the files of a table over each other: those that it extends or embeds, and the overlays beside each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter.mapping.dialects import DIALECTS, Dialect, declare
from porter.mapping.embedded import Embedded, Placed, around, placed
from porter.mapping.overlays import Columns, Overlay, names_of
from porter.mapping.table_files import Source, dialect_of, parse_overlay, parse_table
from porter.mapping.table_types import ROW_KEYS, TABLE_KEYS, Row, refuse


@dataclass(frozen=True)
class Merged:
    """The tables laid over each other, not yet expanded. ``dialects`` are those that the tables have columns for."""

    path: Path
    dialects: tuple[str, ...]
    axes: Columns
    ignore: Mapping[str, Sequence[str]]
    parts: Mapping[str, str]
    rows: Mapping[str, Sequence[Row]]
    overlays: Mapping[str, Overlay]
    differs: Sequence[Row] = ()
    networks: Mapping[str, Row] = field(default_factory=dict)
    embedded: Sequence[Embedded] = ()

    def row_id(self, row: Row) -> str:
        """Return the id that a row gives itself, or the first dialect's name as the file writes it."""
        first, *_ = names_of(row.get(self.dialects[0], "")) or ("",)
        return str(row.get("id", first))

    def file_of(self, dialect: str) -> Path:
        """Return the file that gives the table its names in ``dialect``."""
        return self.overlays[dialect].path if dialect in self.overlays else self.path


def merge(sources: Sequence[Source]) -> Merged:
    """Return the last table of ``sources``: it replaces axes, patterns and parts of those before, and adds rows.

    Tables that it embeds replace those of the tables before. Their rows come first.
    """
    raw: dict[str, Any] = {}
    embeds = next((source for source in reversed(sources) if source.embedded), sources[-1])
    overlays: dict[str, Overlay] = {}
    for source in sources:
        own = parse_table(source.path, source.text)
        unknown = sorted(own.keys() - TABLE_KEYS - {"extends"})
        if unknown:
            refuse(source.path, f"has unknown keys {unknown}")
        raw = {
            **raw,
            **own,
            **{key: {**raw.get(key, {}), **own.get(key, {})} for key in ("axis", "ignore", "part")},
            **{key: [*raw.get(key, []), *own.get(key, [])] for key in ROW_KEYS},
        }
        overlays = {name: each.without_axes(own.get("axis", {})) for name, each in overlays.items()}
        for path, text in source.overlays:
            name = dialect_of(path)
            overlays[name] = overlays.get(name, Overlay(path)).with_file(path, parse_overlay(path, text))
    inner = _embedded(embeds, raw.get("dialects", ()))
    # A dialect of an extended table is this table's where it has an overlay of its own, which may be empty.
    named = sorted(dialect_of(path) for path, _ in sources[-1].overlays)
    return Merged(
        sources[-1].path,
        tuple(raw.get("dialects", ())),
        {**{name: columns for each in inner for name, columns in each.axes.items()}, **raw["axis"]},
        raw["ignore"],
        raw["part"],
        {section: around(inner, raw[section], section, sources[-1].path) for section in ROW_KEYS},
        {name: overlays[name] for name in named},
        _differs(sources[-1], overlays),
        _networks(sources[-1]),
        [each.embedded for each in inner],
    )


def _embedded(source: Source, dialects: Sequence[str]) -> list[Placed]:
    """Return the tables that ``source`` embeds, each at its place."""
    entries = parse_table(source.path, source.text).get("embed", ())
    return [
        placed(entry, _raw(merge(files)), dialects, source.path)
        for entry, files in zip(entries, source.embedded, strict=True)
    ]


def _raw(merged: Merged) -> dict[str, Any]:
    """Return the axes and rows of a table that another one embeds, each layer with its id."""
    layers = [{**row, "id": merged.row_id(row)} for row in merged.rows["layer"]]
    return {"axis": merged.axes, "layer": layers, "endpoint": merged.rows["endpoint"]}


def _differs(source: Source, overlays: Mapping[str, Overlay]) -> list[Row]:
    """Return the table's own entries and those of its overlays: another network's numbers are not this one's.

    A library's files may be taken for those of the dialect that its own is alike.
    """
    found = list(parse_table(source.path, source.text).get("differs", ()))
    for path, text in source.overlays:
        name = dialect_of(path)
        own = {"dialect": name, **({"also": [overlays[name].alike]} if overlays[name].alike else {})}
        found += [{**own, **entry} for entry in parse_overlay(path, text).get("differs", ())]
    return found


def _networks(source: Source) -> dict[str, Row]:
    """Return the libraries' networks by dialect: the table's own and those of its overlays."""
    found = dict(parse_table(source.path, source.text).get("network", {}))
    for path, text in source.overlays:
        overlay = parse_overlay(path, text)
        found |= {dialect_of(path): overlay["network"]} if "network" in overlay else {}
    return found


def records_of(merged: Merged) -> dict[str, Dialect]:
    """Return the records of the table's dialects; those with columns come first."""
    for dialect in (*merged.dialects, *merged.ignore):
        if dialect not in DIALECTS:
            refuse(merged.path, f"names the dialect {dialect!r}, which porter does not know")
    if not merged.dialects:
        refuse(merged.path, "declares no dialects")
    if len(set(merged.dialects)) < len(merged.dialects):
        refuse(merged.path, f"declares a dialect more than once: {', '.join(merged.dialects)}")
    records = {name: DIALECTS[name] for name in merged.dialects}
    for name, overlay in merged.overlays.items():
        if name in records:
            refuse(overlay.path, f"adds the dialect {name!r}, which {merged.path.name} has columns for: keep one")
        records[name] = declare(name, overlay.record, overlay.path)
        if overlay.alike in merged.dialects and DIALECTS[overlay.alike].framework != records[name].framework:
            refuse(overlay.path, f"is alike {overlay.alike!r}, a dialect of another framework than {name}'s")
    return records


def ignore_of(merged: Merged, records: Mapping[str, Dialect]) -> dict[str, Sequence[str]]:
    """Return each dialect's patterns; an overlay without any has those of ``alike`` or its framework's own dialect."""
    found = dict(merged.ignore)
    for name, overlay in merged.overlays.items():
        inherited = merged.ignore.get(overlay.alike or records[name].framework, ())
        found[name] = inherited if overlay.ignore is None else overlay.ignore
    return found
