"""draft_table: a first mapping table for variables that no table knows, with the original's column alone.

It groups variables into layers of porter's kinds, and names that differ only in numbers into one row over axes.
The table is read back when it is written: it must expand to exactly the names that it was made from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from porter.errors import MappingError
from porter.mapping.dialects import DIALECTS, ORIGINAL
from porter.mapping.kinds import KINDS, UNNAMED, Leaf
from porter.mapping.relayout import parse_axes
from porter.mapping.table import Table

Sized = Mapping[str, Sequence[int | None] | None]
_NUMBER = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Draft:
    """A mapping table's text, and how many [[layer]] rows and axes it has for how many variables."""

    text: str
    rows: int
    axes: int
    variables: int
    unnamed: tuple[str, ...]
    """Variables that fit no kind: each is a row by itself, or shares one by its numbers."""


class _Layer(NamedTuple):
    kind: str
    name: str
    head: bool
    shape: tuple[int | None, ...]


class _Row(NamedTuple):
    kind: str
    template: str
    head: bool
    over: tuple[str, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    times: int


def draft_table(shapes: Sized, source: str, heads: Iterable[str] = (), logits: str | None = None) -> Draft:
    """Return a first table for the variables ``shapes``.

    ``source`` says where the variables come from. ``heads`` are the classifier's variables, ``logits`` the op that
    computes the logits; both are optional. Raises MappingError where a variable has more axes than any kind.
    """
    layers = _layers(shapes, set(heads))
    axes = _Axes()
    rows = _rows(layers, axes)
    text = _written(rows, axes, source, logits)
    unnamed = tuple(layer.name for layer in layers if layer.kind in UNNAMED)
    return Draft(text, len(rows), len(axes.tables), len(shapes), unnamed)


def write_draft(path: Path, draft: Draft, names: Iterable[str]) -> None:
    """Write ``draft`` to ``path``, and read it back: it must expand to exactly ``names``. Raises MappingError."""
    path.write_text(draft.text, encoding="utf-8")
    expanded = {pair.source for pair in Table.read(path).pairs(ORIGINAL, ORIGINAL)}
    if expanded != set(names):
        wrong = sorted(expanded ^ set(names))
        raise MappingError(f"{path} does not cover {wrong[0]} and {len(wrong) - 1} more: a bug in porter, report it")


# ---- variables -> layers
def _layers(shapes: Sized, heads: set[str]) -> list[_Layer]:
    scopes: dict[str, list[str]] = {}
    for name in shapes:
        scopes.setdefault(name.rpartition("/")[0], []).append(name)
    found = []
    for scope, names in scopes.items():
        leaves = {name.rpartition("/")[2]: name for name in names}
        while leaves:
            head = any(name in heads for name in leaves.values())
            kind = _kind(leaves, shapes, head) if scope else None
            if kind is None:
                leaf, name = next(iter(leaves.items()))
                shape = tuple(shapes[name] or ())
                found.append(_Layer(_unnamed(shape), name, name in heads and _counts(_unnamed(shape)), shape))
                del leaves[leaf]
                continue
            parts = [leaf.name for leaf in _leaves(kind)]
            found.append(_Layer(kind, scope, head and _counts(kind), tuple(shapes[leaves[parts[0]]] or ())))
            for part in parts:
                del leaves[part]
    return found


def _leaves(kind: str) -> list[Leaf]:
    """Return the original's leaf names and axes of a layer of ``kind``."""
    return [tensor.leaf(DIALECTS[ORIGINAL], kind) for tensor in KINDS[kind]]


def _counts(kind: str) -> bool:
    """Tell whether each tensor of a layer of ``kind`` has an axis for the classes, which a head's must have."""
    return all("O" in parse_axes(leaf.axes) for leaf in _leaves(kind))


def _kind(leaves: Mapping[str, str], shapes: Sized, head: bool) -> str | None:
    """Return the kind of the most tensors that ``leaves`` has, each of the kind's rank; a head's where it is one."""
    fitting = []
    for kind in KINDS:
        wanted = _leaves(kind)
        if all(leaf in leaves and len(shapes[leaves[leaf]] or ()) == len(parse_axes(axes)) for leaf, axes in wanted):
            # A classifier is a convolution in one library and a matrix in another: only the head is one.
            if kind.startswith("classifier") and not head:
                continue
            fitting.append((len(wanted), kind.startswith("classifier"), kind))
    return max(fitting, key=lambda fit: fit[:2])[2] if fitting else None


def _unnamed(shape: tuple[int | None, ...]) -> str:
    ranks = {len(parse_axes(_leaves(kind)[0].axes)): kind for kind in UNNAMED}
    if len(shape) not in ranks:
        raise MappingError(f"no kind has a variable of {len(shape)} axes: add one to porter/mapping/kinds.py")
    return ranks[len(shape)]


# ---- layers -> rows over axes
class _Axes:
    """The tables of axes. Rows share an axis of equal columns and values."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[str]]] = {}
        self._known: dict[tuple[tuple[str, ...], tuple[tuple[str, ...], ...]], str] = {}
        self._used: set[str] = set()

    def add(self, words: Sequence[str], values: Sequence[tuple[str, ...]]) -> tuple[str, list[str]]:
        """Return the axis of the lines ``values``, and its columns' names, made of ``words``."""
        # Columns that move together share an axis, with any words; a single column goes by its word.
        key = (tuple(words) if len(words) == 1 else (), tuple(values))
        if key not in self._known:
            columns = [self._unused(word) for word in words]
            self._known[key] = columns[0]
            self.tables[columns[0]] = {column: [line[at] for line in values] for at, column in enumerate(columns)}
        name = self._known[key]
        return name, list(self.tables[name])

    def _unused(self, word: str) -> str:
        name, number = word, 2
        while name in self._used:
            name, number = f"{word}_{number}", number + 1
        self._used.add(name)
        return name


def _rows(layers: Sequence[_Layer], axes: _Axes) -> list[_Row]:
    groups: dict[tuple[str, bool, tuple[str, ...]], list[_Layer]] = {}
    for layer in layers:
        parts = _NUMBER.split(layer.name)
        groups.setdefault((layer.kind, layer.head, tuple(parts[::2])), []).append(layer)
    return [_row(kind, head, literals, members, axes) for (kind, head, literals), members in groups.items()]


def _row(kind: str, head: bool, literals: tuple[str, ...], members: Sequence[_Layer], axes: _Axes) -> _Row:
    lines = [tuple(_NUMBER.split(layer.name)[1::2]) for layer in members]
    varying = [at for at in range(len(literals) - 1) if len({line[at] for line in lines}) > 1]
    over: list[tuple[int, str]] = []
    columns: dict[int, str] = {}
    for positions in _factors(lines, varying):
        values = sorted({tuple(line[at] for at in positions) for line in lines}, key=_in_order)
        words = [_word(literals, lines[0], at, varying) for at in positions]
        name, names = axes.add(words, values)
        over.append((positions[0], name))
        columns |= dict(zip(positions, names, strict=True))
    template = ""
    for at, literal in enumerate(literals):
        template += literal.replace("{", "{{").replace("}", "}}")
        if at < len(literals) - 1:
            template += f"{{{columns[at]}}}" if at in columns else lines[0][at]
    shapes = tuple(dict.fromkeys(layer.shape for layer in members))
    return _Row(kind, template, head, tuple(name for _, name in sorted(over)), shapes, len(members))


def _in_order(values: tuple[str, ...]) -> list[tuple[int, str]]:
    """Return a sort key in which 2 comes before 10."""
    return [(int(value), value) for value in values]


def _factors(lines: Sequence[tuple[str, ...]], positions: list[int]) -> list[tuple[int, ...]]:
    """Split ``positions`` into those that multiply, and the others, which move together."""
    rest, found = list(positions), []
    for at in positions:
        others = [other for other in rest if other != at]
        if not others:
            break
        whole = {tuple(line[i] for i in rest) for line in lines}
        if len({line[at] for line in lines}) * len({tuple(line[i] for i in others) for line in lines}) == len(whole):
            found.append((at,))
            rest = others
    return [*found, *([tuple(rest)] if rest else [])]


def _word(literals: Sequence[str], line: Sequence[str], at: int, varying: Sequence[int]) -> str:
    """Return the word before a number: conv2d in ``V1/Conv2d_``, whose own 2 does not vary."""
    text, before = literals[at], at - 1
    while before >= 0 and before not in varying:
        text = literals[before] + line[before] + text
        before -= 1
    words = re.findall(r"[A-Za-z]\w*", re.sub(r"[^A-Za-z0-9]+$", "", text.rpartition("/")[2]), re.ASCII)
    return words[-1].lower() if words else "n"


# ---- rows -> TOML
def _written(rows: Sequence[_Row], axes: _Axes, source: str, logits: str | None) -> str:
    lines = [
        "# A draft by `port inspect`: it covers every variable of the graph. To do: name the axes and the layers that",
        "# fit no kind, and add an id to each row, a column for each other dialect, and the endpoints.",
        f"source   = {_quoted(source)}",
        f"dialects = [{_quoted(ORIGINAL)}]",
    ]
    for name, columns in axes.tables.items():
        lines += ["", f"[axis.{name}]"]
        width = max(len(column) for column in columns)
        lines += [f"{column:<{width}} = [{', '.join(map(_value, values))}]" for column, values in columns.items()]
    for row in rows:
        lines += ["", "[[layer]]", f"kind  = {_quoted(row.kind)}"]
        if row.over:
            lines.append(f"over  = [{', '.join(map(_quoted, row.over))}]")
        if row.head:
            lines.append("head  = true")
        lines.append(f"{ORIGINAL:<5} = {_quoted(row.template)}  # {_shapes(row)}")
    lines += ["", "[[endpoint]]", 'name   = "Logits"', "logits = true"]
    if logits is not None:
        lines.append(f"{ORIGINAL:<6} = {_quoted(logits.replace('{', '{{').replace('}', '}}'))}")
    return "\n".join(lines) + "\n"


def _shapes(row: _Row) -> str:
    shown = ["x".join(map(str, shape)) or "scalar" for shape in row.shapes[:3]]
    more = f", … {len(row.shapes)} shapes" if len(row.shapes) > 3 else ""
    times = f"{row.times} times: " if row.times > 1 else ""
    return times + ", ".join(shown) + more


def _quoted(text: str) -> str:
    """Return a TOML string: JSON's, except for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(text: str) -> str:
    """Return a number without quotes, but with them where it has leading zeros to keep."""
    return text if text == str(int(text)) and len(text) < 18 else _quoted(text)
