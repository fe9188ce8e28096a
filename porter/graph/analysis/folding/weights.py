"""assign_weights: gives each layer its variables, parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from porter.graph.analysis.costs import multiply_adds
from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.analysis.layers import Layer
from porter.graph.variables import Variable


def assign_weights(layers: Iterable[Layer], data: DataPath, variables: Mapping[str, Variable]) -> None:
    """Add up the layers' costs. A variable that several layers share belongs to the first."""
    used: set[str] = set()
    for layer in layers:
        for name in list(layer.nodes):
            products = multiply_adds(data.graph.nodes[name], data.shapes)
            if layer.multiply_adds is not None:
                layer.multiply_adds = None if products is None else layer.multiply_adds + products
            for above in _constants(name, data, used):
                layer.nodes.append(above)
                if above in variables:
                    layer.variables.append(above)
                    layer.parameters += variables[above].size


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
