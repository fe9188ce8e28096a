"""name_layers: short names of layers, and how many scopes two names share."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

from porter.graph.analysis.layers import Layer

_OP_LEAF = re.compile(
    r"(Conv2D|convolution|depthwise|separable_conv2d|AvgPool|MaxPool|BiasAdd|MatMul|FusedBatchNorm(V\d)?|Relu6?|add|concat|"
    r"batchnorm|Wx_plus_b|Conv2D_bn_offset|act_quant|xw_plus_b)(_\d+)?"
)
"""Last parts of names that only repeat the op."""


def name_layers(layers: Sequence[Layer]) -> None:
    """Name each layer after the scope of its main op, unless another layer or scope has that name."""
    short = [_scope_name(layer.name) for layer in layers]
    counts = Counter(short)
    scopes = {"/".join(name.split("/")[:depth]) for name in short for depth in range(1, name.count("/") + 1)}
    for layer, name in zip(layers, short, strict=True):
        if counts[name] == 1 and name not in scopes:
            layer.name = name


def _scope_name(name: str) -> str:
    parts = name.split("/")
    while len(parts) > 1 and _OP_LEAF.fullmatch(parts[-1]):
        parts.pop()
    return "/".join(parts)


def shared_scopes(a: str, b: str) -> int:
    """Return how many scopes two names share."""
    pairs = zip(a.split("/")[:-1], b.split("/")[:-1], strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
