"""Faults of ResNet V1."""

from __future__ import annotations

from typing import Any

import numpy as np

from planting import Fault, both, change, keras_config, padded, swap, torch_epsilon, torch_forward


def _pool_padded_equally(_layer: Any, _original: Any, x: Any) -> Any:
    import torch.nn.functional as F

    return F.max_pool2d(x, 3, 2, padding=1)


def _odd_pixels(layer: Any, _original: Any, x: Any) -> Any:
    """Take the second of every two pixels, the last one of an odd side included."""
    import torch.nn.functional as F

    return F.pad(x, (0, 1, 0, 1), mode="replicate")[..., 1 :: layer.stride, 1 :: layer.stride]


def _activated_before_the_sum(_layer: Any, original: Any, x: Any) -> Any:
    return original(x).relu()


MODEL = "resnet_v1_50@75"
"""Maps of 75, 38, 19, 10, 5 and 3: odd and even ones are halved."""

UNIT, TWIN = "layer3.1", "layer3.2"
SCOPE = "resnet_v1_50/block3/unit_2/bottleneck_v1"

FAULTS = [
    Fault(
        "epsilon 1e-3 in every batch norm of the net",
        "torch",
        "resnet_v1_50/conv1",
        "epsilon",
        module={"porter.nets.resnet_v1.torch:EPSILON": 1e-3},
    ),
    Fault(
        "epsilon 1e-3 in a unit's batch norm",
        "torch",
        f"{SCOPE}/conv3",
        "epsilon",
        network=torch_epsilon(f"{UNIT}.bn3", 1e-3),
    ),
    Fault(
        "SAME in place of equal padding, stride 2",
        "torch",
        "resnet_v1_50/block2/unit_4/bottleneck_v1/conv2",
        "padding",
        network=torch_forward("layer2.3.conv2", padded(0, 1)),
    ),
    Fault(
        "the first pool padded equally",
        "torch",
        "resnet_v1_50/block1/unit_1/bottleneck_v1/shortcut",
        "padding",
        network=torch_forward("maxpool", _pool_padded_equally),
    ),
    Fault(
        "a shortcut that takes the second of every two pixels",
        "torch",
        "resnet_v1_50/block3/unit_6/bottleneck_v1",
        "",
        network=torch_forward("layer3.5.downsample", _odd_pixels),
    ),
    Fault(
        "ReLU before the sum",
        "torch",
        f"{SCOPE}/conv3",
        "",
        network=torch_forward(f"{UNIT}.bn3", _activated_before_the_sum),
    ),
    Fault(
        "gamma and beta of a unit swapped",
        "torch",
        f"{SCOPE}/conv2",
        "batch norm",
        weights=swap(f"{UNIT}.bn2.weight", f"{UNIT}.bn2.bias"),
    ),
    Fault(
        "two units' kernels swapped",
        "torch",
        f"{SCOPE}/conv2",
        "weights",
        weights=swap(f"{UNIT}.conv2.weight", f"{TWIN}.conv2.weight"),
    ),
    Fault(
        "ResNet V1's classes off by one",
        "torch",
        "resnet_v1_50/logits",
        "background",
        weights=both(*(change(f"fc.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))),
    ),
    Fault(
        "epsilon 1e-3 in every batch norm of the net",
        "keras",
        "resnet_v1_50/conv1",
        "epsilon",
        module={"porter.nets.resnet_v1.keras:EPSILON": 1e-3},
    ),
    Fault(
        "epsilon 1e-3 in a unit's batch norm",
        "keras",
        f"{SCOPE}/conv2",
        "epsilon",
        network=keras_config("conv4_block2_2_bn", epsilon=1e-3),
    ),
    Fault(
        "two units' kernels swapped",
        "keras",
        f"{SCOPE}/conv2",
        "weights",
        weights=swap("conv4_block2_2_conv/kernel", "conv4_block3_2_conv/kernel"),
    ),
]
