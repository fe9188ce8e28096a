"""Variants of MobileNet V1 0.25, as people have them: folded, without gamma, quantized, for gray images.

Folding is that of the papers in NumPy, and quantizing that of transform_graph; neither shares code with porter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers.checkpoints import SMALL, seeded_variables
from porter.catalog.goldens import recorded
from porter.formats.checkpoint import Checkpoint, Entry
from porter.graph.rewrite.freeze import freeze

Tensors = dict[str, np.ndarray]
EPSILON = 1e-3
OUTPUT = "MobilenetV1/Predictions/Reshape_1"


def as_checkpoint(tensors: Mapping[str, np.ndarray], path: str = "given.npz") -> Checkpoint:
    entries = {name: Entry(value.shape, value.dtype, lambda v=value: v) for name, value in tensors.items()}
    return Checkpoint(Path(path), "arrays", entries)


def fold(tensors: Tensors, which: Callable[[str], bool] = lambda scope: True) -> Tensors:
    """Return TensorFlow's tensors with the batch norms of the layers ``which`` folded into kernels and biases."""
    folded = dict(tensors)
    for name in tensors:
        scope, _, leaf = name.rpartition("/")
        if not leaf.endswith("weights") or f"{scope}/BatchNorm/gamma" not in tensors or not which(scope):
            continue
        gamma, beta, mean, variance = (
            folded.pop(f"{scope}/BatchNorm/{part}").astype(np.float64)
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + EPSILON)
        folded[name] = (tensors[name] * (scale[:, None] if leaf == "depthwise_weights" else scale)).astype(np.float32)
        folded[f"{scope}/biases"] = (beta - mean * scale).astype(np.float32)
    return folded


def without_gamma(tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if not name.endswith("/gamma")}


def with_channels(tensors: Tensors, channels: int) -> Tensors:
    """Return the tensors of a network for images of another number of channels."""
    stem = tensors["MobilenetV1/Conv2d_0/weights"]
    other = np.concatenate([stem, stem[:, :, ::-1] * np.float32(0.5)], axis=2)[:, :, :channels]
    return {**tensors, "MobilenetV1/Conv2d_0/weights": other}


def frozen(tf: Any, tensors: Tensors | None = None, channels: int = 3) -> Any:
    """Return the original's graph, frozen with ``tensors``, as TensorFlow's GraphDef."""
    graph = freeze(recorded(SMALL).load_graph(channels=channels), tensors or seeded_variables())
    return tf.compat.v1.GraphDef.FromString(graph.SerializeToString())


def folded_by_tensorflow(tf: Any, graph: Any) -> Any:
    """Return ``graph`` as optimize_for_inference folds it; constants lose their variables' names."""
    from tensorflow.python.tools import optimize_for_inference_lib

    images = [node.name for node in graph.node if node.op == "Placeholder"]
    return optimize_for_inference_lib.optimize_for_inference(graph, images, [OUTPUT], tf.float32.as_datatype_enum)


def with_old_names(graph: Any) -> Any:
    """Return a folded graph with the names of TensorFlow 1's tools: kernels keep those of their variables."""
    renamed = {}
    for node in graph.node:
        for leaf in ("depthwise", "Conv2D"):
            if node.name.endswith(f"/{leaf}_weights"):
                scope = node.name.removeprefix("MobilenetV1/").removesuffix(f"/{leaf}_weights")
                renamed[node.name] = f"{scope}/{'depthwise_' if leaf == 'depthwise' else ''}weights"
    for node in graph.node:
        node.name = renamed.get(node.name, node.name)
        node.input[:] = [renamed.get(name, name) for name in node.input]
    return graph


def with_additions(graph: Any) -> Any:
    """Return a folded graph whose biases are added by Add, as transform_graph's fold_batch_norms leaves them."""
    for node in graph.node:
        if node.op == "BiasAdd" and node.name.endswith(("FusedBatchNorm", "FusedBatchNormV3")):
            node.op = "AddV2"
            del node.attr["data_format"]
            node.input[:] = reversed(node.input)
    return graph


def quantized(tf: Any, graph: Any, mode: str = "MIN_FIRST") -> Any:
    """Return ``graph`` with its large kernels as 8-bit constants behind Dequantize, as quantize_weights leaves them."""
    out = tf.compat.v1.GraphDef(versions=graph.versions)

    def const(name: str, value: Any, dtype: int) -> str:
        proto = tf.make_tensor_proto(value)
        proto.dtype = dtype
        node = out.node.add(op="Const", name=name)
        node.attr["dtype"].type = dtype
        node.attr["value"].tensor.CopyFrom(proto)
        return name

    for node in graph.node:
        value = tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else np.zeros(0)
        if not node.name.endswith("weights") or value.size < 1024:
            out.node.add().CopyFrom(node)
            continue
        low, high = value.min(), value.max()
        levels = np.round((value - low) / (high - low) * 255).astype(np.uint8)
        parts = [
            const(f"{node.name}_quantized_const", levels, tf.quint8.as_datatype_enum),
            const(f"{node.name}_quantized_min", low, tf.float32.as_datatype_enum),
            const(f"{node.name}_quantized_max", high, tf.float32.as_datatype_enum),
        ]
        dequantize = out.node.add(op="Dequantize", name=node.name, input=parts)
        dequantize.attr["T"].type = tf.quint8.as_datatype_enum
        dequantize.attr["mode"].s = mode.encode()
    return out


def write(path: Path, graph: Any) -> Path:
    path.write_bytes(graph.SerializeToString())
    return path


def with_constant_gammas(tf: Any, graph: Any, shared: bool) -> Any:
    """Return ``graph`` as slim's batch norm without scale freezes: gammas are constants of 1 without a variable's name.

    With ``shared``, batch norms of one width read one constant, as grappler leaves them.
    """
    out = tf.compat.v1.GraphDef(versions=graph.versions)
    widths = {node.name: tf.make_ndarray(node.attr["value"].tensor).size for node in graph.node if node.op == "Const"}
    gammas = {node.name: node.input[0] for node in graph.node if node.input and node.input[0].endswith("/gamma")}
    for node in graph.node:
        if node.name in gammas or node.name in gammas.values():
            continue
        if node.op.startswith("FusedBatchNorm"):
            scope, width = node.name.rpartition("/")[0], widths[gammas[node.input[1]]]
            name = f"ones_{width}" if shared else f"{scope}/Const"
            if name not in {other.name for other in out.node}:
                ones = out.node.add(op="Const", name=name)
                ones.attr["dtype"].type = tf.float32.as_datatype_enum
                ones.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.ones(width, np.float32)))
            node.input[1] = name
        out.node.add().CopyFrom(node)
    return out
