"""A graph's convolutions: the constants or variables that each reads, and those of the batch norm or bias behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from porter.formats.checkpoint import Convolution
from porter.formats.tensorflow.dequantize import is_dequantized
from porter.formats.tensorflow.graphdef import node_of

_CONVOLUTIONS = {"Conv2D", "DepthwiseConv2dNative"}
_ADDITIONS = {"Add", "AddV2", "BiasAdd"}
_BATCH_NORMS = {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}
_SOURCES = {"Const", "VariableV2", "Variable", "VarHandleOp"}
_READS = {"Identity", "ReadVariableOp"}
_ROLES = ("gamma", "beta", "mean", "variance")
"""The inputs of a fused batch norm behind its first (tensorflow/core/ops/nn_ops.cc), by the roles of mapping/kinds."""
_DEFAULT_EPSILON = 1e-4  # of the op, in the same file


def find_convolutions(graph: Any) -> tuple[Convolution, ...]:
    """Return the convolutions of a GraphDef whose kernels are constants or variables, in the graph's order."""
    nodes = {node.name: node for node in graph.node}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for tensor in node.input:
            if not tensor.startswith("^"):
                readers.setdefault(node_of(tensor), []).append(node)
    found = []
    for node in graph.node:
        kernel = _source(nodes, node.input[1]) if node.op in _CONVOLUTIONS and len(node.input) > 1 else None
        if kernel is not None:
            found.append(_with_next(Convolution(node.name, kernel), readers.get(node.name, []), nodes))
    return tuple(found)


def _with_next(convolution: Convolution, readers: list[Any], nodes: Mapping[str, Any]) -> Convolution:
    """Return ``convolution`` with the tensors of the op that alone reads its output."""
    if len(readers) != 1:
        return convolution
    (node,) = readers
    if node.op in _BATCH_NORMS and node_of(node.input[0]) == convolution.op:
        sources = {role: _source(nodes, tensor) for role, tensor in zip(_ROLES, node.input[1:5], strict=False)}
        epsilon = float(node.attr["epsilon"].f) if "epsilon" in node.attr else _DEFAULT_EPSILON
        norm = {role: source for role, source in sources.items() if source is not None}
        return convolution._replace(norm=norm, epsilon=epsilon)
    if node.op in _ADDITIONS:
        others = [tensor for tensor in node.input[:2] if node_of(tensor) != convolution.op]
        return convolution._replace(bias=_source(nodes, others[0]) if others else None)
    return convolution


def _source(nodes: Mapping[str, Any], tensor: str) -> str | None:
    """Return the constant or variable that a tensor holds, directly or through nodes that read it; else None."""
    seen: set[str] = set()
    node = nodes.get(node_of(tensor))
    while node is not None and node.op in _READS and node.input and node.name not in seen:
        seen.add(node.name)
        node = nodes.get(node_of(node.input[0]))
    if node is not None and (node.op in _SOURCES or is_dequantized(node, nodes)):
        return str(node.name)
    return None
