"""Norms that are one op: fused batch norms and local response normalization."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.step import Literal, Weight
from porter.graph.codegen.tensor import Untranslated
from porter.graph.graph import Node, Ref
from porter.graph.rewrite.widen import shortest

LOWERINGS = Lowerings()
_MODULES = {2: "nn.BatchNorm1d", 3: "nn.BatchNorm1d", 4: "nn.BatchNorm2d", 5: "nn.BatchNorm3d"}
_ROLES = (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0))


@LOWERINGS.of("FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3")
def batch_norm(c: Context, node: Node) -> None:
    stated = node.attr("epsilon")
    epsilon = 1e-4 if stated is None else shortest(stated.f)  # the op's default (tensorflow/core/ops/nn_ops.cc)
    stated = node.attr("is_training")
    training = stated is None or stated.b
    refs: list[Ref | None] = list(node.inputs[1:3] if training else node.inputs[1:5])
    add_batch_norm(c, node, node.inputs[0], refs, epsilon)


def add_batch_norm(
    c: Context, node: Node, x: Ref, refs: Sequence[Ref | None], epsilon: float, nodes: Sequence[str] = ()
) -> None:
    """Add a batch norm; ``refs`` are gamma and beta, and mean and variance, unless those are the batch's own.

    One that is None has no tensor in the graph.
    """
    tensor = c.last(x) if node.channels_first else c.first(x)
    channels = tensor.shape[1 if node.channels_first else -1]
    if channels is None or tensor.rank not in _MODULES:
        raise Untranslated("its number of channels is unknown, or it has more than five axes")
    weights, fills = [], {}
    for ref, (attribute, fill) in zip(refs, _ROLES, strict=False):
        name = c.vector(ref) if ref is not None else ""
        if ref is not None and not name:
            raise Untranslated(f"its {attribute} is computed")
        if ref is None or (c.is_constant(name) and _filled(c, ref, fill)):
            fills[attribute] = fill
        else:
            weights.append(Weight(name, attribute, (), (channels,), attribute.startswith("running")))
    arguments: dict[str, Literal] = {"num_features": channels, "eps": epsilon}
    if len(refs) == 2:
        arguments["track_running_stats"] = False
    first = not node.channels_first
    c.module(
        node, tensor, _MODULES[tensor.rank], arguments, weights, first=first, what="norm", fills=fills, nodes=nodes
    )


def _filled(c: Context, ref: Ref, fill: float) -> bool:
    """Tell whether every value of a constant is ``fill``."""
    values = c.constant(c.vector(ref))
    return values is not None and bool(np.all(values == fill))


@LOWERINGS.of("LRN")
def local_response_norm(c: Context, node: Node) -> None:
    tensor = c.first(node.inputs[0])
    stated = {key: value.f for key in ("alpha", "beta", "bias") if (value := node.attr(key)) is not None}
    numbers = {
        key: shortest(stated.get(key, default)) for key, default in (("alpha", 1.0), ("beta", 0.5), ("bias", 1.0))
    }
    size = 2 * node.integer("depth_radius", 5) + 1
    # torch divides the sum of squares by the window's size.
    arguments: dict[str, Literal] = {
        "size": size, "alpha": numbers["alpha"] * size, "beta": numbers["beta"], "k": numbers["bias"]
    }  # fmt: skip
    c.module(node, tensor, "nn.LocalResponseNorm", arguments, first=True, what="local response norm")
