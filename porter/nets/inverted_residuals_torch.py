"""Inverted residuals in PyTorch, for MobileNet V2 and V3. Parameter names are timm's."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from porter.nets.inverted_residuals import DECAY, EPSILON, GATE_SIXTH, SIXTH, Block
from porter.nets.layers_torch import BatchNormAct, Conv2dSame, relu6


def hard_swish(x: Tensor) -> Tensor:
    """Return slim's hard swish of ``x``."""
    return x * relu6(x + 3) * SIXTH


ACTIVATIONS = {"relu": torch.relu, "relu6": relu6, "hard_swish": hard_swish}


class Activation(nn.Module):
    """One of ACTIVATIONS, by name."""

    def __init__(self, act: str) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.act](x)

    def extra_repr(self) -> str:
        return self.act


def norm_act(channels: int, act: str) -> BatchNormAct:
    """Return a batch norm and one of ACTIVATIONS, by name."""
    return BatchNormAct(channels, ACTIVATIONS[act], eps=EPSILON, momentum=1 - DECAY)  # PyTorch's momentum is 1 - decay


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a batch norm without an activation."""
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=1 - DECAY)


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate between 0 and 1 that follows from the averages of all: NCHW in, NCHW out."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, squeezed, 1)
        self.conv_expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.relu(self.conv_reduce(x.mean((-2, -1), keepdim=True)))
        return x * (relu6(self.conv_expand(gate) + 3) * GATE_SIXTH)


def _depthwise(block: Block) -> Conv2dSame:
    return Conv2dSame(block.inner, block.inner, block.kernel, block.stride, groups=block.inner, bias=False)


def _gate(block: Block) -> nn.Module:
    return SqueezeExcite(block.inner, block.squeezed) if block.squeezed else nn.Identity()


class SeparableBlock(nn.Module):
    """The inverted residual without an expansion: NCHW in, NCHW out."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.conv_dw = _depthwise(block)
        self.bn1 = norm_act(block.inner, block.act)
        self.se = _gate(block)
        self.conv_pw = Conv2dSame(block.inner, block.out_channels, 1, bias=False)
        self.bn2 = norm(block.out_channels)
        self.residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv_dw(x))
        out = self.bn2(self.conv_pw(self.se(out)))
        return x + out if self.residual else out


class InvertedResidual(nn.Module):
    """A 1x1 expansion, a depthwise convolution and a linear 1x1 projection: NCHW in, NCHW out."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.conv_pw = Conv2dSame(block.channels, block.inner, 1, bias=False)
        self.bn1 = norm_act(block.inner, block.act)
        self.conv_dw = _depthwise(block)
        self.bn2 = norm_act(block.inner, block.act)
        self.se = _gate(block)
        self.conv_pwl = Conv2dSame(block.inner, block.out_channels, 1, bias=False)
        self.bn3 = norm(block.out_channels)
        self.residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.conv_pw(x))
        out = self.bn2(self.conv_dw(out))
        out = self.bn3(self.conv_pwl(self.se(out)))
        return x + out if self.residual else out


def build_stages(stages: Iterable[Iterable[Block]]) -> list[nn.Sequential]:
    """Return one sequence for each stage of ``stages``."""
    return [
        nn.Sequential(*(InvertedResidual(block) if block.expands else SeparableBlock(block) for block in stage))
        for stage in stages
    ]
