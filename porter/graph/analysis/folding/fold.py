"""fold_layers: groups a graph's ops into the layers that a person would draw.

A layer is a convolution with its padding, bias, batch norm (fused or in five ops) and activation; a separable
convolution; a pool; an add; a concat; or any other single op.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from porter.graph.analysis.control.inference import View
from porter.graph.analysis.folding.append import append
from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.analysis.folding.loop import describe_loop
from porter.graph.analysis.folding.names import name_layers
from porter.graph.analysis.folding.new_layer import new_layer
from porter.graph.analysis.folding.prepend import prepend_all
from porter.graph.analysis.folding.weights import assign_weights
from porter.graph.analysis.idioms.find import Found, find_idioms
from porter.graph.analysis.idioms.table import ACTIVATION, NORM
from porter.graph.analysis.layers import CONVOLUTIONS, Layer
from porter.graph.analysis.paths import Paths
from porter.graph.graph import Node
from porter.graph.shapes import Shapes
from porter.graph.variables import Variable

_PASSING = frozenset(
    "Identity StopGradient Snapshot PreventGradient CheckNumerics Enter Exit RefIdentity PlaceholderWithDefault "
    "_Retval".split()
)


def fold_layers(view: View, shapes: Shapes, paths: Paths, variables: Mapping[str, Variable]) -> list[Layer]:
    """Return the inference path's layers in the graph's order."""
    data = DataPath(view, shapes, paths)
    layers = _read(prepend_all(_Folder(data).layers(), data.outputs), data.outputs)
    assign_weights(layers, data, variables)
    for layer in layers:
        describe_loop(layer, data)
        if view.stands:
            layer.nodes = [member for node in layer.nodes for member in view.members(node)]
    name_layers(layers)
    return layers


def _read(layers: list[Layer], outputs: Set[str]) -> list[Layer]:
    """Return the layers that an output needs: an idiom drops what it reads beside its tensor, such as filled ones."""
    waiting = [layer for layer in layers if not outputs.isdisjoint(layer.nodes)]
    needed = set(map(id, waiting))
    while waiting:
        for source in waiting.pop().inputs:
            if isinstance(source, Layer) and id(source) not in needed:
                needed.add(id(source))
                waiting.append(source)
    return [layer for layer in layers if id(layer) in needed] if needed else layers


class _Folder:
    """Walks the data path; each node joins the layer in front of it or starts a new one."""

    def __init__(self, data: DataPath) -> None:
        self.data = data
        self.idioms = find_idioms(data)
        self.owner: dict[str, Layer | str] = {}
        self.found: list[Layer] = []

    def layers(self) -> list[Layer]:
        inputs = set(self.data.paths.inputs)
        inside = {name for end, idiom in self.idioms.items() for name in idiom.nodes if name != end}
        for name in self.data.order():
            if name in inputs:
                self.owner[name] = name
            elif name not in self.data.shaping and name not in inside:
                self._take(self.data.graph.nodes[name])
        return self.found

    def _take(self, node: Node) -> None:
        sources = self.data.sources(node)
        before = self.owner.get(sources[0]) if len(sources) == 1 else None
        if node.name in self.idioms:
            self._take_idiom(node, self.idioms[node.name])
        elif node.op in _PASSING and before is not None:
            self._pass(node, sources[0], before)
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

    def _take_idiom(self, node: Node, idiom: Found) -> None:
        """Fold an activation or norm onto the layer in front of it; any other idiom is a layer of its own."""
        before = self.owner.get(idiom.x)
        alone = isinstance(before, Layer) and self._only_reader(before, idiom.x) and not before.activation
        if alone and isinstance(before, Layer) and _joins(idiom, before):
            layer = before
        else:
            layer = Layer(node.name, idiom.kind, [], [before] if before is not None else [], detail=idiom.detail)
            self.found.append(layer)
        layer.nodes += reversed(idiom.nodes)
        layer.end, layer.shape = node.name, self.data.shapes.of(node.name) or layer.shape
        layer.numbers |= {name: number for name, number in idiom.numbers.items() if name != "epsilon"}
        if idiom.role == ACTIVATION:
            layer.activation = idiom.kind
            layer.kind = "activation" if layer is not before else layer.kind
        elif idiom.role == NORM:
            layer.norm, layer.epsilon = idiom.kind, idiom.numbers.get("epsilon")
        if layer.shape and layer is not before:
            layer.channels = layer.shape[-1]
        self.owner |= dict.fromkeys(idiom.nodes, layer)


def _joins(idiom: Found, before: Layer) -> bool:
    """Tell whether an idiom belongs onto the layer in front of it."""
    if idiom.role == NORM:
        return before.kind in CONVOLUTIONS and not before.norm
    return idiom.role == ACTIVATION
