"""Shape rules of ops that compute element by element, or pass tensors on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from porter.graph.graph import Node, Ref
from porter.graph.shapes import Rules, Shapes, broadcast

RULES = Rules()

_KEEP_VALUES = frozenset({"Identity", "StopGradient", "Snapshot", "PreventGradient", "Cast", "Enter"})
_INTEGERS = frozenset({3, 9})  # int32 and int64 (tensorflow/core/framework/types.proto)
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add, "AddV2": np.add, "Sub": np.subtract, "Mul": np.multiply, "FloorDiv": np.floor_divide,
    "Maximum": np.maximum, "Minimum": np.minimum, "FloorMod": np.mod, "RealDiv": np.true_divide, "Pow": np.power,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "Floor": np.floor, "Ceil": np.ceil, "Round": np.round, "Rint": np.round, "Neg": np.negative, "Sqrt": np.sqrt,
    "Rsqrt": lambda value: 1 / np.sqrt(value),
}  # fmt: skip
"""What graphs compute sizes with, such as those of a resized map, and what they divide images by."""


@RULES.of(
    "Identity StopGradient PreventGradient Snapshot CheckNumerics RefIdentity ReadVariableOp _Retval _DeviceRetval",
    "Enter RefEnter Exit RefExit NextIteration RefNextIteration LoopCond",
    "Relu Relu6 Elu Selu LeakyRelu Prelu Sigmoid Tanh Softplus Softsign Softmax LogSoftmax BiasAdd LRN",
    "Expm1 Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh",
    "Exp Log Log1p Sqrt Rsqrt Square Neg Abs Sign Floor Ceil Round Rint Erf Erfc Reciprocal Inv LogicalNot",
    "Cast ZerosLike OnesLike ClipByValue Reverse ReverseV2 Roll Cumsum Cumprod MatrixBandPart IsFinite IsNan",
    "AdjustContrastv2 RandomShuffle ComplexAbs Real Imag Angle Conj FFT FFT2D FFT3D IFFT IFFT2D IFFT3D",
    "FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel QuantizeAndDequantize",
    "QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 Dequantize QuantizeV2",
)
def same_shape(s: Shapes, node: Node) -> None:
    shape, value = s.input(node), s.value_or_none(node)
    s.set(node, shape if shape is not None else s.recorded(node))
    if value is not None and node.op in _KEEP_VALUES:
        whole = node.op == "Cast" and _to_integer(node) and value.dtype.kind == "f"
        s.values[Ref(node.name)] = value.astype(np.int64) if whole else value
    elif value is not None and value.dtype != object and node.op in _FUNCTIONS:
        with np.errstate(all="ignore"):
            s.values[Ref(node.name)] = np.asarray(_FUNCTIONS[node.op](value))


def _to_integer(node: Node) -> bool:
    target = node.attr("DstT")
    return target is not None and target.type in _INTEGERS


@RULES.of("IdentityN")
def same_shapes(s: Shapes, node: Node) -> None:
    for index, ref in enumerate(node.inputs):
        s.set(node, s[ref], index)
        if ref in s.values:
            s.values[Ref(node.name, index)] = s.values[ref]


@RULES.of("Switch RefSwitch")
def switch(s: Shapes, node: Node) -> None:
    for index in (0, 1):
        s.set(node, s.input(node), index)


@RULES.of("Merge RefMerge AddN AccumulateNV2")
def first_known(s: Shapes, node: Node) -> None:
    s.set(node, next((s[ref] for ref in node.inputs if s[ref] is not None), None))


@RULES.of(
    "Add AddV2 Sub Mul Div RealDiv DivNoNan FloorDiv FloorMod TruncateDiv Mod Maximum Minimum Pow SquaredDifference",
    "Atan2 Greater GreaterEqual Less LessEqual Equal NotEqual LogicalAnd LogicalOr BitwiseAnd",
)
def binary(s: Shapes, node: Node) -> None:
    s.set(node, broadcast(s.input(node, 0), s.input(node, 1)))
    a, b = s.value_or_none(node, 0), s.value_or_none(node, 1)
    if node.op in _ARITHMETIC and a is not None and b is not None:
        with np.errstate(all="ignore"):
            s.values[Ref(node.name)] = np.asarray(_ARITHMETIC[node.op](a, b))


@RULES.of("Select SelectV2")
def select(s: Shapes, node: Node) -> None:
    s.set(node, broadcast(s.input(node, 1), s.input(node, 2)))
