"""output_facts: the range of an output's values, and its size beside the image's, as far as the graph tells."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.first_steps import ARITHMETIC, Range, range_text
from porter.graph.graph import Node, Ref

_BOUNDED: dict[str, Range] = {
    "Tanh": (-1, 1), "Sigmoid": (0, 1), "Softmax": (0, 1), "Relu6": (0, 6), "Softsign": (-1, 1), "Sin": (-1, 1),
    "Cos": (-1, 1),
}  # fmt: skip
_PASSING = frozenset(
    "Identity Reshape Squeeze ExpandDims Transpose StridedSlice Slice MaxPool AvgPool Mean Max Min DepthToSpace "
    "SpaceToDepth ResizeBilinear ResizeNearestNeighbor StopGradient BatchToSpaceND Tile".split()
)
"""Ops whose results lie in the range of their first input."""
_FARTHEST = 40
_IMAGE_RANK = 4


def output_facts(analysis: Analysis, name: str) -> Iterator[str]:
    """Yield phrases about the output ``name``; an op that says its range itself, such as a Softmax, has none."""
    if analysis.graph.nodes[name].op not in _BOUNDED and (found := _range(analysis, Ref(name), _FARTHEST)) is not None:
        yield f"values in {range_text(found)}"
    if (part := _part_of_image(analysis, name)) > 1:
        yield f"1/{part} of the image's height and width"


def _range(analysis: Analysis, ref: Ref, left: int) -> Range | None:
    """Return the least and the greatest value that a tensor can have, as float64; None if either is open."""
    node = analysis.graph.nodes.get(ref.node)
    if node is None or not left or not node.inputs or ref.slot:
        return None
    if node.op in _BOUNDED:
        return _BOUNDED[node.op]
    if node.op in _PASSING:
        return _range(analysis, node.inputs[0], left - 1)
    if node.op == "ClipByValue" and len(node.inputs) > 2:
        ends = [_constant(analysis, ref) for ref in node.inputs[1:3]]
        return None if ends[0] is None or ends[1] is None else (float(ends[0].min()), float(ends[1].max()))
    if node.op in ("Minimum", "Maximum"):
        return _limited(analysis, node, left)
    return _scaled(analysis, node, left) if node.op in ARITHMETIC and len(node.inputs) > 1 else None


def _limited(analysis: Analysis, node: Node, left: int) -> Range | None:
    """Return the range of min(max(x, low), high), in either order."""
    limits: dict[str, float] = {}
    at: Node | None = node
    while at is not None and at.op in ("Minimum", "Maximum") and at.op not in limits and len(at.inputs) > 1:
        sides = [(_constant(analysis, ref), other) for ref, other in (at.inputs[:2], at.inputs[1::-1])]
        known = next(((value, other) for value, other in sides if value is not None and value.size), None)
        if known is None:
            break
        limits[at.op] = float(known[0].max() if at.op == "Minimum" else known[0].min())
        at = analysis.graph.nodes.get(known[1].node)
    if limits.keys() == {"Minimum", "Maximum"} and limits["Maximum"] < limits["Minimum"]:
        return limits["Maximum"], limits["Minimum"]
    return None


def _scaled(analysis: Analysis, node: Node, left: int) -> Range | None:
    """Return the range of a tensor plus, minus, times or by a constant."""
    values = [_constant(analysis, ref) for ref in node.inputs[:2]]
    at = next((at for at in (0, 1) if values[at] is not None), None)
    if at is None or values[1 - at] is not None:
        return None
    found, constant = _range(analysis, node.inputs[1 - at], left - 1), values[at]
    if found is None or constant is None or not constant.size:
        return None
    by = constant.astype(np.float64).reshape(-1)
    with np.errstate(all="ignore"):
        scale, shift = ARITHMETIC[node.op][1](np.ones(1), np.zeros(1), by, at == 0)
        reached = np.concatenate([scale * end + shift for end in found])
    return (float(reached.min()), float(reached.max())) if np.isfinite(reached).all() else None


def _constant(analysis: Analysis, ref: Ref) -> np.ndarray | None:
    """Return a constant of floats or integers, None where a value is open."""
    value = analysis.shapes.values.get(ref)
    return value if value is not None and value.dtype.kind in "fiu" else None


def _part_of_image(analysis: Analysis, name: str) -> int:
    """Return how many times higher and wider the one image is than the map ``name``; 0 if that is no whole number."""
    shape = analysis.shapes.of(name)
    images = [
        found
        for name in analysis.paths.inputs
        if (found := analysis.shapes.of(name)) is not None and len(found) == _IMAGE_RANK
    ]
    if shape is None or len(shape) != _IMAGE_RANK or len(images) != 1:
        return 0
    high, wide, maps_high, maps_wide = images[0][1], images[0][2], shape[1], shape[2]
    if not (high and wide and maps_high and maps_wide) or min(maps_high, maps_wide) < 2:
        return 0
    part = high // maps_high
    return part if (maps_high * part, maps_wide * part) == (high, wide) else 0
