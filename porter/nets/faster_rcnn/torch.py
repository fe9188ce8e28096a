"""Faster R-CNN detectors in PyTorch, by NASNet's machinery. The cells' parameters have Cadene's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from porter.nets.faster_rcnn.design import (
    ANCHORS,
    BACKBONES,
    BOX_FEATURES,
    BOX_VALUES,
    BOXES,
    CLASS_SCORES,
    CROPPED,
    OBJECTNESS,
    RPN_BOXES,
    RPN_CHANNELS,
    RPN_FEATURES,
    RPN_KERNEL,
    RPN_SCORES,
    Backbone,
)
from porter.nets.layers_torch import Conv2dSame, GlobalAveragePool
from porter.nets.nasnet.design import Config, Step
from porter.nets.nasnet.torch import Cells, batch_norm, first_convolution
from porter.nets.nasnet.torch import cell_name as nasnet_cell
from porter.nets.pnasnet.torch import cell_name as pnasnet_cell
from porter.nets.ssd.torch import Predictors


def _names(backbone: str, config: Config) -> dict[str, Step]:
    """Return all cells of the backbone by their names, in running order."""
    steps = BACKBONES[backbone].plan(config)
    return {nasnet_cell(step, config) if backbone == "nasnet" else pnasnet_cell(step): step for step in steps}


class FirstStage(Cells):
    """The first cells: (N, in_channels, H, W) in, the outputs of the last two side by side out, at stride 16."""

    def __init__(self, backbone: Backbone, config: Config, steps: Mapping[str, Step], in_channels: int) -> None:
        super().__init__(config, steps)
        norm, self.stem = batch_norm(config), backbone.stem
        self.add_module(self.stem, first_convolution(config, in_channels, norm))
        self.outputs: list[tuple[int | None, int]] = [(None, 0), (config.stem_filters, 0)]
        for name in steps:
            self.add_cell(name, self.outputs, norm, backbone.nested)

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Any] = [None, self.get_submodule(self.stem)(x)]
        for name in self.steps:
            self.run_cell(name, outputs)
        return torch.cat(outputs[-2:], 1)


class SecondStage(Cells):
    """The other cells: crops of the first stage's map (N, channels, h, w) in, (N, features, h / 2, w / 2) out."""

    def __init__(
        self, backbone: Backbone, config: Config, steps: Mapping[str, Step], outputs: list[tuple[int | None, int]]
    ) -> None:
        super().__init__(config, steps)
        norm, self.width = batch_norm(config), outputs[-1][0]
        seen: list[tuple[int | None, int]] = [(None, 0), *outputs[-2:]]
        for name in steps:
            self.add_cell(name, seen, norm, backbone.nested)
        self.channels = seen[-1][0] or 0

    def forward(self, crops: Tensor) -> Tensor:
        outputs: list[Any] = [None, crops[:, : self.width], crops[:, self.width :]]
        for name in self.steps:
            self.run_cell(name, outputs)
        return F.relu(outputs[-1])


class RPN(nn.Module):
    """The region proposal network: the first stage's map (N, channels, H, W) in, three raw outputs by name out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2dSame(channels, RPN_CHANNELS, RPN_KERNEL)
        self.act = nn.ReLU6()
        self.boxes = Predictors([RPN_CHANNELS], BOX_VALUES, 1, [ANCHORS])
        self.objectness = Predictors([RPN_CHANNELS], OBJECTNESS, 1, [ANCHORS])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.act(self.conv(x))
        return {RPN_FEATURES: x, RPN_BOXES: self.boxes([x]), RPN_SCORES: self.objectness([x])}


class BoxPredictor(nn.Module):
    """The class and a box for every class but the background: features (N, channels, h, w) in, raw outputs out."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = GlobalAveragePool()
        self.boxes = nn.Sequential(
            nn.Linear(channels, (num_classes - 1) * BOX_VALUES), nn.Unflatten(1, (-1, BOX_VALUES))
        )
        self.classes = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.pool(x)
        return {BOXES: self.boxes(x), CLASS_SCORES: self.classes(x)}


class FasterRCNN(nn.Module):
    """A Faster R-CNN detector without proposals and post-processing: images in [-1, 1] in, tensors by name out.

    ``forward`` reads the whole map as one crop. To detect, decode the boxes of ``first``, crop its map there to 17x17
    places, and call ``second`` with the crops.
    """

    def __init__(self, backbone: str, num_classes: int = 91, in_channels: int = 3, filters: int = 168) -> None:
        super().__init__()
        network = BACKBONES[backbone]
        config = network.numbers(filters)
        steps = list(_names(backbone, config).items())
        self.first_stage = FirstStage(network, config, dict(steps[: network.last]), in_channels)
        outputs = self.first_stage.outputs
        self.rpn = RPN(sum(channels or 0 for channels, _ in outputs[-2:]))
        self.second_stage = SecondStage(network, config, dict(steps[network.last :]), outputs)
        self.box_predictor = BoxPredictor(self.second_stage.channels, num_classes) if num_classes else None

    def first(self, x: Tensor) -> dict[str, Tensor]:
        """Return what the first stage computes of images (N, in_channels, H, W).

        These are the NCHW map to crop and the map that boxes are predicted from; ``rpn_box_encodings``, (N, boxes, 4),
        relative to the anchors; and ``rpn_objectness_predictions_with_background``, (N, boxes, 2), before the softmax.
        """
        cropped = self.first_stage(x)
        return {CROPPED: cropped, **self.rpn(cropped)}

    def second(self, crops: Tensor) -> dict[str, Tensor]:
        """Return what the second stage computes of crops (N, channels, h, w) of the map ``rpn_features_to_crop``.

        These are its NCHW features; ``refined_box_encodings``, (N, num_classes - 1, 4), relative to the crop's box; and
        ``class_predictions_with_background``, (N, num_classes), before the softmax. With 0 classes it is the features.
        """
        features = self.second_stage(crops)
        return {BOX_FEATURES: features, **(self.box_predictor(features) if self.box_predictor is not None else {})}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = self.first(x)
        return found | self.second(found[CROPPED])
