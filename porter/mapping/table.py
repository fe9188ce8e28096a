"""Mapping tables: the names of an architecture's layers and endpoints in each dialect.

A table is data (``mappings/<name>.toml``): one row for each layer, expanded over axes, which are small tables
themselves. An overlay file (``mappings/<name>.<dialect>.toml``) adds a dialect. docs/architecture.md has the format.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from porter.catalog.families import table_path
from porter.catalog.models import Arch
from porter.errors import MappingError
from porter.mapping.containers import spellings, tail_of
from porter.mapping.dialects import Dialect
from porter.mapping.differs import Differs
from porter.mapping.embedded import Embedded
from porter.mapping.networks import Network
from porter.mapping.places import root_scope
from porter.mapping.rows import Endpoint, Layer, Lone, Pair, pair
from porter.mapping.table_files import Source, read_sources, with_axes
from porter.mapping.table_reader import expand

__all__ = ["Endpoint", "Layer", "Lone", "Pair", "Table", "table_path"]


BATCH_NORM = "batch_norm"


class Naming(NamedTuple):
    """The names of a table's tensors in all of ``dialects``.

    ``endings`` are the possible last parts of each tensor of no batch norm and no head, wherever a file has it.
    """

    names: tuple[str, ...]
    dialects: Sequence[str]
    endings: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Table:
    """One architecture's names. ``Table.load`` reads and checks it.

    ``records`` holds the table's dialects by name. ``parts`` maps each optional part of the network to what readers
    call it. ``ignore`` holds, for each dialect, patterns of tensors to leave out. ``differs`` lists the libraries that
    compute another function with the same weights, ``networks`` how each dialect's library builds its own network.
    ``needs`` lists the parts without which a dialect's library does not take a file.
    ``embedded`` are the tables inside this one: a detector's backbone.
    """

    name: str
    records: Mapping[str, Dialect]
    layers: tuple[Layer, ...]
    endpoints: tuple[Endpoint, ...]
    ignore: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    differs: tuple[Differs, ...] = ()
    networks: Mapping[str, Network] = field(default_factory=dict)
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    embedded: tuple[Embedded, ...] = ()

    @classmethod
    def load(cls, name: str) -> Table:
        """Read the table ``name``. Raises MappingError, which names the file and the row, where it is wrong."""
        return cls.read(table_path(name))

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read the table in ``path``, with its overlays and the tables that it extends.

        A table is parsed and expanded once: again only where one of its files has changed.
        """
        return _expanded(read_sources(path))

    @classmethod
    def of(cls, arch: Arch, keep: bool = True) -> Table:
        """Read the table of ``arch``, with the axes of its options where they decide which layers there are.

        A table that is looked at once need not be kept.
        """
        sources = read_sources(table_path(arch.table))
        if not arch.axes:
            return _expanded(sources)
        return (_expanded if keep else _expanded.__wrapped__)((*sources, with_axes(sources[-1], arch.axes)))

    @cached_property
    def tensors(self) -> Mapping[str, Sequence[tuple[Pair, str, str]]]:
        """Each dialect's tensors that every network of the table has, with their roles and their layers' ids."""
        return {dialect: tuple(self._tensors(record)) for dialect, record in self.records.items()}

    @cached_property
    def namings(self) -> Sequence[Naming]:
        """The names of ``tensors``; dialects with the same names count once."""
        alike: dict[tuple[str, ...], list[str]] = {}
        for dialect, listed in self.tensors.items():
            alike.setdefault(tuple(each.source for each, _, _ in listed), []).append(dialect)
        return tuple(Naming(names, dialects, self._endings(names, dialects[0])) for names, dialects in alike.items())

    def _endings(self, names: Sequence[str], dialect: str) -> Sequence[tuple[str, ...]]:
        record = self.records[dialect]
        rows = [each.source for each, _, _ in self.tensors[dialect] if each.kind != BATCH_NORM and not each.head]
        if not record.scoped:
            return tuple(spellings(tail_of(name, record), record) for name in rows)
        root = root_scope(names, record.separator)  # a file's may be another
        before = f"{root}{record.separator}" if root else ""
        return tuple((record.unscoped(name.removeprefix(before)),) for name in rows)

    def _tensors(self, record: Dialect) -> Iterator[tuple[Pair, str, str]]:
        for layer in self.layers:
            if layer.part is None:
                for role, named in layer.tensors(record).items():
                    yield pair(layer, named, named, record.name), role, layer.id

    @property
    def dialects(self) -> tuple[str, ...]:
        """The names of the table's dialects, the original's first."""
        return tuple(self.records)

    def record(self, dialect: str) -> Dialect:
        """Return the record of ``dialect``. Raises MappingError where the table lacks it."""
        if dialect not in self.records:
            raise MappingError(
                f"mappings/{self.name}.toml has no dialect {dialect!r}: choose from {', '.join(self.dialects)}"
            )
        return self.records[dialect]

    def pairs(self, source: str, target: str, parts: Collection[str] = ()) -> Sequence[Pair]:
        """Return the tensors that ``source`` and ``target`` both have, with those of the optional ``parts``."""
        key = source, target, frozenset(parts)
        if key not in self._paired:
            self._paired[key] = tuple(self._pairs(self.record(source), self.record(target), parts))
        return self._paired[key]

    def _pairs(self, source: Dialect, target: Dialect, parts: Collection[str]) -> Iterator[Pair]:
        for layer in self._layers(parts):
            others = layer.tensors(target)
            for role, tensor in layer.tensors(source).items():
                if role in others:
                    yield pair(layer, tensor, others[role], source.name)

    @cached_property
    def _paired(self) -> dict[tuple[str, str, frozenset[str]], tuple[Pair, ...]]:
        """What ``pairs`` has returned: a port asks for the same seven times."""
        return {}

    def lone(self, dialect: str, lacking: str, parts: Collection[str] = ()) -> list[Lone]:
        """Return the tensors that ``dialect`` has and ``lacking`` does not, in layers that both have."""
        has, lacks = self.record(dialect), self.record(lacking)
        found = []
        for layer in self._layers(parts):
            there, here = layer.tensors(has), layer.tensors(lacks)
            if not there or not here:
                continue
            beside = tuple(pair(layer, here[role], there[role], lacking) for role in here if role in there)
            for role, named in there.items():
                if role not in here:
                    own = pair(layer, named, named, dialect)
                    found.append(Lone(own, role, named.tensor.absent_value(), beside))
        return found

    def parts_in(self, dialect: str, names: Collection[str]) -> list[str]:
        """Return the optional parts that have a tensor among ``names`` of ``dialect``."""
        pairs = self.pairs(dialect, dialect, self.parts)
        return [part for part in self.parts if any(pair.part == part and pair.source in names for pair in pairs)]

    def parts_of(self, dialect: str) -> list[str]:
        """Return the optional parts that ``dialect`` has names for."""
        return [part for part in self.parts if any(row.part == part and dialect in row.names for row in self.layers)]

    def other_names(self, dialect: str) -> dict[str, list[str]]:
        """Return ``{name: others}`` of the tensors that older files of ``dialect`` name differently."""
        record, found = self.record(dialect), dict[str, list[str]]()
        for layer in self.layers:
            tensors = layer.tensors(record)
            for spelling in range(1, len(layer.names.get(dialect, ()))):
                for role, older in layer.tensors(record, spelling).items():
                    found.setdefault(tensors[role].name, []).append(older.name)
        return found

    def ignored(self, dialect: str, name: str) -> bool:
        """Tell whether the table leaves the tensor ``name`` of ``dialect`` out on purpose."""
        return any(fnmatchcase(name, pattern) for pattern in self.ignore.get(dialect, ()))

    @property
    def logits(self) -> str | None:
        """The name of the endpoint that holds the logits: the last one, if the original names them twice.

        None for a detector, whose class scores are those of boxes.
        """
        return self.all_logits[-1] if self.all_logits else None

    @property
    def judged(self) -> str:
        """The name of the endpoint that parity needs: the logits, or the last one of the head."""
        return self.logits or [endpoint.name for endpoint in self.endpoints if endpoint.of_head][-1]

    @property
    def all_logits(self) -> tuple[str, ...]:
        """The names of every endpoint that holds the logits, such as slim's before and after a squeeze."""
        return tuple(endpoint.name for endpoint in self.endpoints if endpoint.logits and endpoint.part is None)

    @property
    def optional(self) -> dict[str, str]:
        """Each endpoint that an optional part computes, with the part."""
        return {endpoint.name: endpoint.part for endpoint in self.endpoints if endpoint.part}

    @property
    def softmaxes(self) -> dict[str, str]:
        """Each endpoint that is a softmax, with the endpoint that it takes."""
        return {endpoint.name: endpoint.softmax for endpoint in self.endpoints if endpoint.softmax}

    def _layers(self, parts: Collection[str]) -> Iterator[Layer]:
        return (layer for layer in self.layers if layer.part is None or layer.part in parts)


@lru_cache(maxsize=64)
def _expanded(sources: tuple[Source, ...]) -> Table:
    return Table(sources[-1].path.stem, *expand(sources))
