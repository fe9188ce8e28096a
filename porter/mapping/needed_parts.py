"""Needed parts: optional parts that the target's library always has, from the file or fresh."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from porter.catalog.models import Arch
from porter.formats.checkpoint import Entry
from porter.mapping.fresh import fresh
from porter.mapping.shapes import axis_sizes, shape_of
from porter.mapping.table import Table


def in_file(table: Table, target: str, asked: Sequence[str], unasked: Collection[str]) -> list[str]:
    """Return the parts to take: those ``asked`` for, and those of the file, ``unasked``, that ``target`` needs."""
    return [*asked, *(part for part in table.needs.get(target, ()) if part in unasked and part not in asked)]


def lacking(table: Table, target: str, taken: Collection[str]) -> list[str]:
    """Return the parts that ``target`` needs and nobody took from the file."""
    return [part for part in table.needs.get(target, ()) if part not in taken]


def made(arch: Arch, table: Table, target: str, parts: Collection[str], num_classes: int) -> dict[str, Entry]:
    """Return fresh tensors of ``parts`` in ``target``, by name, for ``num_classes``; 0 leaves classifiers out."""
    if not parts:
        return {}
    sizes, record, entries = axis_sizes(arch, table, target), table.record(target), dict[str, Entry]()
    for layer in table.layers:
        if layer.part in parts and (num_classes or not layer.head):
            for role, named in layer.tensors(record).items():
                own = sizes[named.name] | ({"O": num_classes} if layer.head else {})
                entries[named.name] = fresh(named.name, role, shape_of(named.axes, own))
    return entries


def notes(table: Table, target: str, parts: Iterable[str]) -> list[str]:
    """Return a sentence for each of the ``parts`` that are fresh."""
    title = table.record(target).title
    return [
        f"the {table.parts[part]}, without which {title} does not load a file, is fresh: no other output uses it"
        for part in parts
    ]
