"""Mapping tables: what every layer and endpoint of an architecture is called in each dialect.

A table is data (``mappings/<name>.toml``): one row per layer, expanded over axes that are little
tables themselves. See docs/architecture.md for the format.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from porter.catalog.families import table_path
from porter.errors import MappingError
from porter.mapping.dialects import SEPARATORS
from porter.mapping.kinds import KINDS


class Pair(NamedTuple):
    """One tensor in two dialects. ``head`` tensors have the classes as their axis O.

    ``part`` is the optional part of the network that it belongs to, if any. A ``sized`` kernel covers a whole map,
    so that its H and W follow from the size of the pictures.
    """

    source: str
    source_axes: str
    target: str
    target_axes: str
    kind: str
    trainable: bool
    head: bool
    variance: bool = False
    part: str | None = None
    sized: bool = False


class Endpoint(NamedTuple):
    """A named activation: slim's name, and where each dialect computes it.

    ``softmax`` names the endpoint whose softmax this is, for dialects that do not compute it.
    """

    name: str
    where: Mapping[str, str]
    logits: bool = False
    softmax: str | None = None


@dataclass(frozen=True)
class Table:
    """One architecture's names. Build it with ``Table.load``, which also checks it.

    ``parts`` are those parts of the network that are there only where they are asked for, and what a reader calls them.
    """

    name: str
    dialects: tuple[str, ...]
    layers: tuple[Mapping[str, Any], ...]
    endpoints: tuple[Endpoint, ...]
    ignore: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, name: str) -> Table:
        """Read ``mappings/<name>.toml``. Raises MappingError, naming the row, where it is wrong."""
        return cls.read(table_path(name))

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read the table in ``path``, and the one beside it that it extends."""
        return _Reader(path).table()

    def pairs(self, source: str, target: str, parts: Collection[str] = ()) -> list[Pair]:
        """Return every tensor's name and axes in the dialects ``source`` and ``target``, with those of ``parts``."""
        self._require(source)
        self._require(target)
        return [
            Pair(
                _join(source, _names(row[source])[0], tensor.leaf(source).name),
                tensor.leaf(source).axes,
                _join(target, _names(row[target])[0], tensor.leaf(target).name),
                tensor.leaf(target).axes,
                row["kind"],
                tensor.trainable,
                row.get("head", False),
                tensor.variance,
                row.get("part"),
                row.get("sized", False),
            )
            for row in self.layers
            if row.get("part") is None or row["part"] in parts
            for tensor in KINDS[row["kind"]]
        ]

    def parts_in(self, dialect: str, names: Collection[str]) -> list[str]:
        """Return the optional parts of which ``names`` of ``dialect`` hold a tensor."""
        pairs = self.pairs(dialect, dialect, self.parts)
        return [part for part in self.parts if any(pair.part == part and pair.source in names for pair in pairs)]

    def other_names(self, dialect: str) -> dict[str, list[str]]:
        """Return ``{name: others}`` of the tensors that some files of ``dialect`` call otherwise."""
        return {
            _join(dialect, first, leaf): [_join(dialect, other, leaf) for other in others]
            for row in self.layers
            for first, *others in [_names(row[dialect])]
            for leaf in (tensor.leaf(dialect).name for tensor in KINDS[row["kind"]])
            if others
        }

    def ignored(self, dialect: str, name: str) -> bool:
        """Tell whether the table leaves the tensor ``name`` of ``dialect`` out on purpose."""
        return any(fnmatchcase(name, pattern) for pattern in self.ignore.get(dialect, ()))

    @property
    def logits(self) -> str:
        """The name of the endpoint that holds the logits."""
        return next(endpoint.name for endpoint in self.endpoints if endpoint.logits)

    @property
    def softmaxes(self) -> dict[str, str]:
        """Each endpoint that is a softmax, and the endpoint whose values it is of."""
        return {endpoint.name: endpoint.softmax for endpoint in self.endpoints if endpoint.softmax}

    def _require(self, dialect: str) -> None:
        if dialect not in self.dialects:
            known = ", ".join(self.dialects)
            raise MappingError(f"mappings/{self.name}.toml has no dialect {dialect!r}: it has {known}")


def _names(names: str | list[str]) -> list[str]:
    return names if isinstance(names, list) else [names]


def _join(dialect: str, layer: str, leaf: str) -> str:
    return f"{layer}{SEPARATORS[dialect]}{leaf}" if leaf else layer


_ROW_KEYS = {
    "layer": {"kind", "over", "head", "part", "sized"},
    "endpoint": {"name", "over", "logits", "softmax"},
}


_FLAGS = {"head", "sized", "logits"}


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


class _Reader:
    """Reads and checks one file; every complaint names it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.raw = self._parse(path, seen=())
        self.dialects = tuple(self.raw.get("dialects", ()))
        self.axes = self.raw.get("axis", {})

    def table(self) -> Table:
        unknown = set(self.raw) - {"source", "dialects", "ignore", "part", "axis", "layer", "endpoint"}
        if unknown:
            self.fail(f"has unknown keys {sorted(unknown)}")
        for dialect in (*self.dialects, *self.raw.get("ignore", {})):
            if dialect not in SEPARATORS:
                self.fail(f"names the dialect {dialect!r}, which porter does not know")
        if not self.dialects:
            self.fail("declares no dialects")
        self._check_axes()
        layers = tuple(self._expand("layer"))
        endpoints = tuple(
            Endpoint(
                row["name"],
                {dialect: row[dialect] for dialect in self.dialects if dialect in row},
                row.get("logits", False),
                row.get("softmax"),
            )
            for row in self._expand("endpoint")
        )
        raw = self.raw
        table = Table(self.path.stem, self.dialects, layers, endpoints, raw.get("ignore", {}), raw.get("part", {}))
        self._check_layers(table)
        self._check_endpoints(endpoints)
        return table

    def fail(self, what: str, path: Path | None = None) -> None:
        raise MappingError(f"{path or self.path}: the table {what}")

    def _parse(self, path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
        """Return the file's tables, laid over those of the file it extends, axis by axis."""
        if path in seen:
            raise MappingError(f"{path} extends itself: name another table in `extends`")
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise MappingError(f"{path} does not exist: an architecture needs its mapping table") from None
        except OSError as error:
            raise MappingError(
                f"{path} cannot be read ({error.strerror}): name a mapping table, a .toml file"
            ) from None
        except ValueError as error:
            raise MappingError(f"{path} is not valid TOML: {error}") from None
        self._check_types(raw, path)
        if "extends" not in raw:
            return raw
        base = self._parse(path.parent / f"{raw.pop('extends')}.toml", (*seen, path))
        merged = base | raw
        for key in ("axis", "ignore", "part"):
            merged[key] = base.get(key, {}) | raw.get(key, {})
        for key in ("layer", "endpoint"):
            merged[key] = base.get(key, []) + raw.get(key, [])
        return merged

    def _check_types(self, raw: dict[str, Any], path: Path) -> None:
        """Raise MappingError where a value is of another type than its place asks for."""
        fail = partial(self.fail, path=path)
        axes, ignored = raw.get("axis", {}), raw.get("ignore", {})
        if not isinstance(raw.get("extends", ""), str):
            fail("extends what is not a name")
        if not _words(raw.get("dialects", [])):
            fail("has dialects that are no list of names")
        if not isinstance(axes, dict) or not all(isinstance(axis, dict) for axis in axes.values()):
            fail("has an axis that is no table of columns")
        if not all(isinstance(column, list) for axis in axes.values() for column in axis.values()):
            fail("has an axis whose columns are no lists")
        if not isinstance(ignored, dict) or not all(map(_words, ignored.values())):
            fail("has an ignore that is no list of patterns for each dialect")
        parts = raw.get("part", {})
        if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
            fail("has a [part] that does not name each part in words")
        for section in _ROW_KEYS:
            rows = raw.get(section, [])
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                fail(f"has a {section} that is no row: begin each with [[{section}]]")
            for row in rows:
                for key, value in row.items():
                    listed = key == "over" or (section == "layer" and key in SEPARATORS and isinstance(value, list))
                    if not (_words(value) if listed else isinstance(value, bool if key in _FLAGS else str)):
                        fail(f"has a {section} whose {key} is {value!r}, which is of another type than it should be")

    def _check_axes(self) -> None:
        for name, columns in self.axes.items():
            lengths = {column: len(values) for column, values in columns.items()}
            if len(set(lengths.values())) != 1:
                self.fail(f"has an axis {name} whose columns differ in length: {lengths}")

    def _expand(self, section: str) -> Iterator[dict[str, Any]]:
        """Yield each row once for every combination of its axes; neighbours over the same axes interleave."""
        rows = self.raw.get(section, [])
        for over, group in itertools.groupby(rows, key=lambda row: row.get("over", ())):
            members = list(group)
            for values in self._combinations(over):
                for row in members:
                    self._check_keys(section, row)
                    yield {key: self._fill(value, values) for key, value in row.items() if key != "over"}

    def _combinations(self, over: Iterable[str]) -> Iterator[dict[str, Any]]:
        tables = []
        for name in over:
            if name not in self.axes:
                self.fail(f"goes over the axis {name!r}, which it does not declare")
            columns = self.axes[name]
            tables.append([dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)])
        for lines in itertools.product(*tables):
            values: dict[str, Any] = {}
            for line in lines:
                if twice := values.keys() & line.keys():
                    self.fail(f"multiplies axes that share the columns {sorted(twice)}")
                values |= line
            yield values

    def _fill(self, value: Any, values: Mapping[str, Any]) -> Any:
        if isinstance(value, list):
            return [self._fill(item, values) for item in value]
        if not isinstance(value, str):
            return value
        try:
            return value.format_map(values)
        except (KeyError, ValueError, IndexError):
            self.fail(f"has {value!r}, whose placeholders are not columns of its axes {sorted(values)}")

    def _check_keys(self, section: str, row: Mapping[str, Any]) -> None:
        wrong = row.keys() - _ROW_KEYS[section] - set(self.dialects)
        if wrong:
            self.fail(f"has a {section} with unknown keys {sorted(wrong)}")

    def _check_layers(self, table: Table) -> None:
        for row in table.layers:
            if row.get("kind") not in KINDS:
                self.fail(f"has a layer of unknown kind {row.get('kind')!r}; the kinds are {', '.join(KINDS)}")
            missing = [dialect for dialect in self.dialects if not row.get(dialect)]
            if missing:
                self.fail(f"has a {row['kind']} layer without a name in {missing}")
            if row.get("part") not in (None, *table.parts):
                self.fail(f"has a layer of the part {row['part']!r}, which [part] does not declare")
        for dialect in self.dialects:
            names = [pair.source for pair in table.pairs(dialect, dialect, table.parts)]
            self._check_unique([*names, *itertools.chain(*table.other_names(dialect).values())], dialect)

    def _check_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        names = [endpoint.name for endpoint in endpoints]
        self._check_unique(names, "endpoint")
        if sum(endpoint.logits for endpoint in endpoints) != 1:
            self.fail("does not mark exactly one endpoint with `logits = true`")
        for endpoint in endpoints:
            if endpoint.softmax is not None and endpoint.softmax not in names:
                self.fail(f"has {endpoint.name}, the softmax of {endpoint.softmax!r}, which is no endpoint")

    def _check_unique(self, names: Sequence[str], what: str) -> None:
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            self.fail(f"has the {what} name {twice[0]!r} more than once")
