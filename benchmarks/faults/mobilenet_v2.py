"""Faults of MobileNet V2."""

from __future__ import annotations

from typing import Any

import numpy as np

from planting import Fault, Network, both, change, keras_config, padded, swap, torch_epsilon, torch_forward


def _plain_relu(layer: Any, _original: Any, x: Any) -> Any:
    import torch
    from torch import nn

    return torch.relu(nn.BatchNorm2d.forward(layer, x))


def _relu6_behind(_layer: Any, original: Any, x: Any) -> Any:
    return original(x).clamp(0, 6)


def _no_residual(network: Network) -> None:
    network.get_submodule("blocks.2.1").residual = False


def _residual_of_the_expansion(layer: Any, original: Any, x: Any) -> Any:
    """Add the input a second time."""
    return original(x) + x


def _dropping(_layer: Any, _original: Any, x: Any) -> Any:
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    return F.dropout(x, 0.2, training=True)


MODEL = "mobilenet_v2_0.35_96"

# blocks.2.1 is expanded_conv_4, slim's layer 6: stride 1, with a residual.
BLOCK, TWIN = "blocks.2.1", "blocks.2.2"

FAULTS = [
    Fault(
        "epsilon 1e-5 in every batch norm of the net",
        "torch",
        "layer_1",
        "epsilon",
        module={"porter.nets.inverted_residuals_torch:EPSILON": 1e-5},
    ),
    Fault(
        "epsilon 1e-5 in an expansion's batch norm",
        "torch",
        "layer_6/expansion_output",
        "epsilon",
        network=torch_epsilon(f"{BLOCK}.bn1", 1e-5),
    ),
    Fault(
        "a block's depthwise padded before instead of after",
        "torch",
        "layer_5/depthwise_output",
        "padding",
        network=torch_forward("blocks.2.0.conv_dw", padded(1, 0)),
    ),
    Fault(
        "plain ReLU for an expansion's ReLU6",
        "torch",
        "layer_4/expansion_output",
        "ReLU6",
        network=torch_forward("blocks.1.1.bn1", _plain_relu),
    ),
    Fault(
        "ReLU6 behind a linear projection",
        "torch",
        "layer_5",
        "",
        network=torch_forward("blocks.2.0.bn3", _relu6_behind),
    ),
    Fault("a residual left out", "torch", "layer_6", "", network=_no_residual),
    Fault("a residual added twice", "torch", "layer_6", "", network=torch_forward(BLOCK, _residual_of_the_expansion)),
    Fault(
        "gamma and beta of an expansion swapped",
        "torch",
        "layer_6/expansion_output",
        "batch norm",
        weights=swap(f"{BLOCK}.bn1.weight", f"{BLOCK}.bn1.bias"),
    ),
    Fault(
        "two blocks' depthwise kernels swapped",
        "torch",
        "layer_6/depthwise_output",
        "weights",
        weights=swap(f"{BLOCK}.conv_dw.weight", f"{TWIN}.conv_dw.weight"),
    ),
    Fault(
        "two blocks' projections swapped",
        "torch",
        "layer_6",
        "",
        weights=swap(f"{BLOCK}.conv_pwl.weight", f"{TWIN}.conv_pwl.weight"),
    ),
    Fault("dropout on", "torch", "Logits", "", network=torch_forward("dropout", _dropping)),
    Fault(
        "MobileNet V2's classes off by one",
        "torch",
        "Logits",
        "background",
        weights=both(*(change(f"classifier.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))),
    ),
    Fault(
        "epsilon 1e-5 in every batch norm of the net",
        "keras",
        "layer_1",
        "epsilon",
        module={"porter.nets.mobilenet_v2.keras:EPSILON": 1e-5},
    ),
    Fault(
        "plain ReLU for an expansion's ReLU6",
        "keras",
        "layer_4/expansion_output",
        "ReLU6",
        network=keras_config("block_2_expand_relu", max_value=None),
    ),
    Fault(
        "two blocks' depthwise kernels swapped",
        "keras",
        "layer_6/depthwise_output",
        "weights",
        weights=swap("block_4_depthwise/kernel", "block_5_depthwise/kernel"),
    ),
    Fault(
        "MobileNet V2's classes off by one",
        "keras",
        "Logits",
        "background",
        weights=both(
            *(change(f"predictions/{leaf}", lambda v: np.roll(v, -1, axis=-1)) for leaf in ("kernel", "bias"))
        ),
    ),
]
