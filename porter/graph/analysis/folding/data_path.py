"""DataPath: the nodes that compute on the network's data, in order, and which of them read each other."""

from __future__ import annotations

import numpy as np

from porter.graph.analysis.control.inference import View
from porter.graph.analysis.ends import only_shapes
from porter.graph.analysis.paths import Paths
from porter.graph.graph import VARIABLE_OPS, Node, Ref
from porter.graph.shapes import Shape, Shapes

_RESHAPES = ("Reshape", "ExpandDims", "Squeeze")


class DataPath:
    """The part of the inference path that depends on the network's inputs.

    ``nodes`` are its names. ``shaping`` are those that only compute shapes, such as Reshape's target. ``readers``
    counts, for each node, the nodes that read it as data.
    """

    def __init__(self, view: View, shapes: Shapes, paths: Paths) -> None:
        self.view, self.shapes, self.paths = view, shapes, paths
        self.graph = graph = view.graph
        self.nodes = graph.reached(paths.inputs) & paths.view
        if not self.nodes:  # a graph without inputs: all but constants and variables counts as data
            self.nodes = {name for name in paths.view if graph.nodes[name].op not in {"Const", *VARIABLE_OPS}}
        self.outputs = set(map(view.name, paths.outputs))
        self.shaping = only_shapes(graph, self.nodes, filled=False) - self.outputs  # Fill turns a shape into data
        self.readers = {
            name: sum(other in self.nodes and other not in self.shaping for other in graph.consumers[name])
            for name in self.nodes
        }

    def order(self) -> list[str]:
        """Return the nodes in the file's order if it can be executed, else depth first from the outputs."""
        listed = [name for name in self.graph.nodes if name in self.nodes]
        place = {name: at for at, name in enumerate(listed)}
        if all(place.get(ref.node, -1) < place[n] for n in listed for ref in self.graph.nodes[n].inputs):
            return listed
        ordered: dict[str, None] = {}
        for output in map(self.view.name, self.paths.outputs):
            self._visit(output, ordered)
        return list(ordered)

    def _visit(self, output: str, ordered: dict[str, None]) -> None:
        """Append an output and all that it needs to ``ordered``, inputs first, without recursion: graphs are deep."""
        waiting = [(output, iter(self.graph.nodes[output].inputs))]
        entered = {output}
        while waiting:
            name, inputs = waiting[-1]
            for ref in inputs:
                if ref.node in self.nodes and ref.node not in ordered and ref.node not in entered:
                    entered.add(ref.node)
                    waiting.append((ref.node, iter(self.graph.nodes[ref.node].inputs)))
                    break
            else:
                waiting.pop()
                if name in self.nodes:
                    ordered.setdefault(name)

    def sources(self, node: Node) -> list[str]:
        """Return the nodes that a node reads as data."""
        return [ref.node for ref in node.inputs if ref.node in self.nodes and ref.node not in self.shaping]

    def consumers(self, name: str) -> list[str]:
        """Return the data path's nodes that read a node."""
        return [other for other in self.graph.consumers[name] if other in self.nodes]

    def weights(self, node: Node) -> list[Ref]:
        """Return the inputs that do not depend on data: weights and other constants."""
        return [ref for ref in node.inputs if ref.node not in self.nodes]

    def only_reshapes(self, node: Node) -> bool:
        """Tell whether a node only adds or removes axes of size one of a tensor that does not depend on data."""
        if node.op not in _RESHAPES or node.name in self.nodes or not node.inputs:
            return False
        before, after = self.shapes[node.inputs[0]], self.shapes[Ref(node.name)]
        if before is None or after is None or None in before or None in after:
            return False
        return [size for size in before if size != 1] == [size for size in after if size != 1]

    def has_channel_vector(self, node: Node) -> bool:
        """Tell whether a node's other operand is one weight per channel, not a scalar."""
        others = self.weights(node)
        shape = self.shapes[others[0]] if len(others) == 1 else None
        several = sum(size != 1 for size in shape or ())
        # Of one channel, a vector or a map of one value is that weight, unlike a scalar.
        return several == 1 or bool(shape and not several and (self.shapes.of(node.name) or ())[-1:] == (1,))

    def has_weight_of_one(self, node: Node) -> bool:
        """Tell whether a node's other operand is one value that training sets, such as SRCNN's last bias."""
        others = self.weights(node)
        if len(others) != 1 or others[0].node not in self.graph.nodes or self.shapes[others[0]] not in ((), (1,)):
            return False
        return any(self.graph.nodes[name].op in VARIABLE_OPS for name in self.graph.needed([others[0].node]))

    def input_shape(self, node: Node, index: int) -> Shape:
        """Return an input's shape, or None if it is unknown or missing, as it may be in a damaged graph."""
        return self.shapes[node.inputs[index]] if len(node.inputs) > index else None

    def input_value(self, node: Node, index: int) -> np.ndarray | None:
        """Return an input's constant value, or None if it is unknown or missing."""
        return self.shapes.values.get(node.inputs[index]) if len(node.inputs) > index else None
