"""append: folds a bias, batch norm or activation onto the layer in front of it."""

from __future__ import annotations

from porter.graph.analysis.folding.data_path import DataPath
from porter.graph.analysis.folding.names import shared_scopes
from porter.graph.analysis.folding.new_layer import ACTIVATION_OPS, BATCH_NORM, NORM_OPS, epsilon, slope
from porter.graph.analysis.layers import CONVOLUTIONS, ROW, Layer
from porter.graph.graph import Node

_SCALED = "scaled"
"""A layer's detail between the multiply and the add of an unfused batch norm."""


def append(data: DataPath, layer: Layer, node: Node) -> bool:
    """Fold ``node``, the only reader of ``layer``, onto it if it belongs there; tell whether it does."""
    if layer.activation:
        return False
    if node.op in ACTIVATION_OPS:
        return _activation(data, layer, node)
    if _row(layer, node):
        return True
    steps = (_fused_norm, _bias, _scale, _shift, _batch_to_space)
    return layer.kind in CONVOLUTIONS and any(step(data, layer, node) for step in steps)


def _activation(data: DataPath, layer: Layer, node: Node) -> bool:
    convolves = layer.kind in CONVOLUTIONS
    if layer.kind in ("reshape", "squeeze", "softmax") or (not convolves and _belongs_to_next(data, layer, node)):
        return False
    layer.activation = ACTIVATION_OPS[node.op]
    layer.numbers |= slope(node)
    return True


def _belongs_to_next(data: DataPath, layer: Layer, node: Node) -> bool:
    """Tell whether an activation shares more scopes with its only reader than with the layer that it reads."""
    following = data.consumers(node.name)
    own = shared_scopes(node.name, layer.name)
    if layer.kind == "concat" and not own:  # without scopes, a concat ends a block
        return True
    return len(following) == 1 and shared_scopes(node.name, following[0]) > own


def _fused_norm(data: DataPath, layer: Layer, node: Node) -> bool:
    if node.op not in NORM_OPS or layer.norm:
        return False
    layer.norm, layer.epsilon = BATCH_NORM, epsilon(node)
    return True


def _bias(data: DataPath, layer: Layer, node: Node) -> bool:
    adds = node.op in ("Add", "AddV2") and not layer.detail
    adds = adds and (data.has_channel_vector(node) or data.has_weight_of_one(node))
    if layer.norm or layer.bias or not (adds or node.op == "BiasAdd"):
        return False
    layer.bias = True
    return True


def _scale(data: DataPath, layer: Layer, node: Node) -> bool:
    """Fold the first of the two ops by which an unfused batch norm changes data: x * scale."""
    if node.op != "Mul" or layer.norm or not data.has_channel_vector(node):
        return False
    following = [data.graph.nodes[name] for name in data.consumers(node.name)]
    if len(following) != 1 or not _adds_vector(data, following[0]):
        return False
    layer.detail, layer.epsilon = _SCALED, _unfused_epsilon(data, node)
    return True


def _shift(data: DataPath, layer: Layer, node: Node) -> bool:
    """Fold the second of these ops: + shift."""
    if layer.detail != _SCALED or not _adds_vector(data, node):
        return False
    layer.detail, layer.norm = "", BATCH_NORM
    return True


def _adds_vector(data: DataPath, node: Node) -> bool:
    return node.op in ("Add", "AddV2", "Sub") and data.has_channel_vector(node)


def _unfused_epsilon(data: DataPath, node: Node) -> float | None:
    """Return the scalar that is added to the variance before its Rsqrt."""
    graph, values = data.graph, data.shapes.values
    for name in graph.needed(ref.node for ref in data.weights(node)):
        root = graph.nodes[name]
        if root.op == "Rsqrt" and root.inputs and root.inputs[0].node in graph.nodes:
            for ref in graph.nodes[root.inputs[0].node].inputs:
                if ref in values and values[ref].size == 1:
                    return float(values[ref].item())
    return None


def _batch_to_space(data: DataPath, layer: Layer, node: Node) -> bool:
    """Fold the end of an atrous convolution that SpaceToBatchND begins."""
    if node.op != "BatchToSpaceND" or layer.norm or layer.bias or len(layer.inputs) != 1:
        return False
    source = layer.inputs[0]
    return isinstance(source, Layer) and source.kind == "SpaceToBatchND"


def _row(layer: Layer, node: Node) -> bool:
    """Fold the end of a convolution or pool of one axis, which runs over an image of one row."""
    if node.op != "Squeeze" or layer.norm or layer.bias:
        return False
    chain: list[Layer] = []
    at: Layer | str | None = layer
    while isinstance(at, Layer) and len(at.kernel) == 2 and len(at.inputs) == 1:
        chain.append(at)
        at = at.inputs[0]
    if not chain or not isinstance(at, Layer) or at.kind != ROW or any(one.kernel[0] != 1 for one in chain):
        return False
    for one in chain:
        one.kernel, one.strides, one.dilation = one.kernel[1:], one.strides[1:], one.dilation[1:]
    return True
