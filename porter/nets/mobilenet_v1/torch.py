"""MobileNet V1 in PyTorch. Parameter names are timm's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from porter.nets.layers_torch import BatchNormReLU6, Conv2dSame
from porter.nets.mobilenet_v1.design import DECAY, DROPOUT, EPSILON, POOL, STAGES, STEM, depth


def _norm(channels: int) -> BatchNormReLU6:
    return BatchNormReLU6(channels, eps=EPSILON, momentum=1 - DECAY)  # PyTorch's momentum is 1 - decay


class SeparableBlock(nn.Module):
    """Table 1's "Conv dw / s" and the "Conv / s1" after it: NCHW in, NCHW out."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = Conv2dSame(channels, channels, 3, stride, groups=channels, bias=False)
        self.bn1 = _norm(channels)
        self.conv_pw = Conv2dSame(channels, out_channels, 1, bias=False)
        self.bn2 = _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_dw(x))
        return self.bn2(self.conv_pw(x))


def pooled_part(x: Tensor) -> Tensor:
    """Return the part of the last map that slim's average pool reads. Raises ValueError where slim has no logits."""
    height, width = x.shape[-2:]
    if height > POOL + 1 or width > POOL + 1:
        raise ValueError(
            f"the last map is {height}x{width}, and the original network pools only {POOL}x{POOL} of it: "
            "feed smaller images or build the network with global_pool=True"
        )
    if not torch.compiler.is_compiling():
        return x[..., :POOL, :POOL]
    # torch.export rejects that slice: its size depends on whether the map is larger than the pool.
    rows, columns = (torch.arange(torch.sym_min(side, POOL), device=x.device) for side in (height, width))
    return x.index_select(-2, rows).index_select(-1, columns)


torch.fx.wrap("pooled_part")


class AveragePool(nn.Module):
    """The last map's average: (N, C, H, W) in, (N, C) out.

    slim pools 7x7 with stride 2 and without padding, and shrinks the kernel for smaller maps. So an 8x8 map (input
    sizes 225 to 256) loses its last row and column. With ``everything`` the pool averages the whole map at any size,
    as slim's ``global_pool=True`` does.

    Raises ValueError for a larger map, whose logits slim cannot squeeze.
    """

    def __init__(self, everything: bool) -> None:
        super().__init__()
        self.everything = everything

    def forward(self, x: Tensor) -> Tensor:
        return (x if self.everything else pooled_part(x)).mean((-2, -1))


class MobileNetV1(nn.Module):
    """MobileNet V1: (N, in_channels, H, W) in [-1, 1] in, (N, num_classes) logits out.

    With 0 classes the network ends at the (N, channels) features. ``multiplier`` scales every number of channels
    (``design.depth``).
    """

    def __init__(
        self, num_classes: int = 1001, multiplier: float = 1.0, global_pool: bool = False, in_channels: int = 3
    ) -> None:
        super().__init__()
        channels = depth(STEM, multiplier)
        self.conv_stem = Conv2dSame(in_channels, channels, 3, stride=2, bias=False)
        self.bn1 = _norm(channels)
        self.blocks = nn.Sequential()
        for stage in STAGES:
            blocks = nn.Sequential()
            for width, stride in stage:
                out_channels = depth(width, multiplier)
                blocks.append(SeparableBlock(channels, out_channels, stride))
                channels = out_channels
            self.blocks.append(blocks)
        self.global_pool = AveragePool(global_pool)
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(channels, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_stem(x))
        x = self.blocks(x)
        return self.classifier(self.dropout(self.global_pool(x)))
