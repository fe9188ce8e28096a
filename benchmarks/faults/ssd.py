"""Faults of SSD: of the parts that its backbone does not have."""

from __future__ import annotations

from typing import Any

import numpy as np

from planting import Fault, both, change, padded, swap, torch_forward


def _scores_first(layer: Any, _original: Any, maps: Any) -> Any:
    """Read a box's scores as if the boxes of a place alternated: (classes, boxes) for (boxes, classes)."""
    import torch

    found = [
        conv(x).unflatten(1, (layer.values, -1)).permute(0, 3, 4, 2, 1) for conv, x in zip(layer, maps, strict=True)
    ]
    return torch.cat([x.flatten(1, 3) for x in found], dim=1)


def _columns_first(layer: Any, original: Any, maps: Any) -> Any:
    """Walk each map column by column."""
    return original([x.transpose(2, 3) for x in maps])


def _without_relu6(layer: Any, _original: Any, x: Any) -> Any:
    from torch import nn

    return nn.BatchNorm2d.forward(layer, x)


def _next_class(values: np.ndarray) -> np.ndarray:
    """Roll the classes of each box by one."""
    return np.roll(values.reshape(-1, 91, *values.shape[1:]), -1, axis=1).reshape(values.shape)


MODEL = "ssd_mobilenet_v1"
CLASSES, FIRST = "class_predictions_with_background", "BoxPredictor_0/ClassPredictor"
BOXES = "BoxPredictor_{}/BoxEncodingPredictor"

FAULTS = [
    Fault(
        "an extra layer padded before instead of after",
        "torch",
        "Conv2d_13_pointwise_2_Conv2d_2_3x3_s2_512",
        "padding",
        network=torch_forward("extras.0.conv2", padded(1, 0)),
    ),
    Fault(
        "the last ReLU6 of an extra layer left out",
        "torch",
        "Conv2d_13_pointwise_2_Conv2d_3_3x3_s2_256",
        "missing activation",
        network=torch_forward("extras.1.bn2", _without_relu6),
    ),
    Fault(
        "the kernels of two extra layers swapped",
        "torch",
        "Conv2d_13_pointwise_2_Conv2d_3_3x3_s2_256",
        "weights",
        weights=swap("extras.1.conv2.weight", "extras.2.conv2.weight"),
    ),
    Fault(
        "boxes column by column", "torch", BOXES.format(0), "", network=torch_forward("box_predictors", _columns_first)
    ),
    Fault(
        "the box predictors of two maps swapped",
        "torch",
        BOXES.format(3),
        "",
        weights=both(*(swap(f"box_predictors.3.{leaf}", f"box_predictors.4.{leaf}") for leaf in ("weight", "bias"))),
    ),
    Fault("scores before boxes", "torch", CLASSES, "", network=torch_forward("class_predictors", _scores_first)),
    Fault(
        "each box's classes off by one",
        "torch",
        FIRST,
        "",
        weights=both(*(change(f"class_predictors.0.{leaf}", _next_class) for leaf in ("weight", "bias"))),
    ),
    Fault(
        "a class predictor's bias left out",
        "torch",
        FIRST,
        "",
        weights=change("class_predictors.0.bias", np.zeros_like),
    ),
]
