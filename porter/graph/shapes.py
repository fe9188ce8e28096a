"""Shapes of every tensor in a graph, for a batch of one, without TensorFlow.

A shape is a tuple whose unknown sizes are None, or None where not even the number of axes is known. Small
integer constants are computed along the way, because Reshape, Pad and the like take their shapes from them.
Source of each op's rule: tensorflow/core/ops/{array,math,nn,image}_ops.cc.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import FormatError
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.tensorproto import tensor_values
from porter.graph.graph import Graph, Node, Ref

Shape = tuple[int | None, ...] | None
VARIABLES = frozenset({"VarHandleOp", "VariableV2", "Variable"})
_MOST_OUTPUTS = 4096
_LARGEST_VALUE = 64
"""Constants of more elements are not computed with: no shape is that long."""


def proto_shape(proto: Any) -> Shape:
    """Return a TensorShapeProto as a shape."""
    if proto is None or proto.unknown_rank:
        return None
    return tuple(dim.size if dim.size >= 0 else None for dim in proto.dim)


class Shapes:
    """The shapes of ``graph``. ``size`` stands in for pictures' heights and widths that the graph leaves open."""

    def __init__(self, graph: Graph, size: int | None = None) -> None:
        self.graph = graph
        self.size = size
        self.shapes: dict[Ref, Shape] = {}
        self.values: dict[Ref, np.ndarray] = {}
        self.assumed: list[str] = []
        for name in graph.order:
            node = graph.nodes[name]
            try:
                _RULES.get(node.op, _unknown)(self, node)
            except (TypeError, ValueError, IndexError, KeyError, AttributeError, ZeroDivisionError, OverflowError):
                self.shapes.setdefault(Ref(name), self._noted(node, 0))

    def __getitem__(self, ref: Ref) -> Shape:
        return self.shapes.get(ref)

    def of(self, name: str) -> Shape:
        """Return the shape of a node's first output."""
        return self.shapes.get(Ref(name))

    def input(self, node: Node, index: int = 0) -> Shape:
        return self.shapes.get(node.inputs[index])

    def known(self, node: Node, index: int = 0) -> tuple[int | None, ...]:
        """Return the shape of an input; raises TypeError where its axes are not known."""
        shape = self.input(node, index)
        if shape is None:
            raise TypeError
        return shape

    def value(self, node: Node, index: int) -> np.ndarray:
        """Return an input's value; raises KeyError where it is not known."""
        return self.values[node.inputs[index]]

    def ints(self, node: Node, index: int) -> list[int]:
        """Return an input's value as a list of known integers; raises TypeError otherwise."""
        return [int(number) for number in np.atleast_1d(self.value(node, index)).tolist()]

    def set(self, node: Node, shape: Sequence[int | None] | None, index: int = 0) -> None:
        self.shapes[Ref(node.name, index)] = None if shape is None else tuple(shape)

    def set_value(self, node: Node, value: Any) -> None:
        array = np.asarray(value)
        if array.dtype.kind not in "OUS" or array.dtype.kind == "O":
            self.values[Ref(node.name)] = array
        self.set(node, array.shape)

    def _noted(self, node: Node, index: int) -> Shape:
        """Return what TensorFlow wrote beside the op, as ``_output_shapes``, where it did."""
        noted = node.attr("_output_shapes")
        if noted is None or index >= len(noted.list.shape):
            return None
        return _one_picture(proto_shape(noted.list.shape[index]))


def _one_picture(shape: Shape) -> Shape:
    """Return the shape for a batch of one, where the batch is open."""
    return (1, *shape[1:]) if shape and shape[0] is None else shape


def _unknown(s: Shapes, node: Node) -> None:
    s.set(node, s._noted(node, 0))


def _same(s: Shapes, node: Node) -> None:
    ref = Ref(node.name)
    s.shapes[ref] = s.shapes.get(node.inputs[0])
    value = s.values.get(node.inputs[0])
    if value is not None and node.op in ("Identity", "StopGradient", "Snapshot", "PreventGradient", "Cast", "Enter"):
        s.values[ref] = value
    if s.shapes[ref] is None:
        s.shapes[ref] = s._noted(node, 0)


def _same_all(s: Shapes, node: Node) -> None:
    for index, ref in enumerate(node.inputs):
        s.set(node, s[ref], index)
        if ref in s.values:
            s.values[Ref(node.name, index)] = s.values[ref]


def _switch(s: Shapes, node: Node) -> None:
    for index in (0, 1):
        s.set(node, s.input(node), index)


def _merge(s: Shapes, node: Node) -> None:
    s.set(node, next((s[ref] for ref in node.inputs if s[ref] is not None), None))


def _placeholder(s: Shapes, node: Node) -> None:
    shape: Shape = None
    if node.attr("shape") is not None:
        shape = proto_shape(node.attr("shape").shape)
    if shape in (None, ()) and s._noted(node, 0) is not None:
        shape = s._noted(node, 0)
    if shape is None and node.op == "PlaceholderWithDefault":
        shape = s.input(node)
    if shape == () and node.op == "Placeholder" and s.graph.producer <= 21 and not s._noted(node, 0):
        shape = None  # up to producer 21 a scalar's shape meant none at all (array_ops.cc)
    if shape is not None and len(shape) == 4 and s.size is not None and None in shape[1:3]:
        first = shape[1] == 3 or (shape[1] is not None and shape[2] is None)  # NCHW
        space = (2, 3) if first else (1, 2)
        shape = tuple(s.size if at in space and side is None else side for at, side in enumerate(shape))
        s.assumed.append(node.name)
    s.set(node, _one_picture(shape))


def _const(s: Shapes, node: Node) -> None:
    proto = node.attr("value").tensor
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    s.set(node, shape)
    kind = TYPES.get(proto.dtype)
    if kind is not None and math.prod(shape) <= _LARGEST_VALUE and kind.loaded.kind in "iufb":
        try:
            s.values[Ref(node.name)] = tensor_values(Path(), node.name, proto)
        except FormatError:
            return


def _variable(s: Shapes, node: Node) -> None:
    s.set(node, proto_shape(node.attr("shape").shape) if node.attr("shape") is not None else None)


def _iterator(s: Shapes, node: Node) -> None:
    shapes = node.attr("output_shapes")
    for index, shape in enumerate(shapes.list.shape if shapes is not None else ()):
        s.set(node, _one_picture(proto_shape(shape)), index)
    s.shapes.setdefault(Ref(node.name), s._noted(node, 0))


def _decode(s: Shapes, node: Node) -> None:
    channels = node.attr("channels")
    s.set(node, (s.size, s.size, (channels.i or None) if channels is not None else None))


def broadcast(a: Shape, b: Shape) -> Shape:
    """Return the shape of an elementwise result."""
    if a is None or b is None:
        return None
    length = max(len(a), len(b))
    a, b = (1,) * (length - len(a)) + a, (1,) * (length - len(b)) + b
    return tuple(x if y == 1 or x == y else y if x == 1 else (x if y is None and x != 1 else y) if None in (x, y) else y
                 for x, y in zip(a, b, strict=True))  # fmt: skip


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add, "AddV2": np.add, "Sub": np.subtract, "Mul": np.multiply, "FloorDiv": np.floor_divide,
    "Maximum": np.maximum, "Minimum": np.minimum, "FloorMod": np.mod, "RealDiv": np.true_divide, "Pow": np.power,
}  # fmt: skip


def _binary(s: Shapes, node: Node) -> None:
    s.set(node, broadcast(s.input(node, 0), s.input(node, 1)))
    values = [s.values.get(ref) for ref in node.inputs[:2]]
    if node.op in _ARITHMETIC and all(value is not None for value in values):
        with np.errstate(all="ignore"):
            s.values[Ref(node.name)] = np.asarray(_ARITHMETIC[node.op](*values))


def _select(s: Shapes, node: Node) -> None:
    s.set(node, broadcast(s.input(node, 1), s.input(node, 2)))


def channels_first(node: Node) -> bool:
    """Tell whether an op works on NCHW; NHWC is the default."""
    return node.text("data_format").startswith("NC")


def _spatial(node: Node, rank: int) -> tuple[list[int], int]:
    """Return the axes of height and width, and that of the channels."""
    return (list(range(2, rank)), 1) if channels_first(node) else (list(range(1, rank - 1)), rank - 1)


def _slid(node: Node, size: int | None, kernel: int | None, stride: int, dilation: int, at: int) -> int | None:
    """Return the size of one axis behind a window that slides over it."""
    padding = node.text("padding")
    if size is not None and padding == "SAME":
        return -(-size // stride)
    if size is None or kernel is None:
        return None
    kernel = (kernel - 1) * dilation + 1
    if padding == "EXPLICIT":
        pads = node.ints("explicit_paddings")
        size += pads[2 * at] + pads[2 * at + 1]
    return max(0, -(-(size - kernel + 1) // stride))


def _conv(s: Shapes, node: Node) -> None:
    shape = list(s.known(node))
    kernel = s.input(node, 1)
    space, channels = _spatial(node, len(shape))
    strides = node.ints("strides") or (1,) * len(shape)
    dilations = node.ints("dilations") or (1,) * len(shape)
    sizes = kernel[: len(space)] if kernel is not None else (None,) * len(space)
    for at, side in zip(space, sizes, strict=True):
        shape[at] = _slid(node, shape[at], side, strides[at], dilations[at], at)
    if kernel is None:
        shape[channels] = None
    elif node.op == "DepthwiseConv2dNative":
        shape[channels] = None if None in kernel[2:] else math.prod(k for k in kernel[2:] if k is not None)
    else:
        shape[channels] = kernel[-1]
    s.set(node, shape)


def _transposed(s: Shapes, node: Node) -> None:
    s.set(node, [None if size is None or size < 0 else int(size) for size in s.value(node, 0).tolist()])


def _pool(s: Shapes, node: Node) -> None:
    shape = list(s.known(node))
    kernel = node.ints("ksize") or tuple(s.ints(node, 1))
    strides = node.ints("strides") or tuple(s.ints(node, 2))
    for at in range(len(shape)):
        shape[at] = (
            shape[at] if kernel[at] == strides[at] == 1 else _slid(node, shape[at], kernel[at], strides[at], 1, at)
        )
    s.set(node, shape)


def _pad(s: Shapes, node: Node) -> None:
    pads = np.asarray(s.value(node, 1)).reshape(-1, 2).tolist()
    s.set(node, [None if size is None else size + a + b for size, (a, b) in zip(s.known(node), pads, strict=True)])


def _matmul(s: Shapes, node: Node) -> None:
    a, b = s.known(node, 0), s.known(node, 1)
    flags = [node.attr(name) for name in ("transpose_a", "transpose_b", "adj_x", "adj_y")]
    first, second = (bool(flags[i] and flags[i].b) or bool(flags[i + 2] and flags[i + 2].b) for i in (0, 1))
    batch = broadcast(a[:-2], b[:-2]) or ()
    s.set(node, (*batch, a[-1] if first else a[-2], b[-2] if second else b[-1]))


def _batch_norm(s: Shapes, node: Node) -> None:
    s.set(node, s.input(node))
    for index in range(1, 5):
        s.set(node, s.input(node, 1), index)


def _concat(s: Shapes, node: Node) -> None:
    first = node.op == "Concat"
    parts = [s[ref] for ref in (node.inputs[1:] if first else node.inputs[:-1])]
    at = int(s.value(node, 0 if first else len(node.inputs) - 1))
    if any(part is None for part in parts):
        values = [s.values[ref] for ref in (node.inputs[1:] if first else node.inputs[:-1])]
        s.set_value(node, np.concatenate(values))
        return
    shapes = [list(part) for part in parts if part is not None]
    joined = shapes[0]
    joined[at] = sum(shape[at] for shape in shapes)  # type: ignore[misc]
    s.set(node, joined)
    values = [s.values.get(ref) for ref in (node.inputs[1:] if first else node.inputs[:-1])]  # type: ignore[misc]
    if all(value is not None for value in values):
        s.set_value(node, np.concatenate(values))


def _reshape(s: Shapes, node: Node) -> None:
    target = [None if size is None else int(size) for size in np.atleast_1d(s.value(node, 1)).tolist()]
    shape = s.input(node)
    count = None if shape is None or None in shape else math.prod(size for size in shape if size is not None)
    known = math.prod(size for size in target if size not in (None, -1)) if None not in target else None
    if -1 in target and count is not None and known:
        target[target.index(-1)] = count // known
    s.set(node, [None if size is None or size < 0 else size for size in target])
    value = s.values.get(node.inputs[0])
    final = s.of(node.name)
    if value is not None and final is not None and None not in final:
        s.values[Ref(node.name)] = value.reshape([size or 0 for size in final])


def _squeeze(s: Shapes, node: Node) -> None:
    shape = s.known(node)
    axes = {axis % len(shape) for axis in node.ints("squeeze_dims") or node.ints("axis")}
    s.set(node, [size for at, size in enumerate(shape) if not (at in axes if axes else size == 1)])
    if node.inputs[0] in s.values:
        s.set_value(node, s.values[node.inputs[0]].squeeze(tuple(axes) or None))


def _expand(s: Shapes, node: Node) -> None:
    shape = list(s.known(node))
    at = int(s.ints(node, 1)[0])
    shape.insert(at if at >= 0 else len(shape) + 1 + at, 1)
    s.set(node, shape)
    if node.inputs[0] in s.values:
        s.set_value(node, s.values[node.inputs[0]].reshape([size or 0 for size in shape]))


_REDUCTIONS: dict[str, Callable[..., Any]] = {"Prod": np.prod, "Sum": np.sum, "Max": np.max, "Min": np.min}


def _reduce(s: Shapes, node: Node) -> None:
    shape = s.known(node)
    axes = {axis % max(1, len(shape)) for axis in s.ints(node, 1)}
    kept = node.attr("keep_dims")
    keep = kept is not None and kept.b
    s.set(node, [1 if at in axes else size for at, size in enumerate(shape) if keep or at not in axes])
    value = s.values.get(node.inputs[0])
    if value is not None and node.op in _REDUCTIONS:
        s.values[Ref(node.name)] = np.asarray(_REDUCTIONS[node.op](value, axis=tuple(axes), keepdims=keep))


def _arg(s: Shapes, node: Node) -> None:
    shape = s.known(node)
    at = s.ints(node, 1)[0] % len(shape)
    s.set(node, [size for i, size in enumerate(shape) if i != at])


def _shape(s: Shapes, node: Node) -> None:
    for index, ref in enumerate(node.inputs):
        shape = s[ref]
        s.set(node, None if shape is None else (len(shape),), index)
        if shape is not None:
            s.values[Ref(node.name, index)] = np.array(shape, object if None in shape else np.int64)


def _rank(s: Shapes, node: Node) -> None:
    s.set_value(node, len(s.known(node)))


def _size(s: Shapes, node: Node) -> None:
    s.set_value(node, math.prod(s.known(node)))  # type: ignore[arg-type]


def _mask(node: Node, name: str) -> int:
    value = node.attr(name)
    return int(value.i) if value is not None else 0


def _strided(s: Shapes, node: Node) -> None:
    begin, end, strides = s.ints(node, 1), s.ints(node, 2), s.ints(node, 3)
    masks = {name: _mask(node, f"{name}_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    index: list[Any] = []
    for at, (b, e, step) in enumerate(zip(begin, end, strides, strict=True)):
        bit = 1 << at
        if masks["ellipsis"] & bit:
            index.append(Ellipsis)
        elif masks["new_axis"] & bit:
            index.append(None)
        elif masks["shrink_axis"] & bit:
            index.append(b)
        else:
            index.append(slice(None if masks["begin"] & bit else b, None if masks["end"] & bit else e, step))
    shape = s.input(node)
    value = s.values.get(node.inputs[0])
    if value is not None:
        s.set_value(node, value[tuple(index)])
        return
    if shape is None:
        s.set(node, None)
        return
    # An unknown size stays unknown where it is sliced whole, which a stand-in of odd size shows.
    stand_in = np.broadcast_to(np.int8(0), [7919 if size is None else size for size in shape])
    found: list[int | None] = list(stand_in[tuple(index)].shape)
    s.set(node, [None if size is not None and size > 3000 and None in shape else size for size in found])


def _slice(s: Shapes, node: Node) -> None:
    begin, sizes = s.ints(node, 1), s.ints(node, 2)
    shape = s.known(node)
    s.set(node, [
        size if size >= 0 else None if whole is None else whole - start
        for whole, start, size in zip(shape, begin, sizes, strict=True)
    ])  # fmt: skip
    if node.inputs[0] in s.values and len(begin) == 1:
        s.set_value(node, s.values[node.inputs[0]][begin[0] :][: sizes[0] if sizes[0] >= 0 else None])


def _pack(s: Shapes, node: Node) -> None:
    values = [s.values.get(ref) for ref in node.inputs]
    shape = s.input(node)
    if shape == ():
        # An unknown scalar among known ones is one unknown size, not an unknown shape.
        numbers = [None if value is None else value.item() for value in values]
        s.set_value(node, np.array(numbers, object if None in numbers else None))
        return
    if shape is not None:
        axis = node.attr("axis").i if node.attr("axis") is not None else 0
        packed = list(shape)
        packed.insert(axis if axis >= 0 else len(packed) + 1 + axis, len(node.inputs))
        s.set(node, packed)


def _unpack(s: Shapes, node: Node) -> None:
    shape = s.known(node)
    axis = node.attr("axis").i if node.attr("axis") is not None else 0
    rest = [size for at, size in enumerate(shape) if at != axis % len(shape)]
    for index in range(min(node.attr("num").i, _MOST_OUTPUTS)):
        s.set(node, rest, index)
        value = s.values.get(node.inputs[0])
        if value is not None and value.ndim == 1:
            s.values[Ref(node.name, index)] = np.asarray(value[index])


def _split(s: Shapes, node: Node) -> None:
    data, axis = (1, 0) if node.op == "Split" else (0, 2)
    shape = list(s.known(node, data))
    at = s.ints(node, axis)[0] % len(shape)
    count = node.attr("num_split").i
    count = min(count, _MOST_OUTPUTS)
    sizes = s.ints(node, 1) if node.op == "SplitV" else [(shape[at] or 0) // count] * count
    for index, size in enumerate(sizes):
        s.set(node, [size if i == at else whole for i, whole in enumerate(shape)], index)


def _transpose(s: Shapes, node: Node) -> None:
    shape = s.known(node)
    s.set(node, [shape[at] for at in s.ints(node, 1)])


def _fill(s: Shapes, node: Node) -> None:
    sizes = np.atleast_1d(s.value(node, 0)).tolist()
    s.set(node, [None if size is None else int(size) for size in sizes])


def _range(s: Shapes, node: Node) -> None:
    start, limit, delta = (s.ints(node, index)[0] for index in range(3))
    if (limit - start) // delta <= _LARGEST_VALUE:
        s.set_value(node, np.arange(start, limit, delta))


def _gather(s: Shapes, node: Node) -> None:
    axis = s.ints(node, 2)[0] if len(node.inputs) > 2 else 0
    shape, indices = s.known(node, 0), s.known(node, 1)
    s.set(node, (*shape[:axis], *indices, *shape[axis + 1 :]))
    value, at = s.values.get(node.inputs[0]), s.values.get(node.inputs[1])
    if value is not None and at is not None and axis == 0:
        s.set_value(node, value[np.asarray(at, np.int64)])


def _tile(s: Shapes, node: Node) -> None:
    s.set(node, [None if size is None else size * n for size, n in zip(s.known(node), s.ints(node, 1), strict=True)])


def _resize(s: Shapes, node: Node) -> None:
    shape = s.known(node)
    height, width = s.values[node.inputs[1]].tolist() if node.inputs[1] in s.values else (None, None)
    s.set(node, (shape[0], height, width, shape[3]))


def _space_to_batch(s: Shapes, node: Node) -> None:
    """The batch grows as the picture shrinks: an atrous convolution the long way."""
    blocks, pads = s.ints(node, 1), np.asarray(s.value(node, 2)).reshape(-1, 2).tolist()
    shape = list(s.known(node))
    shape[0] = None if shape[0] is None else shape[0] * math.prod(blocks)
    for at, (block, (a, b)) in enumerate(zip(blocks, pads, strict=True), 1):
        size = shape[at]
        shape[at] = None if size is None else (size + a + b) // block
    s.set(node, shape)


def _batch_to_space(s: Shapes, node: Node) -> None:
    blocks, crops = s.ints(node, 1), np.asarray(s.value(node, 2)).reshape(-1, 2).tolist()
    shape = list(s.known(node))
    shape[0] = None if shape[0] is None else shape[0] // math.prod(blocks)
    for at, (block, (a, b)) in enumerate(zip(blocks, crops, strict=True), 1):
        size = shape[at]
        shape[at] = None if size is None else size * block - a - b
    s.set(node, shape)


def _top(s: Shapes, node: Node) -> None:
    shape = (*s.known(node)[:-1], s.ints(node, 1)[0])
    s.set(node, shape)
    s.set(node, shape, 1)


def _add_n(s: Shapes, node: Node) -> None:
    s.set(node, next((s[ref] for ref in node.inputs if s[ref] is not None), None))


def _many(names: str, rule: Callable[[Shapes, Node], None]) -> dict[str, Callable[[Shapes, Node], None]]:
    return dict.fromkeys(names.split(), rule)


_RULES: dict[str, Callable[[Shapes, Node], None]] = {
    **_many("Placeholder PlaceholderV2 PlaceholderWithDefault", _placeholder),
    **_many("Const HostConst", _const),
    **_many("VarHandleOp VariableV2 Variable", _variable),
    **_many("IteratorGetNext", _iterator),
    **_many("DecodeJpeg DecodePng DecodeImage DecodeBmp", _decode),
    **_many(
        "ReadVariableOp Identity StopGradient PreventGradient Snapshot Cast Relu Relu6 Elu Selu LeakyRelu Sigmoid Tanh "
        "Softplus Softsign Softmax LogSoftmax Exp Log Log1p Sqrt Rsqrt Square Neg Abs Sign Floor Ceil Round Rint Erf "
        "Erfc Reciprocal Inv LogicalNot ZerosLike OnesLike BiasAdd LRN CheckNumerics ClipByValue Enter RefEnter Exit "
        "RefExit NextIteration RefNextIteration LoopCond RefIdentity Reverse ReverseV2 Cumsum IsFinite IsNan "
        "FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel QuantizeAndDequantize "
        "QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 Dequantize QuantizeV2 "
        "AdjustContrastv2 RandomShuffle",
        _same,
    ),
    **_many("IdentityN", _same_all),
    **_many("_Retval _DeviceRetval", _same),
    **_many("Switch RefSwitch", _switch),
    **_many("Merge RefMerge", _merge),
    **_many(
        "Add AddV2 Sub Mul Div RealDiv DivNoNan FloorDiv FloorMod TruncateDiv Mod Maximum Minimum Pow "
        "SquaredDifference Greater GreaterEqual Less LessEqual Equal NotEqual LogicalAnd LogicalOr BitwiseAnd",
        _binary,
    ),
    **_many("Select SelectV2", _select),
    **_many("AddN AccumulateNV2", _add_n),
    **_many("Conv2D DepthwiseConv2dNative Conv3D", _conv),
    **_many("Conv2DBackpropInput", _transposed),
    **_many("AvgPool MaxPool MaxPoolV2 AvgPool3D MaxPool3D MaxPoolWithArgmax", _pool),
    **_many("Pad PadV2 MirrorPad", _pad),
    **_many("MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3", _matmul),
    **_many("FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 BatchNormWithGlobalNormalization", _batch_norm),
    **_many("Concat ConcatV2", _concat),
    **_many("Reshape", _reshape),
    **_many("Squeeze", _squeeze),
    **_many("ExpandDims", _expand),
    **_many("Mean Sum Prod Max Min All Any", _reduce),
    **_many("ArgMax ArgMin", _arg),
    **_many("Shape ShapeN", _shape),
    **_many("Rank", _rank),
    **_many("Size", _size),
    **_many("StridedSlice", _strided),
    **_many("Slice", _slice),
    **_many("Pack", _pack),
    **_many("Unpack", _unpack),
    **_many("Split SplitV", _split),
    **_many("Transpose", _transpose),
    **_many("Fill BroadcastTo RandomUniform TruncatedNormal RandomStandardNormal", _fill),
    **_many("Range", _range),
    **_many("GatherV2 Gather", _gather),
    **_many("Tile", _tile),
    **_many("ResizeBilinear ResizeNearestNeighbor ResizeBicubic ResizeArea", _resize),
    **_many("SpaceToBatchND", _space_to_batch),
    **_many("BatchToSpaceND", _batch_to_space),
    **_many("TopKV2 TopK", _top),
}
_RULES["BroadcastTo"] = lambda s, node: s.set(node, s.ints(node, 1))
