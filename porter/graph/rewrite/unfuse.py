"""unfuse: replaces fused ops by the separate ops that they compute, so that all code reads one form of a layer.

TensorFlow's optimizer, TensorFlow.js and tools fuse a bias, a batch norm and an activation into their layer. Source:
tensorflow/core/grappler/optimizers/remapper.cc.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef

LAYERS = {
    "_FusedConv2D": "Conv2D",
    "FusedConv2D": "Conv2D",
    "_FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
    "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative",
    "_FusedMatMul": "MatMul",
    "FusedMatMul": "MatMul",
}
"""Fused layers, and the op of the layer alone."""
_PADDED = "FusedPadConv2D"
_NORMALIZED = "_FusedBatchNormEx"
_PRELU = "Prelu"
"""An op of TensorFlow.js and TensorFlow Lite, which TensorFlow does not have."""
_ARGUMENTS = {"BiasAdd": 1, "BiasAddV1": 1, "Add": 1, "FusedBatchNorm": 4, "Prelu": 1}
"""How many inputs each part of a fused op reads beside the layer's; activations read none."""
_KEPT = ("T", "data_format", "strides", "padding", "explicit_paddings", "dilations", "transpose_a", "transpose_b")


def fused(graph: Any) -> bool:
    """Tell whether a GraphDef has an op that `unfuse` replaces."""
    return any(node.op in LAYERS or node.op in (_PADDED, _NORMALIZED, _PRELU) for node in graph.node)


def unfuse(graph: Any) -> Any:
    """Return the GraphDef ``graph`` with separate ops; the last one of each has the fused op's name."""
    plain = GraphDef(versions=graph.versions, library=graph.library)
    for node in graph.node:
        if node.op in LAYERS:
            plain.node.extend(_layer(node))
        elif node.op == _PADDED:
            plain.node.extend(_padded(node))
        elif node.op == _NORMALIZED:
            plain.node.extend(_normalized(node))
        elif node.op == _PRELU:
            plain.node.extend(_prelu(node))
        else:
            plain.node.append(node)
    return plain


def _layer(node: Any) -> Iterator[Any]:
    """Yield a fused layer's parts, in order."""
    parts = [part.decode() for part in node.attr["fused_ops"].list.s]
    names = [f"{node.name}/{LAYERS[node.op]}", *(f"{node.name}/{part}" for part in parts)]
    names[-1] = node.name
    inputs = [tensor for tensor in node.input if not tensor.startswith("^")]
    layer = NodeDef(name=names[0], op=LAYERS[node.op], input=inputs[:2])
    _copy(node, layer)
    yield layer
    rest = inputs[2:]
    for before, name, part in zip(names, names[1:], parts, strict=False):
        count = _ARGUMENTS.get(part, 0)
        step = NodeDef(name=name, op="BiasAdd" if part == "BiasAddV1" else part, input=[before, *rest[:count]])
        rest = rest[count:]
        step.attr["T"].CopyFrom(node.attr["T"])
        if part.startswith("BiasAdd") or part == "FusedBatchNorm":
            _copy(node, step, ("data_format",))
        if part == "FusedBatchNorm":
            step.attr["epsilon"].CopyFrom(node.attr["epsilon"])
            step.attr["is_training"].b = False
        if part == "LeakyRelu" and "leakyrelu_alpha" in node.attr:
            step.attr["alpha"].CopyFrom(node.attr["leakyrelu_alpha"])
        yield from _prelu(step) if part == _PRELU else [step]


def _prelu(node: Any) -> Iterator[Any]:
    """Yield max(x, 0) + alpha * min(x, 0)."""
    x, alpha = node.input[:2]
    zero = NodeDef(name=f"{node.name}/zero", op="Const")
    zero.attr["dtype"].type = zero.attr["value"].tensor.dtype = 1  # float32
    zero.attr["value"].tensor.float_val.append(0.0)
    yield zero
    above, below, scaled = f"{node.name}/Maximum", f"{node.name}/Minimum", f"{node.name}/Mul"
    sums = [(above, [x, zero.name]), (below, [x, zero.name]), (scaled, [below, alpha]), (node.name, [above, scaled])]
    for name, inputs in sums:
        part = NodeDef(name=name, op="AddV2" if name == node.name else name.rpartition("/")[2], input=inputs)
        part.attr["T"].type = 1
        yield part


def _padded(node: Any) -> Iterator[Any]:
    x, pads, kernel = node.input[:3]
    pad = NodeDef(name=f"{node.name}/MirrorPad", op="MirrorPad", input=[x, pads])
    pad.attr["mode"].CopyFrom(node.attr["mode"])
    pad.attr["T"].CopyFrom(node.attr["T"])
    pad.attr["Tpaddings"].type = 3  # int32
    yield pad
    layer = NodeDef(name=node.name, op="Conv2D", input=[pad.name, kernel])
    _copy(node, layer)
    yield layer


def _normalized(node: Any) -> Iterator[Any]:
    """Yield a batch norm, the side input that is added to it, and the activation."""
    mode = node.attr["activation_mode"].s.decode() if "activation_mode" in node.attr else "Identity"
    inputs = [tensor for tensor in node.input if not tensor.startswith("^")]
    norm = NodeDef(name=f"{node.name}/FusedBatchNormV3", op="FusedBatchNormV3", input=inputs[:5])
    _copy(node, norm, ("T", "U", "data_format", "epsilon", "is_training"))
    yield norm
    before = norm.name
    if inputs[5:]:
        before = f"{node.name}/Add"
        side = NodeDef(name=before, op="AddV2", input=[norm.name, inputs[5]])
        _copy(node, side, ("T",))
        yield side
    last = NodeDef(name=node.name, op=mode, input=[before])
    _copy(node, last, ("T",))
    yield last


def _copy(node: Any, to: Any, keys: tuple[str, ...] = _KEPT) -> None:
    for key in keys:
        if key in node.attr:
            to.attr[key].CopyFrom(node.attr[key])
