"""Faults of MobileNet V3."""

from __future__ import annotations

from typing import Any

import numpy as np

from planting import Fault, both, change, padded, swap, torch_forward


def _swish(layer: Any, _original: Any, x: Any) -> Any:
    import torch.nn.functional as F
    from torch import nn

    return F.silu(nn.BatchNorm2d.forward(layer, x))


def _relu(layer: Any, _original: Any, x: Any) -> Any:
    import torch
    from torch import nn

    return torch.relu(nn.BatchNorm2d.forward(layer, x))


def _identity(_layer: Any, _original: Any, x: Any) -> Any:
    return x


def _soft_gate(layer: Any, _original: Any, x: Any) -> Any:
    """Gate by a sigmoid in place of the hard one."""
    import torch

    return x * torch.sigmoid(layer.conv_expand(torch.relu(layer.conv_reduce(x.mean((-2, -1), keepdim=True)))))


MODEL = "mobilenet_v3_small_0.75_224"

# blocks.2.1 is expanded_conv_4, slim's layer 6: 5x5, hard swish, squeeze-and-excite, a residual.
BLOCK = "blocks.2.1"
SHARED = "porter.nets.inverted_residuals_torch"

FAULTS = [
    Fault("hard swish divides by 6", "torch", "layer_1", "float32", module={f"{SHARED}:SIXTH": 1 / 6}),
    Fault("the gates divide by 6", "torch", "layer_2", "", module={f"{SHARED}:GATE_SIXTH": 1 / 6}),
    Fault(
        "swish for hard swish", "torch", "layer_6/expansion_output", "", network=torch_forward(f"{BLOCK}.bn1", _swish)
    ),
    Fault("ReLU for hard swish", "torch", "layer_6/depthwise_output", "", network=torch_forward(f"{BLOCK}.bn2", _relu)),
    Fault(
        "sigmoid for hard sigmoid in a gate", "torch", "layer_6", "", network=torch_forward(f"{BLOCK}.se", _soft_gate)
    ),
    Fault("a gate left out", "torch", "layer_6", "", network=torch_forward(f"{BLOCK}.se", _identity)),
    Fault(
        "a gate's bias left at 0", "torch", "layer_6", "", weights=change(f"{BLOCK}.se.conv_expand.bias", np.zeros_like)
    ),
    Fault(
        "a 5x5 depthwise padded 1 before and 3 after",
        "torch",
        "layer_6/depthwise_output",
        "",
        network=torch_forward(f"{BLOCK}.conv_dw", padded(1, 3)),
    ),
    Fault("the activation behind the pool left out", "torch", "layer_15", "", network=torch_forward("act2", _identity)),
    Fault(
        "the bias behind the pool left at 0", "torch", "layer_15", "", weights=change("conv_head.bias", np.zeros_like)
    ),
    Fault(
        "MobileNet V3's classes off by one",
        "torch",
        "Logits",
        "background",
        weights=both(*(change(f"classifier.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))),
    ),
    Fault("the gates divide by 6", "keras", "layer_2", "", module={"porter.nets.mobilenet_v3.keras:GATE_SIXTH": 1 / 6}),
    Fault(
        "two gates swapped",
        "keras",
        "layer_6",
        "",
        weights=both(
            *(
                swap(f"expanded_conv_4_squeeze_excite_{leaf}", f"expanded_conv_5_squeeze_excite_{leaf}")
                for leaf in ("conv/kernel", "conv/bias", "conv_1/kernel", "conv_1/bias")
            )
        ),
    ),
    Fault(
        "MobileNet V3's classes off by one",
        "keras",
        "Logits",
        "background",
        weights=both(*(change(f"logits/{leaf}", lambda v: np.roll(v, -1, axis=-1)) for leaf in ("kernel", "bias"))),
    ),
]
