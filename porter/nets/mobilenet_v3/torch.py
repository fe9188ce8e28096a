"""MobileNet V3 in PyTorch. Parameter names are timm's."""

from __future__ import annotations

from torch import Tensor, nn

from porter.nets.inverted_residuals import DROPOUT
from porter.nets.inverted_residuals_torch import Activation, build_stages, norm_act
from porter.nets.layers_torch import Conv2dSame
from porter.nets.mobilenet_v3.design import DESIGNS


class ConvNormAct(nn.Module):
    """A 1x1 convolution, batch norm and an activation: NCHW in, NCHW out."""

    def __init__(self, channels: int, out_channels: int, act: str) -> None:
        super().__init__()
        self.conv = Conv2dSame(channels, out_channels, 1, bias=False)
        self.bn1 = norm_act(out_channels, act)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn1(self.conv(x))


class MobileNetV3(nn.Module):
    """MobileNet V3: (N, in_channels, H, W) in [-1, 1] in, (N, num_classes) logits out.

    With 0 classes the network ends at the (N, channels) features. ``variant`` names one of ``design.DESIGNS``,
    ``multiplier`` scales every number of channels, that of the features from 1 upwards.

    The pool averages the whole last map. slim does so for square maps; of others it pools windows of 7x7.
    """

    def __init__(
        self, num_classes: int = 1001, variant: str = "large", multiplier: float = 1.0, in_channels: int = 3
    ) -> None:
        super().__init__()
        design = DESIGNS[variant]
        channels, planned = design.stem(multiplier), design.blocks(multiplier)
        self.conv_stem = Conv2dSame(in_channels, channels, 3, stride=2, bias=False)
        self.bn1 = norm_act(channels, design.act)
        channels, features = design.before_pool(multiplier), design.behind_pool(multiplier)
        last = nn.Sequential(ConvNormAct(planned[-1][-1].out_channels, channels, design.act))
        self.blocks = nn.Sequential(*build_stages(planned), last)
        self.global_pool = nn.AdaptiveAvgPool2d(1)
        self.conv_head = nn.Conv2d(channels, features, 1)
        self.act2 = Activation(design.act)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(features, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_stem(x))
        x = self.blocks(x)
        x = self.act2(self.conv_head(self.global_pool(x)))
        return self.classifier(self.dropout(self.flatten(x)))
