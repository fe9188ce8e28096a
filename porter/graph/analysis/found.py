"""counted_by_data: the layers whose work depends on how much an op finds in the data, such as a detector's boxes."""

from __future__ import annotations

from collections.abc import Iterable

from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.layers import Layer
from porter.graph.graph import Node

_FINDERS = {
    "NonMaxSuppression": "boxes", "NonMaxSuppressionV2": "boxes", "NonMaxSuppressionV3": "boxes",
    "NonMaxSuppressionV4": "boxes", "NonMaxSuppressionV5": "boxes", "NonMaxSuppressionWithOverlaps": "boxes",
    "Where": "values", "Unique": "values", "UniqueV2": "values", "DynamicPartition": "values", "ListDiff": "values",
    "StringSplit": "words", "StringSplitV2": "words",
}  # fmt: skip
"""Ops whose number of results is in the data (tensorflow/core/ops/), and what they find."""


def counted_by_data(analysis: Analysis, layers: Iterable[Layer]) -> tuple[list[Layer], Node | None]:
    """Return those of ``layers`` that read what an op finds in the data, and the first such op."""
    graph = analysis.graph
    finders = [node for node in graph.nodes.values() if node.op in _FINDERS and node.name in analysis.paths.path]
    reached = graph.reached(node.name for node in finders)
    found = [layer for layer in layers if not reached.isdisjoint(layer.nodes)]
    return found, finders[0] if found else None


def what_it_finds(finder: Node) -> str:
    """Return the word for what such an op finds."""
    return _FINDERS[finder.op]
