"""assign_weights: gives each layer its variables, parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from porter.graph.analysis.costs import is_known, multiply_adds
from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.analysis.folding.loop import loop_products
from porter.graph.analysis.layers import Layer
from porter.graph.graph import Node
from porter.graph.variables import Variable


def assign_weights(layers: Iterable[Layer], data: DataPath, variables: Mapping[str, Variable]) -> None:
    """Add up the layers' costs. A variable that several layers share belongs to the first."""
    used: set[str] = set()
    for layer in layers:
        for name in list(layer.nodes):
            layer.multiply_adds = _sum(layer.multiply_adds, _products(data.graph.nodes[name], data, variables))
            for above in _constants(name, data, used):
                layer.nodes.append(above)
                # A graph may compute weights at each run, such as those of a spectral norm.
                layer.multiply_adds = _sum(layer.multiply_adds, multiply_adds(data.graph.nodes[above], data.shapes))
                if above in variables:
                    layer.variables.append(above)
                    layer.parameters += variables[above].size


def _sum(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def _products(node: Node, data: DataPath, variables: Mapping[str, Variable]) -> int | None:
    """Return a node's multiply-adds, None if they are unknown: an unknown op may multiply with a matrix of weights."""
    if node.name in data.view.loops:
        return loop_products(data.view.loops[node.name], data)
    if not is_known(node.op):
        above = data.graph.needed(ref.node for ref in data.weights(node))
        shapes = (variables[name].shape for name in above if name in variables)
        if any(shape is not None and len(shape) >= 2 for shape in shapes):
            return None
    return multiply_adds(node, data.shapes)


def _constants(name: str, data: DataPath, used: set[str]) -> Iterator[str]:
    """Yield the nodes that compute a node's weights and are not ``used`` yet, and mark them."""
    nodes = data.graph.nodes
    waiting = [ref.node for ref in nodes[name].inputs]
    while waiting:
        above = waiting.pop()
        if above in data.nodes or above in used or above not in nodes:
            continue
        used.add(above)
        yield above
        waiting += [ref.node for ref in nodes[above].inputs]
