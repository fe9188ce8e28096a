"""VGG in PyTorch. Parameter names are timm's."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from porter.nets.vgg.design import CONVOLUTIONS, DROPOUT, HIDDEN, MAP, WIDTHS, wrong_size


def whole_map(x: Tensor) -> Tensor:
    """Return the last map. Raises ValueError where the first fully connected layer does not read just all of it."""
    height, width = x.shape[-2:]
    if not torch.compiler.is_compiling() and (height, width) != (MAP, MAP):
        raise ValueError(wrong_size(height, width))
    return x


torch.fx.wrap("whole_map")


class PreLogits(nn.Module):
    """The first two fully connected layers, as convolutions: (N, 512, 7, 7) in, (N, 4096, 1, 1) out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, HIDDEN, MAP)
        self.act1 = nn.ReLU()
        self.drop = nn.Dropout(DROPOUT)
        self.fc2 = nn.Conv2d(HIDDEN, HIDDEN, 1)
        self.act2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.act1(self.fc1(whole_map(x))))
        return self.act2(self.fc2(x))


class VGG(nn.Module):
    """VGG: (N, in_channels, H, W) of RGB less ImageNet's means in, (N, num_classes) logits out.

    Height and width are from 224 to 255. With 0 classes the network ends at the (N, 4096) features. ``depth`` is 16 or
    19.

    Raises ValueError for images of another size, for which slim's network has no logits.
    """

    def __init__(self, num_classes: int = 1000, depth: int = 16, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for count, width in zip(CONVOLUTIONS[depth], WIDTHS, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pre_logits = PreLogits(channels)
        fc = nn.Linear(HIDDEN, num_classes) if num_classes else nn.Identity()
        self.head = nn.Sequential(OrderedDict(flatten=nn.Flatten(1), drop=nn.Dropout(DROPOUT), fc=fc))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pre_logits(self.features(x)))
