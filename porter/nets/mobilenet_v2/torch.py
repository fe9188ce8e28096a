"""MobileNet V2 in PyTorch. Parameter names are timm's."""

from __future__ import annotations

from torch import Tensor, nn

from porter.nets.inverted_residuals import DROPOUT
from porter.nets.inverted_residuals_torch import build_stages, norm_act
from porter.nets.layers_torch import Conv2dSame, GlobalAveragePool
from porter.nets.mobilenet_v2.design import last, stages, stem


class MobileNetV2(nn.Module):
    """MobileNet V2: (N, in_channels, H, W) in [-1, 1] in, (N, num_classes) logits out.

    With 0 classes the network ends at the (N, channels) features. ``multiplier`` scales every number of channels, the
    last convolution's from 1 upwards (``design``).
    """

    def __init__(self, num_classes: int = 1001, multiplier: float = 1.0, in_channels: int = 3) -> None:
        super().__init__()
        channels, planned = stem(multiplier), stages(multiplier)
        self.conv_stem = Conv2dSame(in_channels, channels, 3, stride=2, bias=False)
        self.bn1 = norm_act(channels, "relu6")
        self.blocks = nn.Sequential(*build_stages(planned))
        channels = last(multiplier)
        self.conv_head = Conv2dSame(planned[-1][-1].out_channels, channels, 1, bias=False)
        self.bn2 = norm_act(channels, "relu6")
        self.global_pool = GlobalAveragePool()
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(channels, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_stem(x))
        x = self.blocks(x)
        x = self.bn2(self.conv_head(x))
        return self.classifier(self.dropout(self.global_pool(x)))
