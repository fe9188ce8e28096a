"""The Inception networks in PyTorch. Parameter names are timm's for V3, V4 and Inception-ResNet V2.

timm has no V1 and V2: their blocks have slim's names, and branches are named as in V4.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from porter.nets.inception import blocks, design
from porter.nets.inception.blocks import SAME
from porter.nets.inception.design import AUX_CHANNELS, AUX_POOL, AUX_STRIDE, DECAY, DROPOUT, EPSILON
from porter.nets.layers_torch import (
    AvgPool2dSame,
    BatchNormAct,
    Conv2dSame,
    GlobalAveragePool,
    MaxPool2dSame,
    SeparableConv2d,
    relu6,
)


def norm_act(channels: int, highest: float) -> BatchNormAct:
    """Return a batch norm and ReLU, or ReLU6 where 6 is the ``highest`` value."""
    return BatchNormAct(channels, torch.relu if highest == math.inf else relu6, eps=EPSILON, momentum=1 - DECAY)


class ConvNormAct(nn.Module):
    """A convolution, batch norm and ReLU or ReLU6: NCHW in, NCHW out."""

    def __init__(self, channels: int, conv: blocks.Conv, highest: float = math.inf) -> None:
        super().__init__()
        kind = Conv2dSame if conv.padding == SAME else nn.Conv2d
        self.conv = kind(channels, conv.channels, conv.kernel, conv.stride, bias=False)
        self.bn = norm_act(conv.channels, highest)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


def pool(step: blocks.Pool) -> nn.Module:
    """Return a pool with a square window."""
    if step.padding == SAME:
        return {"max": MaxPool2dSame, "average": AvgPool2dSame}[step.kind](step.side, step.stride)
    return {"max": nn.MaxPool2d, "average": nn.AvgPool2d}[step.kind](step.side, step.stride)


class SeparableStem(SeparableConv2d):
    """A depthwise convolution, a 1x1 convolution with a bias, and ReLU: V2's first layer; or with a batch norm."""

    def __init__(self, channels: int, step: blocks.Separable, highest: float = math.inf) -> None:
        super().__init__(channels, step.channels, step.kernel[0], step.stride, step.multiplier, bias=not step.norm)
        self.bn = norm_act(step.channels, highest) if step.norm else None

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return torch.relu(x) if self.bn is None else self.bn(x)


class Mixed(nn.Module):
    """Branches of one map, whose outputs are concatenated: NCHW in, NCHW out."""

    def __init__(self, channels: int, block: blocks.Mixed | blocks.Residual, highest: float = math.inf) -> None:
        super().__init__()
        branches = blocks.placed(block)
        self.branches = [[[layer.place for layer in stage] for stage in branch] for branch in branches]
        for branch in branches:
            inner = channels
            for stage in branch:
                for place, step in stage:
                    put(self, place, build(inner, step, highest))
                inner = sum(blocks.out_channels(step, inner) for _, step in stage)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._branch(stages, x) for stages in self.branches], 1)

    def _branch(self, stages: list[list[str]], x: Tensor) -> Tensor:
        for places in stages:
            outputs = [self.get_submodule(place)(x) for place in places]
            x = torch.cat(outputs, 1) if len(outputs) > 1 else outputs[0]
        return x


class Residual(Mixed):
    """Branches and a 1x1 convolution, scaled and added to the input: NCHW in, NCHW out."""

    def __init__(self, channels: int, block: blocks.Residual, highest: float = math.inf) -> None:
        super().__init__(channels, block, highest)
        inner = blocks.out_channels(blocks.Mixed(block.branches), channels)
        self.conv2d = nn.Conv2d(inner, channels, 1)
        self.scale = block.scale
        self.act = nn.ReLU() if block.relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.conv2d(super().forward(x)) * self.scale)


def build(channels: int, step: blocks.Step, highest: float = math.inf) -> nn.Module:
    """Return the module of one step for an input of ``channels``; its activations pass up to ``highest``."""
    if isinstance(step, blocks.Pool):
        return pool(step)
    kinds: dict[type, Callable[..., nn.Module]] = {
        blocks.Conv: ConvNormAct,
        blocks.Separable: SeparableStem,
        blocks.Mixed: Mixed,
        blocks.Residual: Residual,
    }
    return kinds[type(step)](channels, step, highest)


def put(parent: nn.Module, path: str, module: nn.Module) -> None:
    """Add ``module`` at the dotted ``path`` below ``parent``; each scope of the path is a sequence."""
    scope, _, name = path.rpartition(".")
    if scope and scope not in dict(parent.named_children()):
        parent.add_module(scope, nn.Sequential())
    parent.get_submodule(scope).add_module(name, module)


class AuxiliaryHead(nn.Module):
    """A second classifier for training: (N, channels, H, W) in, (N, num_classes) logits out.

    Its second convolution covers the whole pooled map, ``side`` x ``side``, so that it takes only maps of one size.
    """

    def __init__(self, channels: int, num_classes: int, side: int) -> None:
        super().__init__()
        first, second = AUX_CHANNELS
        self.pool = nn.AvgPool2d(AUX_POOL, AUX_STRIDE)
        self.conv0 = ConvNormAct(channels, blocks.Conv(first))
        self.conv1 = ConvNormAct(first, blocks.Conv(second, (side, side), 1, blocks.VALID))
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(second, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.flatten(self.conv1(self.conv0(self.pool(x)))))


class Inception(nn.Module):
    """An Inception network: (N, in_channels, H, W) in [-1, 1] in, (N, num_classes) logits out.

    ``name`` gives each of slim's scopes its module's path, ``head`` is the classifier's name. With 0 classes the
    network ends at the (N, channels) features. With ``aux`` it has the auxiliary head for images of ``input_size``
    and returns both logits, the head's second. slim trains its loss with weight 0.4 (train_image_classifier.py).

    The last pool averages the whole map, as slim's does up to the default size. For larger maps slim's V1 to V3 fail.
    """

    def __init__(
        self,
        network: design.Network,
        name: Callable[[str], str],
        head: str,
        num_classes: int,
        in_channels: int,
        aux: bool = False,
        input_size: int = 0,
    ) -> None:
        super().__init__()
        channels, self.paths, self.head = in_channels, [name(scope) for scope in network.steps], head
        self.aux_path = name(network.aux) if aux and network.aux else None
        for path, step in zip(self.paths, network.steps.values(), strict=True):
            put(self, path, build(channels, step, network.highest))
            channels = blocks.out_channels(step, channels)
            if path == self.aux_path:
                self.AuxLogits = AuxiliaryHead(channels, num_classes, design.aux_side(network, input_size))
        self.global_pool = GlobalAveragePool()
        self.dropout = nn.Dropout(DROPOUT)
        self.add_module(head, nn.Linear(channels, num_classes) if num_classes else nn.Identity())

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        aux_logits = None
        for path in self.paths:
            x = self.get_submodule(path)(x)
            if path == self.aux_path:
                aux_logits = self.AuxLogits(x)
        logits = self.get_submodule(self.head)(self.dropout(self.global_pool(x)))
        return logits if aux_logits is None else (logits, aux_logits)


def _slims(scope: str) -> str:
    return scope


def inception_v1(num_classes: int = 1001, in_channels: int = 3) -> Inception:
    """Return Inception V1, which slim trains on 224x224 images."""
    return Inception(design.V1, _slims, "fc", num_classes, in_channels)


def inception_v2(num_classes: int = 1001, in_channels: int = 3, in_detectors: bool = False) -> Inception:
    """Return Inception V2, which slim trains on 224x224 images, or as it is ``in_detectors``."""
    network = design.V2_IN_DETECTORS if in_detectors else design.V2
    return Inception(network, _slims, "fc", num_classes, in_channels)


V3_POOLS = {"MaxPool_3a_3x3": "Pool1", "MaxPool_5a_3x3": "Pool2"}


def inception_v3(num_classes: int = 1001, aux: bool = False, input_size: int = 299, in_channels: int = 3) -> Inception:
    """Return Inception V3, which slim trains on 299x299 images."""
    return Inception(design.V3, lambda s: V3_POOLS.get(s, s), "fc", num_classes, in_channels, aux, input_size)


def inception_v4(num_classes: int = 1001, aux: bool = False, input_size: int = 299, in_channels: int = 3) -> Inception:
    """Return Inception V4, which slim trains on 299x299 images."""
    paths = {scope: f"features.{number}" for number, scope in enumerate(design.V4.steps)}
    return Inception(design.V4, paths.__getitem__, "last_linear", num_classes, in_channels, aux, input_size)


def _resnets(scope: str) -> str:
    """Return timm's path: repeat.0 for Repeat/block35_1, conv2d_1a for Conv2d_1a_3x3."""
    repeat, _, block = scope.lower().partition("/")
    return f"{repeat}.{int(block.rpartition('_')[2]) - 1}" if block else "_".join(repeat.split("_")[:2])


def inception_resnet_v2(
    num_classes: int = 1001, aux: bool = False, input_size: int = 299, in_channels: int = 3
) -> Inception:
    """Return Inception-ResNet V2, which slim trains on 299x299 images."""
    return Inception(design.RESNET_V2, _resnets, "classif", num_classes, in_channels, aux, input_size)
