"""infer_shapes(Graph) -> Shapes: the shape of every tensor for a batch of one, without TensorFlow.

Reshape, Pad and similar ops read their shapes from small integer constants, so these are evaluated along the way.
"""

from __future__ import annotations

from contextlib import suppress

from porter.graph.graph import Graph, Node, Ref
from porter.graph.shape_rules import array_ops, elementwise, loop_ops, math_ops, nn_ops, sources
from porter.graph.shapes import Rules, Shapes

RULES = Rules()
for _module in (sources, elementwise, array_ops, math_ops, nn_ops, loop_ops):
    RULES.update(_module.RULES)

_UNKNOWN_INPUT = (TypeError, ValueError, IndexError, KeyError)
_DAMAGED_NODE = (AttributeError, ZeroDivisionError, OverflowError)


def infer_shapes(graph: Graph, size: int | None = None) -> Shapes:
    """Return the shapes of ``graph``'s tensors; ``size`` replaces an open image height and width, in pixels.

    An unknown op, an unknown input or a damaged node gives the shape that TensorFlow recorded with it, or None.
    """
    shapes = Shapes(graph, size)
    for name in graph.order:
        infer_node(shapes, graph.nodes[name])
    return shapes


def infer_node(shapes: Shapes, node: Node) -> None:
    """Add the shapes of a node's outputs to ``shapes``, which has those of its inputs."""
    rule = RULES.get(node.op)
    if rule is not None:
        with suppress(*_UNKNOWN_INPUT, *_DAMAGED_NODE):
            rule(shapes, node)
    if (first := Ref(node.name)) not in shapes.shapes:
        shapes.shapes[first] = shapes.recorded(node)
