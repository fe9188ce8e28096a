"""Faults of Faster R-CNN: of the parts that its backbone does not have, and of where the stages are divided."""

from __future__ import annotations

from typing import Any

import numpy as np

from planting import Fault, both, change, padded, swap, torch_forward


def _other_order(layer: Any, original: Any, crops: Any) -> Any:
    """Take the first half of the channels for the output of the last cell, not of the one before it."""
    import torch

    previous, last = crops.chunk(2, 1)
    return original(torch.cat([last, previous], 1))


def _without_relu(layer: Any, _original: Any, crops: Any) -> Any:
    outputs = [None, *crops.chunk(2, 1)]
    for name in layer.steps:
        layer.run_cell(name, outputs)
    return outputs[-1]


def _columns_first(_layer: Any, original: Any, maps: Any) -> Any:
    """Walk the map column by column."""
    return original([x.transpose(2, 3) for x in maps])


def _nothing(_layer: Any, _original: Any, x: Any) -> Any:
    return x


def _maximum(_layer: Any, _original: Any, x: Any) -> Any:
    return x.amax((2, 3))


def _next_class(values: np.ndarray) -> np.ndarray:
    """Roll the classes' boxes by one."""
    return np.roll(values.reshape(-1, 4, *values.shape[1:]), -1, axis=0).reshape(values.shape)


MODEL = "faster_rcnn_nasnet_20_331"
FIRST, CROPPED, RPN = "Reduction_Cell_1", "rpn_features_to_crop", "rpn_box_predictor_features"

FAULTS = [
    Fault(
        "the RPN's convolution padded before instead of after",
        "torch",
        RPN,
        "",
        network=torch_forward("rpn.conv", padded(2, 0)),
    ),
    Fault("the RPN's ReLU6 left out", "torch", RPN, "", network=torch_forward("rpn.act", _nothing)),
    Fault(
        "boxes column by column", "torch", "rpn_box_encodings", "", network=torch_forward("rpn.boxes", _columns_first)
    ),
    Fault("the halves of a crop swapped", "torch", FIRST, "", network=torch_forward("second_stage", _other_order)),
    Fault(
        "the second stage's last ReLU left out",
        "torch",
        "box_classifier_features",
        "",
        network=torch_forward("second_stage", _without_relu),
    ),
    Fault(
        "a maximum in place of the mean over a crop",
        "torch",
        "refined_box_encodings",
        "",
        network=torch_forward("box_predictor.pool", _maximum),
    ),
    Fault(
        "the boxes of each class off by one",
        "torch",
        "refined_box_encodings",
        "",
        weights=both(*(change(f"box_predictor.boxes.0.{leaf}", _next_class) for leaf in ("weight", "bias"))),
    ),
    Fault(
        "the class scores' bias left out",
        "torch",
        "class_predictions_with_background",
        "constant offset",
        weights=change("box_predictor.classes.bias", np.zeros_like),
    ),
    Fault(
        "kernels of the two cells that the map joins swapped",
        "torch",
        "Cell_10",
        "",
        weights=swap(
            *(f"first_stage.cell_{cell}.comb_iter_0_left.separable_2.depthwise_conv2d.weight" for cell in (10, 11))
        ),
    ),
]
