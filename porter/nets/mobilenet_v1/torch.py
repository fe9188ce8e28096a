"""MobileNet V1 (Howard et al. 2017, arXiv:1704.04861), table 1.

A full convolution, then 13 blocks of a 3x3 depthwise and a 1x1 pointwise convolution, each followed by
batch norm and ReLU6; an average pool; a classifier. Numbers that the paper does not give are those of
slim/nets/mobilenet_v1.py. Parameter names are timm's.
"""

from __future__ import annotations

from torch import Tensor, nn

from porter.nets.layers_torch import BatchNormReLU6, Conv2dSame

# Table 1: (output channels, stride) of each block, grouped by stage as timm does.
STAGES = [
    [(64, 1)],
    [(128, 2), (128, 1)],
    [(256, 2), (256, 1)],
    [(512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)],
    [(1024, 2), (1024, 1)],
]
EPSILON = 1e-3  # batch_norm_epsilon in mobilenet_v1_arg_scope
MOMENTUM = 1 - 0.9997  # PyTorch's momentum is 1 - decay; batch_norm_decay there
DROPOUT = 1 - 0.999  # dropout_keep_prob
POOL = 7  # the average pool's kernel at 224, in mobilenet_v1
MIN_DEPTH = 8  # min_depth


def _norm(channels: int) -> BatchNormReLU6:
    return BatchNormReLU6(channels, eps=EPSILON, momentum=MOMENTUM)


class SeparableBlock(nn.Module):
    """Table 1's "Conv dw / s" and the "Conv / s1" behind it: NCHW in, NCHW out."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = Conv2dSame(channels, channels, 3, stride, groups=channels, bias=False)
        self.bn1 = _norm(channels)
        self.conv_pw = Conv2dSame(channels, out_channels, 1, bias=False)
        self.bn2 = _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_dw(x))
        return self.bn2(self.conv_pw(x))


class AveragePool(nn.Module):
    """The last map's average, (N, C).

    slim pools 7x7 with stride 2 and without padding, shrinking the kernel to smaller maps; so an 8x8 map
    (inputs of 225 to 256) loses its last row and column. ``everything`` averages the whole map instead, at
    any size: slim's ``global_pool=True``.

    Raises ValueError for a larger map, whose logits slim cannot squeeze.
    """

    def __init__(self, everything: bool) -> None:
        super().__init__()
        self.everything = everything

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.everything:
            return x.mean((-2, -1))
        if max(height, width) > POOL + 1:
            raise ValueError(
                f"the last map is {height}x{width}, and the original pools only {POOL}x{POOL} of it: "
                "feed smaller pictures or build with global_pool=True"
            )
        return x[..., :POOL, :POOL].mean((-2, -1))


class MobileNetV1(nn.Module):
    """MobileNet V1: (N, 3, H, W) in [-1, 1] in, (N, num_classes) logits out.

    0 classes end at the (N, channels) features. ``multiplier`` scales every number of channels, rounded down, to
    no less than 8.
    """

    def __init__(self, num_classes: int = 1001, multiplier: float = 1.0, global_pool: bool = False) -> None:
        super().__init__()

        def depth(channels: int) -> int:
            return max(int(channels * multiplier), MIN_DEPTH)

        channels = depth(32)
        self.conv_stem = Conv2dSame(3, channels, 3, stride=2, bias=False)
        self.bn1 = _norm(channels)
        self.blocks = nn.Sequential()
        for stage in STAGES:
            blocks = nn.Sequential()
            for out_channels, stride in stage:
                blocks.append(SeparableBlock(channels, depth(out_channels), stride))
                channels = depth(out_channels)
            self.blocks.append(blocks)
        self.global_pool = AveragePool(global_pool)
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(channels, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_stem(x))
        x = self.blocks(x)
        return self.classifier(self.dropout(self.global_pool(x)))
