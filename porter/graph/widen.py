"""A float32 graph rewritten to compute in float64, so that rounding cannot hide a difference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.checkpoint.frozen import tensor_values
from porter.errors import FormatError
from porter.graph.freeze import constant

_FLOAT, _DOUBLE = 1, 2
_BATCH_NORMS = {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}


def shortest(value: float) -> float:
    """Return the float64 that a float32's shortest decimal means: 0.001, not 0.0010000000474974513."""
    return float(str(np.float32(value)))


def widen(graph: Any, path: Path | str) -> Any:
    """Return ``graph`` in float64: dtypes and constants widened, fused batch norm opened into its pieces.

    A scalar constant is taken as the decimal that its author wrote; TensorFlow has no fused batch norm
    in float64. Raises FormatError where a batch norm is in training mode or channels come first.
    """
    wide = GraphDef(versions=graph.versions)
    for node in graph.node:
        if node.op in _BATCH_NORMS:
            _open_batch_norm(wide, node, path)
        elif node.op == "Const" and node.attr["dtype"].type == _FLOAT:
            value = tensor_values(Path(path), node.name, node.attr["value"].tensor)
            scalar = value.ndim == 0
            wide.node.append(constant(node.name, np.asarray(shortest(float(value)) if scalar else value, np.float64)))
        else:
            copy = wide.node.add()
            copy.CopyFrom(node)
            for attribute in copy.attr.values():
                if attribute.type == _FLOAT:
                    attribute.type = _DOUBLE
    return wide


def _open_batch_norm(wide: Any, node: Any, path: Path | str) -> None:
    """Add gamma * (x - mean) / sqrt(variance + epsilon) + beta; the last node has the old one's name."""
    if node.attr["is_training"].b or node.attr["data_format"].s not in (b"", b"NHWC"):
        raise FormatError(
            f"{path}: {node.name} normalizes in training mode or with channels first: export the inference graph, NHWC"
        )
    x, gamma, beta, mean, variance = node.input[:5]
    # The op's default where the attribute is left out (tensorflow/core/ops/nn_ops.cc).
    epsilon = node.attr["epsilon"].f if "epsilon" in node.attr else 1e-4
    wide.node.append(constant(f"{node.name}/wide_epsilon", np.asarray(shortest(epsilon))))

    def add(name: str, op: str, *inputs: str) -> str:
        added = wide.node.add(name=name, op=op, input=inputs)
        added.attr["T"].type = _DOUBLE
        return name

    scope = f"{node.name}/wide"
    spread = add(f"{scope}_spread", "Add", variance, f"{node.name}/wide_epsilon")
    scale = add(f"{scope}_scale", "Mul", add(f"{scope}_rsqrt", "Rsqrt", spread), gamma)
    shift = add(f"{scope}_shift", "Sub", beta, add(f"{scope}_moved", "Mul", mean, scale))
    add(node.name, "Add", add(f"{scope}_scaled", "Mul", x, scale), shift)
    # Control inputs keep their order of execution.
    wide.node[-1].input.extend(tensor for tensor in node.input[5:] if tensor.startswith("^"))
