"""ResNet V1 in PyTorch. Parameter names are timm's, which has the same tensors but strides elsewhere."""

from __future__ import annotations

from torch import Tensor, nn

from porter.nets.layers_torch import Every, GlobalAveragePool, MaxPool2dSame
from porter.nets.resnet_v1.design import DECAY, EPSILON, STEM, Unit, blocks


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=1 - DECAY)  # PyTorch's momentum is 1 - decay


def _shortcut(unit: Unit) -> nn.Module:
    if unit.projected:
        conv = nn.Conv2d(unit.in_channels, unit.out_channels, 1, unit.stride, bias=False)
        return nn.Sequential(conv, _norm(unit.out_channels))
    return Every(unit.stride) if unit.stride > 1 else nn.Identity()


class Bottleneck(nn.Module):
    """One unit: NCHW in, NCHW out."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(unit.in_channels, unit.inner, 1, bias=False)
        self.bn1 = _norm(unit.inner)
        self.act1 = nn.ReLU()
        # slim's conv2d_same pads both sides equally, at any stride.
        self.conv2 = nn.Conv2d(unit.inner, unit.inner, 3, unit.stride, padding=1, bias=False)
        self.bn2 = _norm(unit.inner)
        self.act2 = nn.ReLU()
        self.conv3 = nn.Conv2d(unit.inner, unit.out_channels, 1, bias=False)
        self.bn3 = _norm(unit.out_channels)
        self.downsample = _shortcut(unit)
        self.act3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x)
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.act2(self.bn2(self.conv2(x)))
        return self.act3(self.bn3(self.conv3(x)) + shortcut)


class ResNetV1(nn.Module):
    """ResNet V1: (N, in_channels, H, W) of RGB less ImageNet's means in, (N, num_classes) logits out.

    With 0 classes the network ends at the (N, 2048) features. ``depth`` is 50, 101 or 152.
    """

    def __init__(self, num_classes: int = 1000, depth: int = 50, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, STEM, 7, 2, padding=3, bias=False)
        self.bn1 = _norm(STEM)
        self.act1 = nn.ReLU()
        self.maxpool = MaxPool2dSame(3, 2)
        planned = list(blocks(depth))
        self.layer1, self.layer2, self.layer3, self.layer4 = (nn.Sequential(*map(Bottleneck, one)) for one in planned)
        self.global_pool = GlobalAveragePool()
        self.fc = nn.Linear(planned[-1][-1].out_channels, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.global_pool(x))
