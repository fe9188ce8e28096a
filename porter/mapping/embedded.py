"""Tables inside a table: a detector's table has its backbone's rows, at another place.

Each [[embed]] of a table names another ``table`` and, for each dialect, what stands before its names. ``without`` lists
the ids of layers and the names of endpoints to leave out; optional parts stay out too. ``axis`` replaces axes, as in a
table that extends another: with an empty one its rows are gone. ``lacks`` replaces what the layers lack in each
dialect: the network may have tensors in there that it does not have alone. Its endpoints come first, or follow the
endpoint that ``after`` names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from porter.mapping.dialects import DIALECTS
from porter.mapping.table_types import Row, refuse


class Embedded(NamedTuple):
    """One table inside another: its name, and what stands before its names in each dialect."""

    table: str
    prefixes: Mapping[str, str]


class Placed(NamedTuple):
    """The rows of an embedded table at its place, and the axes that they go over."""

    embedded: Embedded
    axes: dict[str, Any]
    rows: dict[str, list[Row]]
    after: str | None = None


def placed(entry: Row, table: Mapping[str, Any], dialects: Sequence[str], path: Path) -> Placed:
    """Return the rows of ``table`` for an [[embed]] ``entry`` of the table in ``path``, which has ``dialects``.

    Raises MappingError where the entry leaves out what ``table`` does not have, or names no place in a dialect.
    """
    prefixes = {dialect: entry.get(dialect, "") for dialect in dialects}
    label = prefixes[dialects[0]] if dialects else ""
    unknown = sorted(entry.get("axis", {}).keys() - table["axis"].keys())
    if unknown:
        refuse(path, f"replaces the axis {unknown[0]!r} of {entry['table']}, which that does not declare")
    axes = {label + name: columns for name, columns in {**table["axis"], **entry.get("axis", {})}.items()}
    left_out, seen = set(entry.get("without", ())), set[str]()
    rows: dict[str, list[Row]] = {}
    for section, key in (("layer", "id"), ("endpoint", "name")):
        rows[section] = list(_rows(table[section], key, entry, prefixes, left_out, seen))
    if missing := sorted(left_out - seen):
        refuse(path, f"leaves out {missing[0]!r} of {entry['table']}, which has no such row")
    return Placed(Embedded(entry["table"], prefixes), axes, rows, entry.get("after"))


def around(inner: Sequence[Placed], own: Sequence[Row], section: str, path: Path) -> list[Row]:
    """Return the rows of a table with those that it embeds, each behind the endpoint that it follows or at the front.

    Raises MappingError where there is no such endpoint.
    """
    found = [row for each in inner if each.after is None or section == "layer" for row in each.rows[section]]
    found += own
    for each in inner if section == "endpoint" else ():
        if each.after is not None:
            at = next((at for at, row in enumerate(found, 1) if row.get("name") == each.after), None)
            if at is None:
                refuse(path, f"embeds {each.embedded.table} after {each.after!r}, which is not an endpoint")
            found[at:at] = each.rows[section]
    return found


def _rows(
    rows: Sequence[Row],
    key: str,
    entry: Row,
    prefixes: Mapping[str, str],
    left_out: Collection[str],
    seen: set[str],
) -> Iterator[Row]:
    label = next(iter(prefixes.values()), "")
    for row in rows:
        name = row.get(key)
        seen.add(str(name))
        if name in left_out or "part" in row:
            continue
        own = {field: value for field, value in row.items() if field not in DIALECTS}
        own |= {dialect: _behind(prefix, row[dialect]) for dialect, prefix in prefixes.items() if dialect in row}
        if key == "id" and name is not None:
            own["id"] = label + name
        if "over" in row:
            own["over"] = [label + axis for axis in row["over"]]
        if "lacks" in row and "lacks" in entry:
            own["lacks"] = entry["lacks"]
        for mark in own.keys() & {"kinds", "lacks"}:
            own[mark] = {dialect: value for dialect, value in own[mark].items() if dialect in prefixes}
        yield own


def _behind(prefix: str, names: Any) -> Any:
    return [prefix + name for name in names] if isinstance(names, list) else prefix + names
