"""find_nodes: the nodes whose name or op matches a pattern, with shapes, attributes and neighbours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from porter.errors import PorterError
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.attributes import attributes
from porter.graph.analysis.paths import INFERENCE
from porter.graph.graph import Node
from porter.graph.shapes import Shape


@dataclass(frozen=True)
class Found:
    """One node. ``inputs`` and ``outputs`` are its neighbours and the shapes of the tensors between them.

    ``purpose`` is "inference" for the nodes of the inference path.
    """

    name: str
    op: str
    shape: Shape
    dtype: str
    purpose: str
    attributes: dict[str, str]
    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "name": self.name,
            "op": self.op,
            "shape": self.shape,
            "dtype": self.dtype,
            "purpose": self.purpose,
            "attributes": self.attributes,
            "inputs": [{"tensor": name, "shape": shape} for name, shape in self.inputs],
            "outputs": [{"node": name, "shape": shape} for name, shape in self.outputs],
        }


def find_nodes(analysis: Analysis, pattern: str) -> list[Found]:
    """Return the nodes in whose name or op ``pattern`` matches, in the graph's order.

    Raises PorterError if ``pattern`` is not a regular expression.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise PorterError(f"{pattern!r} is not a regular expression: {error}") from None
    nodes = analysis.graph.nodes.values()
    return [found_node(analysis, node) for node in nodes if wanted.search(node.name) or wanted.search(node.op)]


def found_node(analysis: Analysis, node: Node) -> Found:
    """Return one node's description."""
    graph, shapes = analysis.graph, analysis.shapes
    inputs = [(ref.tensor, shapes[ref]) for ref in node.inputs]
    inputs += [(f"^{name}", None) for name in node.controls]
    outputs = []
    for name in graph.consumers[node.name]:
        read = next(ref for ref in graph.nodes[name].inputs if ref.node == node.name)
        outputs.append((name, shapes[read]))
    return Found(
        node.name,
        node.op,
        shapes.of(node.name),
        analysis.dtype(node.name),
        analysis.paths.aside.get(node.name, INFERENCE),
        attributes(node),
        tuple(inputs),
        tuple(outputs),
    )
