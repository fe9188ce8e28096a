"""Shape rules of tensor arrays and tensor lists, which hold one tensor per step of a loop.

TensorFlow 1 writes arrays, TensorFlow 2 lists. A tensor's open first axis is the batch, which counts as one. Where
the steps are the images of a batch, an array holds a single tensor, whose first axis is another.
"""

from __future__ import annotations

from porter.graph.graph import Node
from porter.graph.loop_values import ARRAYS, LISTS, array_of
from porter.graph.shapes import Rules, Shape, Shapes, batch_of_one, proto_shape

RULES = Rules()


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


@RULES.of("TensorListReserve TensorListFromTensor TensorListSetItem")
def a_list(s: Shapes, node: Node) -> None:
    s.set(node, ())


@RULES.of("TensorListLength")
def length(s: Shapes, node: Node) -> None:
    s.set(node, ())
    steps = _length(s, node)
    if steps is not None:
        s.set_value(node, steps)


@RULES.of("TensorListGetItem")
def item(s: Shapes, node: Node) -> None:
    s.set(node, _item(s, node, 2))


@RULES.of("TensorListStack")
def stacked(s: Shapes, node: Node) -> None:
    one = _item(s, node, 1)
    s.set(node, None if one is None else (_length(s, node), *one))


def _array(s: Shapes, node: Node, makers: frozenset[str] = ARRAYS) -> Node | None:
    """Return the op that made the tensor array or list of ``node``, or None."""
    return array_of(s.graph, node, makers)


def _length(s: Shapes, node: Node) -> int | None:
    """Return how many tensors a list holds."""
    made = _array(s, node, LISTS)
    if made is None:
        return None
    if made.op == "TensorListFromTensor":
        return s.known(made)[0]
    value = s.value_or_none(made, 1)
    return None if value is None or value.item() is None else int(value.item())


def _item(s: Shapes, node: Node, stated_at: int) -> Shape:
    """Return the shape of a list's tensors: what it was made of, or what the node or the list's maker states."""
    made = _array(s, node, LISTS)
    if made is not None and made.op == "TensorListFromTensor" and s[made.inputs[0]]:
        return s.known(made)[1:]
    given = [s.value_or_none(node, stated_at), s.value_or_none(made, 0) if made is not None else None]
    for value in given:
        if value is not None and value.ndim == 1:  # a scalar stands for any shape
            shape = tuple(None if side is None or side < 0 else int(side) for side in value.tolist())
            return shape if _length(s, node) == 1 else batch_of_one(shape)
    return None


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
    shape = next((shape for shape in known if shape is not None), None)
    steps = s.value_or_none(array, 0) if array is not None else None
    return shape if steps is not None and steps.size == 1 and steps.item() == 1 else batch_of_one(shape)
