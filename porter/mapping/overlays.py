"""Overlays: a dialect in a file of its own, ``mappings/<table>.<dialect>.toml``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

Columns = Mapping[str, Mapping[str, Sequence[Any]]]
"""The columns of each axis by name."""


class Entry(NamedTuple):
    """One row in a dialect: its name, then those of older files, another kind, and the roles that it lacks.

    Without names it has those of the dialect that the overlay is alike.
    """

    names: tuple[str, ...]
    kind: str | None = None
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Overlay:
    """One dialect of a table.

    ``path`` is its file, ``record`` holds the fields that it declares of its dialect. ``columns`` are its own columns
    of the table's axes. ``layers`` and ``endpoints`` go by the row's id and the endpoint's name. ``ignore`` is None
    where the patterns of ``alike`` or of the framework's own dialect hold.

    ``alike`` is the dialect that gives the names of all rows that the overlay does not name. ``without`` are the
    optional parts that the dialect lacks, ``needs`` those without which the library does not take a file.
    """

    path: Path
    record: Mapping[str, Any] = field(default_factory=dict)
    ignore: Sequence[str] | None = None
    columns: Columns = field(default_factory=dict)
    layers: Mapping[str, Entry] = field(default_factory=dict)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    alike: str | None = None
    without: Sequence[str] = ()
    needs: Sequence[str] = ()

    def with_file(self, path: Path, raw: Mapping[str, Any]) -> Overlay:
        """Return this overlay with that of an extending table, in ``path``, laid over it."""
        return Overlay(
            path,
            {**self.record, **raw.get("dialect", {})},
            raw.get("ignore", self.ignore),
            {**self.columns, **raw.get("axis", {})},
            {**self.layers, **{row: _entry(given) for row, given in raw.get("layer", {}).items()}},
            {**self.endpoints, **raw.get("endpoint", {})},
            raw.get("alike", self.alike),
            raw.get("without", self.without),
            raw.get("needs", self.needs),
        )

    def model_of(self, part: str | None) -> str | None:
        """Return the dialect whose names rows of ``part`` have by default, None where they have none."""
        return None if part in self.without else self.alike

    def without_axes(self, replaced: Collection[str]) -> Overlay:
        """Return this overlay without its columns of the axes that an extending table has ``replaced``."""
        return replace(self, columns={axis: own for axis, own in self.columns.items() if axis not in replaced})


def _entry(given: Any) -> Entry:
    fields = given if isinstance(given, dict) else {"name": given}
    return Entry(names_of(fields.get("name", ())), fields.get("kind"), tuple(fields.get("lacks", ())))


def names_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return a row's names: one may be written without a list."""
    return (given,) if isinstance(given, str) else tuple(given)
