"""new_layer: starts a layer with one op and reads its kernel, strides, padding and channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from porter.graph.analysis.costs import RECURRENT
from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.analysis.layers import RNN, ROW, Layer
from porter.graph.graph import Node

CONVOLUTION_OPS = {
    "Conv2D": "conv", "Conv3D": "conv", "DepthwiseConv2dNative": "depthwise", "MatMul": "dense",
    "Conv2DBackpropInput": "transposed conv", "_FusedConv2D": "conv", "FusedConv2D": "conv", "_FusedMatMul": "dense",
    "FusedMatMul": "dense", "FusedDepthwiseConv2dNative": "depthwise", "_FusedDepthwiseConv2dNative": "depthwise",
}  # fmt: skip
POOL_OPS = {"AvgPool": "avg pool", "MaxPool": "max pool", "AvgPool3D": "avg pool", "MaxPool3D": "max pool"}
ACTIVATION_OPS = {
    "Relu": "relu", "Relu6": "relu6", "Elu": "elu", "Selu": "selu", "LeakyRelu": "leaky relu", "Sigmoid": "sigmoid",
    "Tanh": "tanh", "Softplus": "softplus", "Softsign": "softsign", "Prelu": "prelu",
}  # fmt: skip
NORM_OPS = frozenset(
    "FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 _FusedBatchNormEx BatchNormWithGlobalNormalization".split()
)
BATCH_NORM = "batch norm"
_OTHER_OPS = {
    "ConcatV2": "concat", "Concat": "concat", "Add": "add", "AddV2": "add", "AddN": "add", "Mul": "multiply",
    "Sub": "subtract", "RealDiv": "divide", "Softmax": "softmax", "Squeeze": "squeeze", "Reshape": "reshape",
    "Pad": "pad", "PadV2": "pad", "MirrorPad": "mirror pad", "StridedSlice": "slice", "Slice": "slice",
    "Transpose": "transpose", "ResizeBilinear": "resize bilinear", "ResizeNearestNeighbor": "resize nearest",
    "GatherV2": "gather", "Gather": "gather", "ResourceGather": "gather", "Fill": "fill", "Maximum": "maximum",
    "Minimum": "minimum", "DepthToSpace": "depth to space", "SpaceToDepth": "space to depth", "Pack": "stack",
    "ResizeBicubic": "resize bicubic", "LRN": "local response norm", "Split": "split", "SplitV": "split",
    "Cast": "cast", "ExpandDims": ROW,
}  # fmt: skip
_KINDS = (
    _OTHER_OPS
    | POOL_OPS
    | CONVOLUTION_OPS
    | dict.fromkeys(ACTIVATION_OPS, "activation")
    | dict.fromkeys(NORM_OPS, BATCH_NORM)
)


_UNPADDED = "0+0"
MOST_NUMBERS = 4
"""A constant of so many numbers is shown, such as the means of an image's channels."""


def new_layer(data: DataPath, node: Node, inputs: list[Layer | str]) -> Layer:
    """Return a layer that holds ``node`` alone and reads ``inputs``."""
    kind = _KINDS.get(node.op, node.op)
    layer = Layer(node.name, kind, [node.name], inputs, end=node.name, shape=data.shapes.of(node.name))
    if node.op in _DETAILS:
        _DETAILS[node.op](data, layer, node)
    if layer.shape:
        layer.channels = layer.channels or layer.shape[-1]
    return layer


def epsilon(node: Node) -> float | None:
    """Return a fused batch norm's epsilon, rounded to the digits that its author typed."""
    value = node.attr("epsilon") or node.attr("variance_epsilon")
    return float(f"{value.f:.6g}") if value is not None else None


def slope(node: Node) -> dict[str, float]:
    """Return a leaky relu's slope by name; the op's default is 0.2 (tensorflow/core/ops/nn_ops.cc)."""
    value = node.attr("alpha")
    return {"slope": float(f"{value.f:.6g}") if value is not None else 0.2} if node.op == "LeakyRelu" else {}


def _activation(data: DataPath, layer: Layer, node: Node) -> None:
    layer.activation = ACTIVATION_OPS[node.op]
    layer.numbers |= slope(node)


def _product(data: DataPath, layer: Layer, node: Node) -> None:
    """Read a product with a matrix of weights, which is a dense layer over any leading axes."""
    if len(node.inputs) == 2 and node.inputs[1] in data.weights(node):
        layer.kind = "dense"
        _window(data, layer, node)


def _recurrent(data: DataPath, layer: Layer, node: Node) -> None:
    """Read the cell and the steps of a whole recurrent layer."""
    cell = next((name for name in ("LSTM", "GRU") if name in node.op), "simple RNN")
    read = data.input_shape(node, 0) or (None,)
    sizes = [size for size in read[:-1] if size is not None]
    steps = math.prod(sizes) if len(sizes) == len(read) - 1 else 0
    both = ", both ways" if node.integer("ways") == 2 or node.op.startswith("BIDIRECTIONAL") else ""
    layer.kind = RNN
    layer.detail = f"({cell} cell{both}, {f'{steps:,} steps' if steps else 'steps unknown'})"
    if steps:
        layer.numbers["steps"] = float(steps)


def _norm(data: DataPath, layer: Layer, node: Node) -> None:
    layer.norm, layer.epsilon = BATCH_NORM, epsilon(node)
    layer.activation = ACTIVATION_OPS.get(node.text("activation_mode"), "")


def _mean(data: DataPath, layer: Layer, node: Node) -> None:
    axes = data.input_value(node, 1)
    over_space = axes is not None and sorted(axes.reshape(-1).tolist()) in ([1, 2], [2, 3])
    layer.kind = "global avg pool" if over_space else "mean"


def _arithmetic(data: DataPath, layer: Layer, node: Node) -> None:
    if len(data.sources(node)) != 1:
        return
    others = data.weights(node)
    value = data.shapes.values.get(others[0]) if others else None
    if value is not None and 0 < value.size <= MOST_NUMBERS:
        layer.detail = ", ".join(f"{number:.6g}" for number in value.reshape(-1).tolist())
    elif node.inputs[0] == node.inputs[-1]:
        layer.detail = "by itself"


def _pad(data: DataPath, layer: Layer, node: Node) -> None:
    pads = data.input_value(node, 1)
    if pads is None or pads.size % 2 or not pads.size:
        return
    numbers = ["?" if number is None else number for number in pads.reshape(-1).tolist()]
    sides = [f"{before}+{after}" for before, after in zip(numbers[::2], numbers[1::2], strict=True)]
    readers = (data.graph.nodes[name] for name in data.consumers(node.name))
    channels = 1 if len(sides) == 4 and any(reader.channels_first for reader in readers) else len(sides) - 1
    others = {0: "batch", channels: "channels"} if len(sides) > 2 else {}
    space = [side for at, side in enumerate(sides) if at not in others]
    named = [f"{name} {sides[at]}" for at, name in others.items() if sides[at] != _UNPADDED]
    layer.detail = ", ".join([*(space if not named or set(space) != {_UNPADDED} else []), *named])


def _space_to_batch(data: DataPath, layer: Layer, node: Node) -> None:
    sizes = data.input_value(node, 1)
    if sizes is not None:
        layer.dilation = tuple(int(size) for size in sizes.reshape(-1))
    pads = data.input_value(node, 2)
    if pads is not None and pads.ndim == 2 and pads.size and not any(side != 0 for side in pads[:, 0]):
        layer.padding = "VALID"  # behind the pixels, it only fills up the last block


def _window(data: DataPath, layer: Layer, node: Node) -> None:
    """Read what a convolution, matrix product or pool slides over its input."""
    read = data.input_shape(node, 2 if node.op == "Conv2DBackpropInput" else 0)
    weights = data.input_shape(node, 1)
    rank = len(layer.shape or read or (0,) * 4)
    channels, space = (1, slice(2, rank)) if node.channels_first else (rank - 1, slice(1, rank - 1))
    layer.strides = node.ints("strides")[space]
    _fused(layer, node)
    dilation = node.ints("dilations")[space]
    layer.dilation = dilation if any(side != 1 for side in dilation) else ()
    if node.op in POOL_OPS:
        layer.kernel = node.ints("ksize")[space]
    elif layer.kind != "dense":
        layer.kernel = tuple(weights[: rank - 2]) if weights else ()
    layer.in_channels = read[channels] if read and len(read) > channels else None
    layer.channels = layer.shape[channels] if layer.shape and len(layer.shape) > channels else None
    if layer.kind != "dense":
        layer.padding = _padding(node, range(rank)[space])
    depth = weights[2] if layer.kind == "conv" and weights and len(weights) == 4 else None
    if depth and layer.in_channels and layer.in_channels != depth:
        layer.detail = f"{layer.in_channels // depth} groups"


def _fused(layer: Layer, node: Node) -> None:
    """Read the bias, batch norm and activation that an optimizer moved into the op."""
    parts = node.attr("fused_ops")
    for raw in parts.list.s if parts is not None else ():
        part = raw.decode("utf-8", "replace")
        layer.bias = layer.bias or part == "BiasAdd"
        layer.norm = BATCH_NORM if part == "FusedBatchNorm" else layer.norm
        layer.activation = ACTIVATION_OPS.get(part, layer.activation)
        if part == "LeakyRelu":
            value = node.attr("leakyrelu_alpha")
            layer.numbers["slope"] = float(f"{value.f:.6g}") if value is not None else 0.2


def _padding(node: Node, space: range) -> str:
    """Return TensorFlow's word for a node's padding, or its explicit pads of height and width."""
    padding = node.text("padding")
    if padding != "EXPLICIT":
        return padding
    pads = [*node.ints("explicit_paddings"), *[0] * 2 * space.stop]
    return "explicit " + ", ".join(f"{pads[2 * at]}+{pads[2 * at + 1]}" for at in space)


_Detail = Callable[[DataPath, Layer, Node], None]
_DETAILS: Mapping[str, _Detail] = (
    dict.fromkeys(ACTIVATION_OPS, _activation)
    | dict.fromkeys(NORM_OPS, _norm)
    | dict.fromkeys((*CONVOLUTION_OPS, *POOL_OPS), _window)
    | dict.fromkeys(RECURRENT, _recurrent)
    | dict.fromkeys(("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _product)
    | dict.fromkeys(("Mul", "Add", "AddV2", "Sub", "RealDiv"), _arithmetic)
    | dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _pad)
    | {"Mean": _mean, "SpaceToBatchND": _space_to_batch}
)
