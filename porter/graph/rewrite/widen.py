"""widen: rewrites a float32 graph to compute in float64, so that rounding cannot hide a difference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.errors import FormatError
from porter.formats.tensorflow.graphdef import node_of
from porter.formats.tensorflow.tensorproto import tensor_values
from porter.graph.rewrite.freeze import constant
from porter.graph.rewrite.wide_ops import Pieces, open_local_response_norm
from porter.graph.rewrite.wide_resizing import open_area, open_bicubic, open_bilinear

_FLOAT, _DOUBLE = 1, 2
_FLOAT_BY_DEFAULT = frozenset({"HSVToRGB", "LeakyRelu", "MaxPool", "MaxPoolV2", "RGBToHSV"})
"""Ops whose dtype is float32 where the node has none (tensorflow/core/ops/nn_ops.cc and image_ops.cc)."""
_BATCH_NORMS = {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}
DIGITS = 6
"""C's FLT_DIG: float32 keeps every decimal of this many digits. A longer decimal was computed, not typed."""


def shortest(value: float) -> float:
    """Return the float64 that a float32 stands for: 0.001, not 0.0010000000474974513.

    A longer decimal is a rounded result: the graph does not state the exact value.
    """
    decimal = str(np.float32(value))
    return float(decimal) if is_short(value) else float(np.float32(value))


def is_short(value: float) -> bool:
    """Tell whether a float32's shortest decimal has at most ``DIGITS`` digits."""
    digits = str(np.float32(value)).split("e")[0].replace(".", "").replace("-", "").strip("0")
    return len(digits) <= DIGITS


def rounded_constants(graph: Any, path: Path | str) -> list[str]:
    """Return the names of ``graph``'s scalar float32 constants whose decimals do not reveal their float64 values."""
    found = []
    for node in graph.node:
        if node.op == "Const" and node.attr["dtype"].type == _FLOAT:
            value = tensor_values(Path(path), node.name, node.attr["value"].tensor)
            if value.ndim == 0 and not is_short(float(value)):
                found.append(node.name)
        elif node.op in _BATCH_NORMS and not is_short(_epsilon(node)):
            found.append(f"{node.name}'s epsilon")
    return found


def _epsilon(node: Any) -> float:
    # The op's default (tensorflow/core/ops/nn_ops.cc).
    return float(node.attr["epsilon"].f) if "epsilon" in node.attr else 1e-4


def widen(graph: Any, path: Path | str) -> Any:
    """Return ``graph`` in float64: dtypes and constants are widened, and ops without a float64 split into pieces.

    These are fused batch norms, LRN and resizing. ``shortest`` says how scalar constants are widened. Raises
    FormatError, which names ``path``, if a batch norm is in NCHW (see channels_last).
    """
    wide = GraphDef(versions=graph.versions)
    nodes = {node.name: node for node in graph.node}
    for node in graph.node:
        if node.op == "Dequantize":
            _keep_dequantize(wide, node, nodes, path)
        elif node.op in _OPENED:
            _OPENED[node.op](wide, node, path)
        elif node.op == "Const" and node.attr["dtype"].type == _FLOAT:
            value = tensor_values(Path(path), node.name, node.attr["value"].tensor)
            scalar = value.ndim == 0
            wide.node.append(constant(node.name, np.asarray(shortest(float(value)) if scalar else value, np.float64)))
        else:
            wide.node.append(node)
            _widen_dtypes(wide.node[-1])
    return wide


def _keep_dequantize(wide: Any, node: Any, nodes: Mapping[str, Any], path: Path | str) -> None:
    """Add a Dequantize as it is, and a cast of its float32 output: the op has no float64, and rounds its weights."""
    ranges = [nodes.get(node_of(tensor)) for tensor in node.input[1:3]]
    kept = wide.node.add()
    kept.CopyFrom(node)
    kept.name = f"{node.name}/narrow"
    for at, constant_node in enumerate(ranges, start=1):
        if constant_node is None or constant_node.op != "Const":
            raise FormatError(f"{path}: the range of {node.name} is not a constant: export the inference graph again")
        copied = wide.node.add()
        copied.CopyFrom(constant_node)
        copied.name = f"{node.name}/narrow_{at}"
        kept.input[at] = copied.name
    cast = wide.node.add(name=node.name, op="Cast", input=[kept.name])
    cast.attr["SrcT"].type, cast.attr["DstT"].type = _FLOAT, _DOUBLE


def _widen_dtypes(node: Any) -> None:
    if node.op in _FLOAT_BY_DEFAULT and "T" not in node.attr:  # a SavedModel leaves out what is the default
        node.attr["T"].type = _FLOAT
    for attribute in node.attr.values():
        if attribute.type == _FLOAT:
            attribute.type = _DOUBLE
        for number, dtype in enumerate(attribute.list.type):  # for example, IdentityN's T
            if dtype == _FLOAT:
                attribute.list.type[number] = _DOUBLE


def _open_batch_norm(wide: Any, node: Any, path: Path | str) -> None:
    """Add gamma * (x - mean) / sqrt(variance + epsilon) + beta; the last node takes the fused node's name.

    One in training mode normalizes with the batch's own mean and variance.
    """
    if node.attr["data_format"].s not in (b"", b"NHWC"):
        raise FormatError(f"{path}: the batch norm {node.name} is in NCHW: export the inference graph in NHWC")
    add = Pieces(wide, node.name)
    x, gamma, beta, mean, variance = node.input[:5]
    if "is_training" not in node.attr or node.attr["is_training"].b:  # the op's default is true
        mean, variance = add.moments(x)
    spread = add("Add", variance, add.number(shortest(_epsilon(node))))
    scale = add("Mul", add("Rsqrt", spread), gamma)
    shift = add("Sub", beta, add("Mul", mean, scale))
    add("Add", add("Mul", x, scale), shift, name=node.name)
    # Control inputs still order execution.
    wide.node[-1].input.extend(tensor for tensor in node.input[5:] if tensor.startswith("^"))


def _open_local_response_norm(wide: Any, node: Any, path: Path | str) -> None:
    defaults = {"bias": 1.0, "alpha": 1.0, "beta": 0.5}  # the op's (tensorflow/core/ops/nn_ops.cc)
    numbers = {key: node.attr[key].f if key in node.attr else value for key, value in defaults.items()}
    open_local_response_norm(wide, node, **{key: shortest(value) for key, value in numbers.items()})


def _open_leaky_relu(wide: Any, node: Any, path: Path | str) -> None:
    """Add max(x, alpha * x), where alpha is the decimal that its author typed: the attribute is a float32."""
    alpha = shortest(node.attr["alpha"].f) if "alpha" in node.attr else 0.2
    if not 0 <= alpha <= 1:
        wide.node.append(node)
        _widen_dtypes(wide.node[-1])
        return
    add = Pieces(wide, node.name)
    add("Maximum", node.input[0], add("Mul", node.input[0], add.number(alpha)), name=node.name)


_OPENED = {
    **dict.fromkeys(_BATCH_NORMS, _open_batch_norm),
    "LRN": _open_local_response_norm,
    "LeakyRelu": _open_leaky_relu,
    "ResizeBilinear": lambda wide, node, path: open_bilinear(wide, node),
    "ResizeBicubic": lambda wide, node, path: open_bicubic(wide, node),
    "ResizeArea": lambda wide, node, path: open_area(wide, node),
}
"""Ops that TensorFlow does not compute in float64, or whose attributes are float32."""
