"""The numbers of MobileNet V2 (Sandler et al. 2018, arXiv:1801.04381), which every framework's network reads.

A full 3x3 convolution, then 17 inverted residuals, each a 1x1 expansion, a 3x3 depthwise convolution and a linear 1x1
projection; a 1x1 convolution; an average pool; a classifier. Batch norm follows every convolution, ReLU6 all but the
projections. Numbers that the paper does not give are those of slim/nets/mobilenet/mobilenet_v2.py.
"""

from __future__ import annotations

from porter.nets.inverted_residuals import Block, Row, block_channels, is_of_blocks, make_divisible, plan, residuals

STEM = 32
"""Table 2: output channels of the first convolution, whose stride is 2."""

STAGES = (
    (Row(16, 1, 1),),
    (Row(24, 2, 6), Row(24, 1, 6)),
    (Row(32, 2, 6), Row(32, 1, 6), Row(32, 1, 6)),
    (Row(64, 2, 6), Row(64, 1, 6), Row(64, 1, 6), Row(64, 1, 6)),
    (Row(96, 1, 6), Row(96, 1, 6), Row(96, 1, 6)),
    (Row(160, 2, 6), Row(160, 1, 6), Row(160, 1, 6)),
    (Row(320, 1, 6),),
)
"""Table 2: output channels, stride and expansion of each inverted residual, grouped by stage as timm does."""

LAST = 1280
"""Table 2: output channels of the last convolution."""


def stem(multiplier: float) -> int:
    """Return the output channels of the first convolution."""
    return make_divisible(STEM * multiplier)


def stages(multiplier: float) -> list[list[Block]]:
    """Return the inverted residuals, grouped as in STAGES."""
    return list(plan(STAGES, stem(multiplier), multiplier))


def last(multiplier: float) -> int:
    """Return the output channels of the last convolution, which multipliers below 1 leave whole.

    finegrain_classification_mode in mobilenet_v2.py: the released checkpoints below 1 have it.
    """
    return make_divisible(LAST * max(multiplier, 1.0))


def channels(layer: str, axis: str, released: int, multiplier: float) -> int:
    """Return the channels of an axis that has ``released`` ones at multiplier 1, for the row ``layer`` of the table."""
    if is_of_blocks(layer, axis):
        return block_channels(layer, axis, released, stages(1.0), stages(multiplier))
    return stem(multiplier) if layer.startswith("stem") else last(multiplier)


def wiring(multiplier: float) -> tuple[bool, ...]:
    """Return what of the graph the width decides: the blocks that add their input, more of them up to 0.275."""
    return residuals(stages(multiplier))
