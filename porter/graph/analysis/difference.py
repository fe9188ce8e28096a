"""compare_graphs: how two graphs differ in nodes, wiring, attributes, shapes and constants."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import FormatError
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.tensorproto import tensor_values
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.attributes import attribute_text
from porter.graph.analysis.blocks import Block
from porter.graph.graph import Node
from porter.graph.shapes import shape_text

_UNSET, SHAPE = "unset", "output shape"


@dataclass(frozen=True)
class Change:
    """How a node differs. Each part is (what, text of the first graph, text of the second)."""

    name: str
    op: str
    parts: tuple[tuple[str, str, str], ...]
    follows: bool = False
    """Whether only its output shape differs, because an input shape does."""


@dataclass(frozen=True)
class Difference:
    """The comparison of two graphs, node by node. It is true if nothing differs.

    ``only_first`` and ``only_second`` list (name, op). ``same`` counts the equal nodes.
    """

    first: str
    second: str
    only_first: tuple[tuple[str, str], ...]
    only_second: tuple[tuple[str, str], ...]
    changed: tuple[Change, ...]
    same: int
    alike: bool
    """Whether the inference paths have the same layers and wiring; names do not count."""

    def __bool__(self) -> bool:
        return not (self.only_first or self.only_second or self.changed)

    def kinds(self) -> dict[str, int]:
        """Return the number of changed nodes per part, most frequent first."""
        return dict(Counter(what for change in self.changed for what, _, _ in change.parts).most_common())

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "equal": bool(self),
            "first": self.first,
            "second": self.second,
            "same": self.same,
            "same_layers": self.alike,
            "only_first": [{"name": name, "op": op} for name, op in self.only_first],
            "only_second": [{"name": name, "op": op} for name, op in self.only_second],
            "changed": [
                {
                    "name": change.name,
                    "op": change.op,
                    "follows": change.follows,
                    "parts": [{"what": w, "first": a, "second": b} for w, a, b in change.parts],
                }
                for change in self.changed
            ],
        }


def compare_graphs(first: Analysis, second: Analysis) -> Difference:
    """Compare two graphs. Nodes are matched by name."""
    ours, theirs = first.graph.nodes, second.graph.nodes
    changed = []
    for name, node in ours.items():
        if name in theirs:
            parts = _parts(first, second, node, theirs[name])
            if parts:
                above = any(first.shapes[ref] != second.shapes[ref] for ref in node.inputs)
                changed.append(Change(name, node.op, tuple(parts), above and all(p[0] == SHAPE for p in parts)))
    common = sum(name in theirs for name in ours)
    return Difference(
        str(first.source.path),
        str(second.source.path),
        tuple((name, node.op) for name, node in ours.items() if name not in theirs),
        tuple((name, node.op) for name, node in theirs.items() if name not in ours),
        tuple(changed),
        common - len(changed),
        Block("", first.layers).structure() == Block("", second.layers).structure(),
    )


def _parts(first: Analysis, second: Analysis, a: Node, b: Node) -> list[tuple[str, str, str]]:
    parts: list[tuple[str, str, str]] = []
    if a.op != b.op:
        parts.append(("op", a.op, b.op))
    if (a.inputs, sorted(a.controls)) != (b.inputs, sorted(b.controls)):
        parts.append(("inputs", _inputs(a), _inputs(b)))
    ours, theirs = a.proto.attr, b.proto.attr
    for key in sorted({*ours, *theirs} - {"_output_shapes"}):
        mine, yours = (ours[key] if key in ours else None), (theirs[key] if key in theirs else None)  # noqa: SIM401
        if mine != yours and (part := _attribute(key, mine, yours)) is not None:
            parts.append(part)
    shapes = first.shapes.of(a.name), second.shapes.of(b.name)
    if shapes[0] != shapes[1]:
        parts.append((SHAPE, shape_text(shapes[0]), shape_text(shapes[1])))
    return parts


def _attribute(key: str, mine: Any, yours: Any) -> tuple[str, str, str] | None:
    if mine is not None and yours is not None and mine.HasField("tensor") and yours.HasField("tensor"):
        return _constants(mine, yours)
    texts = [attribute_text(value) if value is not None else _UNSET for value in (mine, yours)]
    return (key, texts[0], texts[1])


def _constants(mine: Any, yours: Any) -> tuple[str, str, str] | None:
    """Compare two constants by value, not by the way they are stored; return None if they are equal."""
    a, b = _values(mine.tensor), _values(yours.tensor)
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return ("constant", attribute_text(mine), attribute_text(yours))
    if np.array_equal(a, b):
        return None
    apart = int(np.count_nonzero(a != b))
    largest = ""
    if a.dtype.kind in "iuf":
        with np.errstate(all="ignore"):
            largest = f", by at most {np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64))):.3g}"
    text = f"{attribute_text(yours)} ({apart:,} of {a.size:,} values differ{largest})"
    return ("constant", attribute_text(mine), text)


def _values(proto: Any) -> np.ndarray | None:
    if proto.dtype not in TYPES:
        return None
    try:
        return tensor_values(Path(), "", proto)
    except FormatError:
        return None


def _inputs(node: Node) -> str:
    return ", ".join([*(ref.tensor for ref in node.inputs), *(f"^{name}" for name in node.controls)]) or "none"
