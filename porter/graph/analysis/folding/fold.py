"""fold_layers: groups a graph's ops into the layers that a person would draw.

A layer is a convolution with its padding, bias, batch norm (fused or in five ops) and activation; a separable
convolution; a pool; an add; a concat; or any other single op.
"""

from __future__ import annotations

from collections.abc import Mapping

from porter.graph.analysis.folding.append import append
from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.analysis.folding.names import name_layers
from porter.graph.analysis.folding.new_layer import new_layer
from porter.graph.analysis.folding.prepend import prepend_all
from porter.graph.analysis.folding.swish import Swish, find_swishes
from porter.graph.analysis.folding.weights import assign_weights
from porter.graph.analysis.layers import Layer
from porter.graph.analysis.paths import Paths
from porter.graph.graph import Graph, Node
from porter.graph.shapes import Shapes
from porter.graph.variables import Variable

_PASSING = frozenset(
    "Identity StopGradient Snapshot PreventGradient CheckNumerics Enter Exit RefIdentity PlaceholderWithDefault "
    "_Retval".split()
)


def fold_layers(graph: Graph, shapes: Shapes, paths: Paths, variables: Mapping[str, Variable]) -> list[Layer]:
    """Return the inference path's layers in the graph's order."""
    data = DataPath(graph, shapes, paths)
    layers = prepend_all(_Folder(data).layers(), paths.outputs)
    assign_weights(layers, data, variables)
    name_layers(layers)
    return layers


class _Folder:
    """Walks the data path; each node joins the layer in front of it or starts a new one."""

    def __init__(self, data: DataPath) -> None:
        self.data = data
        self.swishes = find_swishes(data)
        self.owner: dict[str, Layer | str] = {}
        self.found: list[Layer] = []

    def layers(self) -> list[Layer]:
        inputs = set(self.data.paths.inputs)
        inside = {name for swish in self.swishes.values() for name in swish.inner}
        for name in self.data.order():
            if name in inputs:
                self.owner[name] = name
            elif name not in self.data.shaping and name not in inside:
                self._take(self.data.graph.nodes[name])
        return self.found

    def _take(self, node: Node) -> None:
        sources = self.data.sources(node)
        before = self.owner.get(sources[0]) if len(sources) == 1 else None
        if node.op in _PASSING and before is not None:
            self._pass(node, sources[0], before)
        elif node.name in self.swishes:
            self._take_swish(node, self.swishes[node.name])
        elif isinstance(before, Layer) and self._only_reader(before, sources[0]) and append(self.data, before, node):
            before.nodes.append(node.name)
            before.end = node.name
            before.shape = self.data.shapes.of(node.name) or before.shape
            self.owner[node.name] = before
        else:
            layer = new_layer(self.data, node, [self.owner[name] for name in sources if name in self.owner])
            self.owner[node.name] = layer
            self.found.append(layer)

    def _pass(self, node: Node, source: str, before: Layer | str) -> None:
        """Add an op that only passes its input on to the layer in front of it."""
        self.owner[node.name] = before
        if isinstance(before, Layer):
            before.nodes.append(node.name)
            if before.end == source:
                before.end = node.name

    def _only_reader(self, layer: Layer, source: str) -> bool:
        """Tell whether ``source`` ends ``layer`` and has one reader: a tensor that others read must stay visible."""
        return layer.end == source and self.data.readers[source] == 1

    def _take_swish(self, node: Node, swish: Swish) -> None:
        before = self.owner.get(swish.x)
        if isinstance(before, Layer) and self._only_reader(before, swish.x) and not before.activation:
            layer = before
        else:
            layer = Layer(node.name, "activation", [], [before] if before is not None else [])
            self.found.append(layer)
        layer.nodes += [*reversed(swish.inner), node.name]
        layer.activation, layer.end = swish.name, node.name
        layer.shape = self.data.shapes.of(node.name)
        for part in (*swish.inner, node.name):
            self.owner[part] = layer
