"""Faults of ResNet V2."""

from __future__ import annotations

from typing import Any

import numpy as np

from planting import Fault, Network, both, change, keras_config, swap, torch_epsilon, torch_forward


def _zero(value: np.ndarray) -> np.ndarray:
    return np.zeros_like(value)


def _shortcut_before_the_activation(network: Network) -> None:
    """Project the unit's input itself, as ResNet V1 does."""
    network.stages[1].blocks[0].projected = False


def _no_activation(layer: Any, _original: Any, x: Any) -> Any:
    from torch import nn

    return nn.BatchNorm2d.forward(layer, x)


def _pool_of_zeros(_layer: Any, _original: Any, x: Any) -> Any:
    """Pad with zeros before the pool, as keras.applications does: there is no ReLU in front that makes it harmless."""
    import torch.nn.functional as F

    even = x.shape[-1] % 2 == 0
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1) if even else (1, 1, 1, 1)), 3, 2)


MODEL = "resnet_v2_50@75"
"""Maps of 75, 38, 19, 10, 5 and 3: odd and even ones are halved."""

UNIT, TWIN = "stages.2.blocks.1", "stages.2.blocks.2"
SCOPE = "resnet_v2_50/block3/unit_2/bottleneck_v2"

FAULTS = [
    Fault(
        "epsilon 1e-3 in every batch norm of the net",
        "torch",
        "resnet_v2_50/block1/unit_1/bottleneck_v2/shortcut",
        "",
        module={"porter.nets.resnet_v2.torch:EPSILON": 1e-3},
    ),
    Fault(
        "epsilon 1e-3 in a unit's batch norm",
        "torch",
        f"{SCOPE}/conv2",
        "epsilon",
        network=torch_epsilon(f"{UNIT}.norm3", 1e-3),
    ),
    Fault(
        "a convolution's bias left out",
        "torch",
        f"{SCOPE}/conv3",
        "bias",
        weights=change(f"{UNIT}.conv3.bias", _zero),
    ),
    Fault(
        "the first convolution's bias left out",
        "torch",
        "resnet_v2_50/conv1",
        "bias",
        weights=change("stem.conv.bias", _zero),
    ),
    Fault(
        "the first pool padded with zeros",
        "torch",
        "resnet_v2_50/block1/unit_1/bottleneck_v2/shortcut",
        "",
        network=torch_forward("stem.pool", _pool_of_zeros),
    ),
    Fault(
        "a shortcut of the input before its activation",
        "torch",
        "resnet_v2_50/block2/unit_1/bottleneck_v2/shortcut",
        "",
        network=_shortcut_before_the_activation,
    ),
    Fault(
        "no ReLU behind a unit's batch norm",
        "torch",
        f"{SCOPE}/conv1",
        "missing activation",
        network=torch_forward(f"{UNIT}.norm2", _no_activation),
    ),
    Fault("no last batch norm", "torch", "global_pool", "", network=torch_forward("norm", lambda _l, _o, x: x)),
    Fault(
        "two units' kernels swapped",
        "torch",
        f"{SCOPE}/conv2",
        "weights",
        weights=swap(f"{UNIT}.conv2.weight", f"{TWIN}.conv2.weight"),
    ),
    Fault(
        "ResNet V2's classes off by one",
        "torch",
        "resnet_v2_50/logits",
        "background",
        weights=both(*(change(f"head.fc.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))),
    ),
    Fault(
        "epsilon 1e-3 in a unit's batch norm",
        "keras",
        f"{SCOPE}/conv2",
        "epsilon",
        network=keras_config("conv4_block2_2_bn", epsilon=1e-3),
    ),
    Fault(
        "a convolution's bias left out",
        "keras",
        f"{SCOPE}/conv3",
        "bias",
        weights=change("conv4_block2_3_conv/bias", _zero),
    ),
]
