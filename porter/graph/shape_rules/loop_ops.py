"""Shape rules of tensor arrays, which hold one tensor per step of a loop."""

from __future__ import annotations

from porter.graph.graph import Node
from porter.graph.shapes import Rules, Shape, Shapes, batch_of_one, proto_shape

RULES = Rules()
_ENTERING = frozenset({"Enter", "RefEnter", "Switch", "RefSwitch", "Identity", "Merge", "RefMerge"})
"""What stands between a tensor array and the ops that use it inside a loop."""
_FARTHEST = 20


@RULES.of("TensorArrayV3")
def tensor_array(s: Shapes, node: Node) -> None:
    s.set(node, (2,))
    s.set(node, (), 1)


@RULES.of("TensorArrayWriteV3 TensorArrayScatterV3")
def flow(s: Shapes, node: Node) -> None:
    s.set(node, ())


@RULES.of("TensorArraySizeV3")
def steps(s: Shapes, node: Node) -> None:
    s.set(node, ())
    array = _array(s, node)
    if array is not None:
        s.set_value(node, s.value(array, 0))


@RULES.of("TensorArrayReadV3")
def read(s: Shapes, node: Node) -> None:
    s.set(node, _element(s, node))


@RULES.of("TensorArrayGatherV3")
def gather(s: Shapes, node: Node) -> None:
    element = _element(s, node)
    s.set(node, None if element is None else (*s.known(node, 1), *element))


def _array(s: Shapes, node: Node) -> Node | None:
    """Return the op that made the tensor array of ``node``, or None."""
    at = s.graph.nodes.get(node.inputs[0].node)
    for _ in range(_FARTHEST):
        if at is None or at.op not in _ENTERING:
            break
        at = s.graph.nodes.get(at.inputs[0].node)
    return at if at is not None and at.op == "TensorArrayV3" else None


def _element(s: Shapes, node: Node) -> Shape:
    """Return the shape of an array's tensors: what fills it, or what the graph states."""
    array = _array(s, node)
    for name in s.graph.consumers.get(array.name, ()) if array is not None else ():
        writer = s.graph.nodes[name]
        filled = s[writer.inputs[2]] if writer.op.startswith(("TensorArrayScatter", "TensorArrayWrite")) else None
        if filled:
            return filled[1:] if writer.op.startswith("TensorArrayScatter") else filled
    stated = [owner.attr("element_shape") for owner in (node, array) if owner is not None]
    known = [proto_shape(value.shape) for value in stated if value is not None]
    return next((batch_of_one(shape) for shape in known if shape is not None), None)
