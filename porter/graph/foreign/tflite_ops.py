"""write_op: one operator of TensorFlow Lite as nodes of TensorFlow's ops.

An operator without a counterpart keeps its own name as its op. Options are numbered as in their tables in
tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from porter.formats.tflite.model import Operator, Tensor
from porter.formats.tflite.schema import ACTIVATIONS, PADDINGS
from porter.graph.foreign.builder import Function, GraphBuilder, Type

_SAME_INPUTS = {
    "ABS": "Abs", "ADD": "AddV2", "ADD_N": "AddN", "BATCH_TO_SPACE_ND": "BatchToSpaceND", "BROADCAST_TO": "BroadcastTo",
    "CAST": "Cast", "CEIL": "Ceil", "COMPLEX_ABS": "ComplexAbs", "COS": "Cos", "CUMSUM": "Cumsum",
    "DEQUANTIZE": "Dequantize", "DIV": "RealDiv", "IMAG": "Imag", "REAL": "Real",
    "ELU": "Elu", "EQUAL": "Equal", "EXP": "Exp", "EXPAND_DIMS": "ExpandDims", "FILL": "Fill", "FLOOR": "Floor",
    "FLOOR_DIV": "FloorDiv", "FLOOR_MOD": "FloorMod", "GATHER_ND": "GatherNd", "GREATER": "Greater",
    "GREATER_EQUAL": "GreaterEqual", "LEAKY_RELU": "LeakyRelu", "LESS": "Less", "LESS_EQUAL": "LessEqual", "LOG": "Log",
    "LOCAL_RESPONSE_NORMALIZATION": "LRN", "LOGICAL_AND": "LogicalAnd", "LOGICAL_NOT": "LogicalNot",
    "LOGICAL_OR": "LogicalOr", "LOGISTIC": "Sigmoid", "LOG_SOFTMAX": "LogSoftmax", "MAXIMUM": "Maximum",
    "MINIMUM": "Minimum", "MIRROR_PAD": "MirrorPad", "MUL": "Mul", "NEG": "Neg", "NOT_EQUAL": "NotEqual",
    "ONE_HOT": "OneHot", "PAD": "Pad", "PADV2": "PadV2", "POW": "Pow", "PRELU": "Prelu", "QUANTIZE": "QuantizeV2",
    "RANGE": "Range", "RANK": "Rank", "RELU": "Relu", "RELU6": "Relu6", "RESIZE_BILINEAR": "ResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighbor", "REVERSE_V2": "ReverseV2", "ROUND": "Round", "RSQRT": "Rsqrt",
    "SELECT": "Select", "SELECT_V2": "SelectV2", "SHAPE": "Shape", "SIGN": "Sign", "SIN": "Sin", "SLICE": "Slice",
    "SOFTMAX": "Softmax", "SPACE_TO_BATCH_ND": "SpaceToBatchND", "SPLIT_V": "SplitV", "SQRT": "Sqrt",
    "SQUARE": "Square", "SQUARED_DIFFERENCE": "SquaredDifference", "SUB": "Sub", "TANH": "Tanh", "TILE": "Tile",
    "TOPK_V2": "TopKV2", "TRANSPOSE": "Transpose", "WHERE": "Where", "WHILE": "While", "IF": "If",
    "ZEROS_LIKE": "ZerosLike",
}  # fmt: skip
"""The operators whose inputs are TensorFlow's, and whose options leave shapes as they are."""
_REDUCTIONS = {
    "MEAN": "Mean", "SUM": "Sum", "REDUCE_PROD": "Prod", "REDUCE_MAX": "Max", "REDUCE_MIN": "Min",
    "REDUCE_ANY": "Any", "REDUCE_ALL": "All",
}  # fmt: skip
FUSED = {
    "ADD": 0, "MUL": 0, "SUB": 0, "DIV": 0, "FULLY_CONNECTED": 0, "CONCATENATION": 1, "L2_NORMALIZATION": 0,
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "TRANSPOSE_CONV": 3, "AVERAGE_POOL_2D": 5, "MAX_POOL_2D": 5, "L2_POOL_2D": 5,
    "CONV_3D": 4,
}  # fmt: skip
"""The options that number a fused activation."""


@dataclass(frozen=True)
class Op:
    """An operator, its first output, and the tensors and names of its inputs; an absent one is None and ''.

    ``functions`` are those that it runs, by TensorFlow's attributes, and ``inner`` are their weights.
    """

    builder: GraphBuilder
    operator: Operator
    output: Tensor
    inputs: list[Tensor | None]
    refs: list[str]
    inner: list[str]
    functions: dict[str, Function]

    @property
    def fused(self) -> bool:
        """Whether an activation follows in the same operator."""
        field = FUSED.get(self.operator.op)
        return field is not None and 0 < self.operator.byte(field) < len(ACTIVATIONS)

    def add(self, op: str, inputs: list[str], last: bool = True, **attributes: Any) -> str:
        """Add a node; the ``last`` one of the operator has the output's name, any other stands in its scope."""
        plain = last and not self.fused
        name = self.output.name if plain else f"{self.output.name}/{op}"
        return self.builder.add(name, op, [ref for ref in inputs if ref], T=Type(self.output.dtype), **attributes)

    def constant(self, name: str, values: Any) -> str:
        return self.builder.constant(f"{self.output.name}/{name}", values)

    def has(self, index: int) -> bool:
        """Tell whether the operator has the input ``index``."""
        return len(self.refs) > index and bool(self.refs[index])


def write_op(op: Op) -> str:
    """Add the nodes of an operator, without a fused activation; return the last node."""
    write = _WRITERS.get(op.operator.op)
    if write is not None and len(op.refs) >= _NEEDED.get(op.operator.op, 1) and op.refs[0]:
        return write(op)
    functions: dict[str, Any] = dict(op.functions)
    return op.add(_SAME_INPUTS.get(op.operator.op, op.operator.op), [*op.refs, *op.inner], **functions)


def _with_bias(op: Op, kind: str, inputs: list[str], bias: int, **attributes: Any) -> str:
    """Add a convolution or product, and the bias that is its input ``bias``."""
    found = op.add(kind, inputs, last=not op.has(bias), **attributes)
    return op.add("BiasAdd", [found, op.refs[bias]]) if op.has(bias) else found


def _window(op: Op, height: int, width: int, padding: int) -> dict[str, Any]:
    """Return the strides and the padding, from the options of these numbers."""
    given = op.operator.byte(padding)
    sides = [1, op.operator.integer(height, 1), op.operator.integer(width, 1), 1]
    return {"strides": sides, "padding": PADDINGS[given] if 0 <= given < len(PADDINGS) else ""}


def _kernel(op: Op, perm: tuple[int, ...]) -> str:
    """Return a kernel in TensorFlow's layout: a constant is in it already, a computed one is transposed."""
    if op.refs[1] in op.builder.variables:
        return op.refs[1]
    return op.add("Transpose", [op.refs[1], op.constant("perm", perm)], last=False)


def _conv(op: Op) -> str:
    depthwise = op.operator.op == "DEPTHWISE_CONV_2D"
    first = 5 if depthwise else 4
    dilations = [1, op.operator.integer(first + 1, 1), op.operator.integer(first, 1), 1]
    kind = "DepthwiseConv2dNative" if depthwise else "Conv2D"
    kernel = _kernel(op, (1, 2, 3, 0))
    return _with_bias(op, kind, [op.refs[0], kernel], 2, **_window(op, 2, 1, 0), dilations=dilations)


def _conv_3d(op: Op) -> str:
    strides = [1, *(op.operator.integer(field, 1) for field in (1, 3, 2)), 1]
    dilations = [1, *(op.operator.integer(field, 1) for field in (5, 7, 6)), 1]
    padding = PADDINGS[op.operator.byte(0) % len(PADDINGS)]
    return _with_bias(op, "Conv3D", op.refs[:2], 2, strides=strides, dilations=dilations, padding=padding)


def _transposed(op: Op) -> str:
    inputs = [op.refs[0], _kernel(op, (1, 2, 0, 3)), *op.refs[2:3]]
    return _with_bias(op, "Conv2DBackpropInput", inputs, 3, **_window(op, 2, 1, 0))


def _dense(op: Op) -> str:
    """A product of rows: TensorFlow Lite takes the values of any shape as rows of the kernel's length."""
    x, kernel = op.inputs[0], op.inputs[1] if len(op.inputs) > 1 else None
    rows = op.refs[0]
    if x is not None and kernel is not None and len(x.shape) != 2 and kernel.shape:
        rows = op.add("Reshape", [rows, op.constant("rows", [-1, kernel.shape[-1] or -1])], last=False)
    constant = op.has(1) and op.refs[1] in op.builder.variables  # it is in TensorFlow's layout already
    more: dict[str, Any] = {} if constant else {"transpose_b": True}
    if op.output.shape and len(op.output.shape) != 2:
        product = op.add("MatMul", [rows, *op.refs[1:2]], last=False, **more)
        product = op.add("BiasAdd", [product, op.refs[2]], last=False) if op.has(2) else product
        sides = [-1 if side is None else side for side in op.output.shape]
        return op.add("Reshape", [product, op.constant("shape", sides)])
    return _with_bias(op, "MatMul", [rows, *op.refs[1:2]], 2, **more)


def _pool(op: Op) -> str:
    kind = {"AVERAGE_POOL_2D": "AvgPool", "MAX_POOL_2D": "MaxPool"}[op.operator.op]
    sides = [1, op.operator.integer(4, 1), op.operator.integer(3, 1), 1]
    return op.add(kind, op.refs[:1], ksize=sides, **_window(op, 2, 1, 0))


def _concat(op: Op) -> str:
    axis = op.constant("axis", op.operator.integer(0))
    return op.add("ConcatV2", [*op.refs, axis], N=len(op.refs))


def _reshape(op: Op) -> str:
    """The target is an input, or in old files an option."""
    if op.has(1):
        return op.add("Reshape", op.refs[:2])
    return op.add("Reshape", [op.refs[0], op.constant("shape", [-1 if s is None else s for s in op.output.shape])])


def _reduce(op: Op) -> str:
    return op.add(_REDUCTIONS[op.operator.op], op.refs, keep_dims=bool(op.operator.byte(0)))


def _squeeze(op: Op) -> str:
    options = op.operator.options
    return op.add("Squeeze", op.refs[:1], squeeze_dims=options.ints(0) if options else ())


def _strided_slice(op: Op) -> str:
    names = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    masks: dict[str, Any] = {name: op.operator.integer(at) for at, name in enumerate(names)}
    return op.add("StridedSlice", op.refs, **masks)


def _numbered(kind: str, *names: str) -> Callable[[Op], str]:
    """Return the writer of an op with the same inputs, whose options are integers of these ``names``."""

    def write(op: Op) -> str:
        options: dict[str, Any] = {name: op.operator.integer(at) for at, name in enumerate(names)}
        return op.add(kind, op.refs, **options)

    return write


def _gather(op: Op) -> str:
    return op.add("GatherV2", [*op.refs[:2], op.constant("axis", op.operator.integer(0))])


def _batch_product(op: Op) -> str:
    return op.add("BatchMatMulV2", op.refs, adj_x=bool(op.operator.byte(0)), adj_y=bool(op.operator.byte(1)))


def _hard_swish(op: Op) -> str:
    """x * relu6(x + 3) / 6, as its authors write it in TensorFlow."""
    gate = op.add("AddV2", [op.refs[0], op.constant("three", 3.0)], last=False)
    gate = op.add("Relu6", [gate], last=False)
    gate = op.add("Mul", [gate, op.constant("sixth", 1 / 6)], last=False)
    return op.add("Mul", [op.refs[0], gate])


_WRITERS: dict[str, Callable[[Op], str]] = {
    "CONV_2D": _conv, "DEPTHWISE_CONV_2D": _conv, "CONV_3D": _conv_3d, "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _dense, "AVERAGE_POOL_2D": _pool, "MAX_POOL_2D": _pool, "CONCATENATION": _concat,
    "RESHAPE": _reshape, "SQUEEZE": _squeeze, "STRIDED_SLICE": _strided_slice, "GATHER": _gather,
    "BATCH_MATMUL": _batch_product, "HARD_SWISH": _hard_swish, "PACK": _numbered("Pack", "N", "axis"),
    "UNPACK": _numbered("Unpack", "num", "axis"), "SPLIT": _numbered("Split", "num_split"),
    "SPACE_TO_DEPTH": _numbered("SpaceToDepth", "block_size"),
    "DEPTH_TO_SPACE": _numbered("DepthToSpace", "block_size"),
    "ARG_MAX": _numbered("ArgMax"), "ARG_MIN": _numbered("ArgMin"),
    **dict.fromkeys(_REDUCTIONS, _reduce),
}  # fmt: skip
_NEEDED = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "TRANSPOSE_CONV": 3, "FULLY_CONNECTED": 2}
"""The inputs without which an operator is damaged; it keeps its own name then."""
