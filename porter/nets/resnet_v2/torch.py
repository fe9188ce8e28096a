"""ResNet V2 in PyTorch. Parameter names are timm's resnetv2, which has no biases in the convolutions."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from porter.nets.layers_torch import BatchNormAct, Every, GlobalAveragePool, MaxPool2dSame
from porter.nets.resnet_v2.design import DECAY, EPSILON, STEM, Unit, blocks


def _norm_relu(channels: int) -> BatchNormAct:
    return BatchNormAct(channels, F.relu, eps=EPSILON, momentum=1 - DECAY)  # PyTorch's momentum is 1 - decay


class Bottleneck(nn.Module):
    """One unit: NCHW in, NCHW out. A batch norm stands before the convolution of its number, as in timm."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        self.projected = unit.projected
        self.norm1 = _norm_relu(unit.in_channels)
        if unit.projected:
            shortcut = nn.Conv2d(unit.in_channels, unit.out_channels, 1, unit.stride)
            self.downsample: nn.Module = nn.Sequential(OrderedDict(conv=shortcut))
        else:
            self.downsample = Every(unit.stride) if unit.stride > 1 else nn.Identity()
        self.conv1 = nn.Conv2d(unit.in_channels, unit.inner, 1, bias=False)
        self.norm2 = _norm_relu(unit.inner)
        # slim's conv2d_same pads both sides equally, at any stride.
        self.conv2 = nn.Conv2d(unit.inner, unit.inner, 3, unit.stride, padding=1, bias=False)
        self.norm3 = _norm_relu(unit.inner)
        self.conv3 = nn.Conv2d(unit.inner, unit.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        active = self.norm1(x)
        shortcut = self.downsample(active if self.projected else x)
        return shortcut + self.conv3(self.norm3(self.conv2(self.norm2(self.conv1(active)))))


def _stage(units: list[Unit]) -> nn.Module:
    return nn.Sequential(OrderedDict(blocks=nn.Sequential(*map(Bottleneck, units))))


class Head(nn.Module):
    """Average pool and classifier, a 1x1 convolution as in timm: NCHW in, (N, num_classes) out."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.global_pool = GlobalAveragePool()
        self.fc = nn.Conv2d(channels, num_classes, 1) if num_classes else nn.Identity()
        self.flatten = nn.Flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.flatten(self.fc(self.global_pool(x)[..., None, None]))


class ResNetV2(nn.Module):
    """ResNet V2: (N, in_channels, H, W) in [-1, 1] in, (N, num_classes) logits out.

    With 0 classes the network ends at the (N, 2048) features. ``depth`` is 50, 101 or 152.
    """

    def __init__(self, num_classes: int = 1001, depth: int = 50, in_channels: int = 3) -> None:
        super().__init__()
        conv = nn.Conv2d(in_channels, STEM, 7, 2, padding=3)
        self.stem = nn.Sequential(OrderedDict(conv=conv, pool=MaxPool2dSame(3, 2)))
        planned = list(blocks(depth))
        self.stages = nn.Sequential(*map(_stage, planned))
        channels = planned[-1][-1].out_channels
        self.norm = _norm_relu(channels)
        self.head = Head(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.stages(self.stem(x))))
