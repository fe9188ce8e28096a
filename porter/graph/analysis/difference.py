"""compare_graphs: what differs between two graphs: nodes, wiring, attributes, shapes and constants."""

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
from porter.graph.analysis.blocks import Block
from porter.graph.analysis.search import attribute_text
from porter.graph.graph import Node

_UNSAID, SHAPE = "unset", "output shape"


@dataclass(frozen=True)
class Change:
    """How one node differs: (what, in the first graph, in the second)."""

    name: str
    op: str
    parts: tuple[tuple[str, str, str], ...]
    follows: bool = False
    """Whether only its output's shape differs, as an input's shape does."""


@dataclass(frozen=True)
class Difference:
    """Two graphs, node by node of the same name; true where nothing differs."""

    first: str
    second: str
    only_first: tuple[tuple[str, str], ...]
    only_second: tuple[tuple[str, str], ...]
    changed: tuple[Change, ...]
    same: int
    alike: bool
    """Whether the layers on the way to the outputs have the same structure, whatever their names."""

    def __bool__(self) -> bool:
        return not (self.only_first or self.only_second or self.changed)

    def kinds(self) -> dict[str, int]:
        """Return how many nodes differ in what, most first."""
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
    """Return what differs between two graphs. Nodes are matched by name."""
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
        if mine != yours:
            parts.append(_attribute(key, mine, yours))
    shapes = first.shapes.of(a.name), second.shapes.of(b.name)
    if shapes[0] != shapes[1]:
        parts.append((SHAPE, _shape(shapes[0]), _shape(shapes[1])))
    return [part for part in parts if part[0]]


def _attribute(key: str, mine: Any, yours: Any) -> tuple[str, str, str]:
    if mine is not None and yours is not None and mine.HasField("tensor") and yours.HasField("tensor"):
        return _tensors(key, mine, yours)
    texts = [attribute_text(value) if value is not None else _UNSAID for value in (mine, yours)]
    return (key, texts[0], texts[1])


def _tensors(key: str, mine: Any, yours: Any) -> tuple[str, str, str]:
    """Compare values, however these are stored; say by how much they differ at most."""
    a, b = _values(mine.tensor), _values(yours.tensor)
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return ("constant", attribute_text(mine), attribute_text(yours))
    if np.array_equal(a, b):
        return ("", "", "")
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
    tensors = [f"{ref.node}:{ref.slot}" if ref.slot else ref.node for ref in node.inputs]
    return ", ".join([*tensors, *(f"^{name}" for name in node.controls)]) or "none"


def _shape(shape: Any) -> str:
    return "unknown" if shape is None else "x".join("?" if size is None else str(size) for size in shape) or "scalar"
