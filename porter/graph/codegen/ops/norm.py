"""Norms that are one op: fused batch norms and local response normalization."""

from __future__ import annotations

import numpy as np

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.ops.convolution import pictures
from porter.graph.codegen.step import Literal, Weight
from porter.graph.codegen.tensor import Tensor, Untranslated
from porter.graph.graph import Node, Ref
from porter.graph.rewrite.widen import shortest

LOWERINGS = Lowerings()
_ROLES = (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0))


@LOWERINGS.of("FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3")
def batch_norm(c: Context, node: Node) -> None:
    stated = node.attr("epsilon")
    epsilon = 1e-4 if stated is None else shortest(stated.f)  # the op's default (tensorflow/core/ops/nn_ops.cc)
    training = node.attr("is_training")
    add_batch_norm(c, node, node.inputs[1:5], epsilon, training is None or training.b)


def add_batch_norm(
    c: Context, node: Node, refs: list[Ref], epsilon: float, training: bool, nodes: tuple[str, ...] = ()
) -> None:
    """Add a batch norm; ``refs`` are gamma, beta, mean and variance, the last two unused while ``training``."""
    tensor = pictures(c, node)
    channels = tensor.shape[1 if node.channels_first else -1]
    if channels is None:
        raise Untranslated("its number of channels is unknown")
    weights, fills = [], {}
    for ref, (attribute, fill) in zip(refs[: 2 if training else 4], _ROLES, strict=False):
        name = c.weight(ref)
        if not name:
            raise Untranslated(f"its {attribute} is computed")
        if c.is_constant(name) and _filled(c, ref, fill):
            fills[attribute] = fill
        else:
            weights.append(Weight(name, attribute, (), (channels,), attribute.startswith("running")))
    module = {2: "nn.BatchNorm1d", 3: "nn.BatchNorm1d", 4: "nn.BatchNorm2d", 5: "nn.BatchNorm3d"}[tensor.rank]
    arguments: dict[str, Literal] = {"num_features": channels, "eps": epsilon}
    if training:
        arguments["track_running_stats"] = False
    c.module(
        node, tensor, module, arguments, weights, first=not node.channels_first, what="norm", fills=fills, nodes=nodes
    )


def _filled(c: Context, ref: Ref, fill: float) -> bool:
    """Tell whether every value of a constant is ``fill``."""
    values = c.constant(c.weight(ref))
    return values is not None and bool(np.all(values == fill))
