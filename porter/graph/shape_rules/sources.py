"""Shape rules of ops that produce data: placeholders, constants, variables, input pipelines and image decoders."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

from porter.errors import FormatError
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.tensorproto import tensor_values
from porter.graph.graph import Node, Ref
from porter.graph.shapes import LARGEST_VALUE, Rules, Shape, Shapes, batch_of_one, proto_shape

RULES = Rules()
_UNSTACKS = ("TensorArrayScatter", "TensorListFromTensor")
"""Ops that take the first axis apart, one step of a loop each."""


@RULES.of("Placeholder PlaceholderV2 PlaceholderWithDefault")
def placeholder(s: Shapes, node: Node) -> None:
    s.set(node, _batch_of_one(s, node, _with_size(s, node, _placeholder_shape(s, node))))


def _batch_of_one(s: Shapes, node: Node, shape: Shape) -> Shape:
    """Return the shape with its open batch set to 1: the first axis, or the second where the first counts steps."""
    if shape is None or len(shape) != 3 or shape[1] is not None:
        return batch_of_one(shape)
    readers = (s.graph.nodes[name].op for name in s.graph.consumers[node.name])
    steps_first = shape[0] is not None or any(op.startswith(_UNSTACKS) for op in readers)
    return (shape[0], 1, shape[2]) if steps_first else batch_of_one(shape)


def _placeholder_shape(s: Shapes, node: Node) -> Shape:
    shape = proto_shape(node.attr("shape").shape) if node.attr("shape") is not None else None
    recorded = s.recorded(node)
    if shape in (None, ()) and recorded is not None:
        shape = recorded
    if shape is None and node.op == "PlaceholderWithDefault":
        return s.input(node)
    # Up to producer 21, TensorFlow wrote a placeholder of unknown shape as a scalar (array_ops.cc).
    if shape == () and node.op == "Placeholder" and s.graph.producer <= 21:
        return None
    return shape


def _with_size(s: Shapes, node: Node, shape: Shape) -> Shape:
    """Replace an image's open height and width by the assumed size."""
    if shape is None or len(shape) != 4 or s.size is None or None not in shape[1:3]:
        return shape
    channels_first = shape[1] == 3 or (shape[1] is not None and shape[2] is None)
    space = (2, 3) if channels_first else (1, 2)
    s.assumed.append(node.name)
    return tuple(s.size if at in space and side is None else side for at, side in enumerate(shape))


@RULES.of("Const HostConst")
def constant(s: Shapes, node: Node) -> None:
    proto = node.attr("value").tensor
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    s.set(node, shape)
    kind = TYPES.get(proto.dtype)
    if kind is not None and math.prod(shape) <= LARGEST_VALUE and kind.loaded.kind in "iufb":
        with suppress(FormatError):
            s.values[Ref(node.name)] = tensor_values(Path(), node.name, proto)


@RULES.of("VarHandleOp VariableV2 Variable")
def variable(s: Shapes, node: Node) -> None:
    s.set(node, proto_shape(node.attr("shape").shape) if node.attr("shape") is not None else None)


@RULES.of("IteratorGetNext")
def iterator(s: Shapes, node: Node) -> None:
    shapes = node.attr("output_shapes")
    for index, shape in enumerate(shapes.list.shape if shapes is not None else ()):
        s.set(node, batch_of_one(proto_shape(shape)), index)


@RULES.of("QueueDequeue QueueDequeueV2 QueueDequeueMany QueueDequeueManyV2 QueueDequeueUpTo QueueDequeueUpToV2")
def dequeued(s: Shapes, node: Node) -> None:
    shapes = s.graph.nodes[node.inputs[0].node].attr("shapes")
    many = len(node.inputs) > 1
    for index, proto in enumerate(shapes.list.shape if shapes is not None else ()):
        shape = proto_shape(proto)
        s.set(node, (s.ints(node, 1)[0], *shape) if many and shape is not None else shape, index)


@RULES.of("DecodeJpeg DecodePng DecodeImage DecodeBmp")
def decoded_image(s: Shapes, node: Node) -> None:
    s.set(node, (s.size, s.size, node.integer("channels") or None))
