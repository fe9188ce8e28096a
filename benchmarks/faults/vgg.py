"""Faults of VGG."""

from __future__ import annotations

import numpy as np

from planting import Fault, both, change, swap, torch_forward

MODEL = "vgg_16"


def _channels_first(kernel: np.ndarray) -> np.ndarray:
    """Read the flattened map in PyTorch's order, channels first."""
    inputs, outputs = kernel.shape
    return kernel.reshape(7, 7, inputs // 49, outputs).transpose(2, 0, 1, 3).reshape(inputs, outputs)


FAULTS = [
    Fault(
        "a convolution's bias left out",
        "torch",
        "vgg_16/conv3/conv3_2",
        "",
        weights=change("features.12.bias", np.zeros_like),
    ),
    Fault(
        "two convolutions' kernels swapped",
        "torch",
        "vgg_16/conv5/conv5_1",
        "weights",
        weights=swap("features.24.weight", "features.26.weight"),
    ),
    Fault(
        "no ReLU behind a fully connected layer",
        "torch",
        "vgg_16/fc6",
        "missing activation",
        network=torch_forward("pre_logits.act1", lambda _layer, _original, x: x),
    ),
    Fault(
        "VGG's classes off by one",
        "torch",
        "vgg_16/fc8",
        "background",
        weights=both(*(change(f"head.fc.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))),
    ),
    Fault(
        "the map flattened channels first",
        "keras",
        "vgg_16/fc6",
        "",
        weights=change("fc1/kernel", _channels_first),
    ),
]
