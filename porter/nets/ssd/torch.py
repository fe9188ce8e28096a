"""SSD detectors in PyTorch. The backbone's parameters have its own names, which are timm's, behind ``backbone.``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from porter.catalog.models import find_arch
from porter.mapping.table import Table
from porter.nets.features_torch import cut
from porter.nets.layers_torch import BatchNormReLU6, Conv2dSame
from porter.nets.ssd.design import (
    BOX_ENCODINGS,
    BOX_VALUES,
    BOXES,
    CLASS_SCORES,
    DECAY,
    DETECTORS,
    EPSILON,
    EXTRAS,
    Detector,
)


def _norm(channels: int) -> BatchNormReLU6:
    return BatchNormReLU6(channels, eps=EPSILON, momentum=1 - DECAY)  # PyTorch's momentum is 1 - decay


class ExtraLayer(nn.Module):
    """A 1x1 and a 3x3 convolution, which halves the map: NCHW in, NCHW out.

    With ``depthwise`` a 3x3 depthwise convolution halves it, and the second convolution is 1x1.
    """

    def __init__(self, channels: int, inner: int, out_channels: int, depthwise: bool) -> None:
        super().__init__()
        self.conv1 = Conv2dSame(channels, inner, 1, bias=False)
        self.bn1 = _norm(inner)
        self.conv_dw = Conv2dSame(inner, inner, 3, stride=2, groups=inner, bias=False) if depthwise else nn.Identity()
        self.bn_dw = _norm(inner) if depthwise else nn.Identity()
        self.conv2 = Conv2dSame(inner, out_channels, *((1, 1) if depthwise else (3, 2)), bias=False)
        self.bn2 = _norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv1(x))
        x = self.bn_dw(self.conv_dw(x))
        return self.bn2(self.conv2(x))


class Predictors(nn.ModuleList):
    """One convolution for each map: NCHW maps in, (N, boxes of all maps, values of a box) out.

    Boxes come map by map, row by row, place by place. ``boxes`` are those at a place of each map.
    """

    def __init__(self, channels: Sequence[int], values: int, kernel: int, boxes: Sequence[int] = BOXES) -> None:
        super().__init__(
            Conv2dSame(width, count * values, kernel) for width, count in zip(channels, boxes, strict=True)
        )
        self.values = values

    def forward(self, maps: Iterable[Tensor]) -> Tensor:
        found = (conv(x).permute(0, 2, 3, 1) for conv, x in zip(self, maps, strict=True))
        return torch.cat([x.unflatten(3, (-1, self.values)).flatten(1, 3) for x in found], dim=1)


class SSD(nn.Module):
    """An SSD detector without its post-processing: (N, in_channels, H, W) in [-1, 1] in, tensors by name out.

    These are the NCHW maps that boxes are predicted from, under the original's names; ``box_encodings``, (N, boxes, 4),
    relative to the anchors; and ``class_predictions_with_background``, (N, boxes, num_classes), before the sigmoid.
    With 0 classes the scores are left out.
    """

    def __init__(self, detector: str, num_classes: int = 91, in_channels: int = 3) -> None:
        super().__init__()
        numbers = DETECTORS[detector]
        self.names = numbers.names
        self.backbone, channels = _backbone(numbers, in_channels)
        self.extras = nn.ModuleList()
        for inner, outer in EXTRAS:
            self.extras.append(ExtraLayer(channels[-1], inner, outer, numbers.depthwise))
            channels.append(outer)
        self.box_predictors = Predictors(channels, BOX_VALUES, numbers.kernel)
        self.class_predictors = Predictors(channels, num_classes, numbers.kernel) if num_classes else None

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        maps = list(self.backbone(x))
        for layer in self.extras:
            maps.append(layer(maps[-1]))
        found = dict(zip(self.names, maps, strict=True))
        found[BOX_ENCODINGS] = self.box_predictors(maps)
        if self.class_predictors is not None:
            found[CLASS_SCORES] = self.class_predictors(maps)
        return found


def _backbone(detector: Detector, in_channels: int) -> tuple[nn.Module, list[int]]:
    """Return the backbone's network, cut to the maps that the detector reads there, and their channels."""
    arch = find_arch(detector.backbone)
    table = Table.of(arch)
    network = arch.builder("torch")(num_classes=0, in_channels=in_channels, **arch.options, **detector.options)
    places = {endpoint.name: endpoint.where.get("torch", "") for endpoint in table.endpoints}
    stem = {pair.target: pair.target_axes for pair in table.pairs("torch", "torch") if pair.stem}
    maps = [places[name] for name in detector.maps]
    return cut(network, maps, range(len(maps)), arch.input_size, stem)
