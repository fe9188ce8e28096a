"""The numbers of MobileNet V1 (Howard et al. 2017, arXiv:1704.04861), which every framework's network reads.

A full 3x3 convolution, then 13 blocks of a 3x3 depthwise and a 1x1 pointwise convolution, each followed by batch norm
and ReLU6; an average pool; a classifier. Numbers that the paper does not give are those of slim/nets/mobilenet_v1.py.
"""

from __future__ import annotations

STEM = 32
"""Table 1: output channels of the first convolution, whose stride is 2."""

STAGES = (
    ((64, 1),),
    ((128, 2), (128, 1)),
    ((256, 2), (256, 1)),
    ((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    ((1024, 2), (1024, 1)),
)
"""Table 1: (output channels, stride) of each block, grouped by stage as timm does."""

EPSILON = 1e-3  # batch_norm_epsilon in mobilenet_v1_arg_scope
DECAY = 0.9997  # batch_norm_decay there
DROPOUT = 1 - 0.999  # dropout_keep_prob
POOL = 7  # the average pool's kernel at 224, in mobilenet_v1
MIN_DEPTH = 8  # min_depth


def depth(channels: int, multiplier: float) -> int:
    """Return ``channels`` times ``multiplier``, rounded down and at least 8: depth in mobilenet_v1_base."""
    return max(int(channels * multiplier), MIN_DEPTH)


def channels(layer: str, axis: str, released: int, multiplier: float) -> int:
    """Return the channels of an axis that has ``released`` ones at multiplier 1; every layer scales alike."""
    return depth(released, multiplier)
