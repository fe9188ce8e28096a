"""Faults of Inception V3."""

from __future__ import annotations

from typing import Any

import numpy as np

from planting import Fault, Network, both, change, keras_config, padded, swap, torch_epsilon, torch_forward


def _counted(layer: Any, _original: Any, x: Any) -> Any:
    import torch.nn.functional as F

    return F.avg_pool2d(x, layer.kernel, layer.stride, layer.kernel // 2)


def _other_order(network: Network) -> None:
    """Concatenate the branches of a block in another order."""
    block = network.get_submodule("Mixed_5c")
    block.branches = [*block.branches[1:], block.branches[0]]


MODEL = "inception_v3"

BLOCK = "Mixed_5c"

FAULTS = [
    Fault(
        "epsilon 1e-5 in every batch norm of the net",
        "torch",
        "Conv2d_1a_3x3",
        "epsilon",
        module={"porter.nets.inception.torch:EPSILON": 1e-5},
    ),
    Fault(
        "epsilon 1e-5 in one batch norm of a branch",
        "torch",
        BLOCK,
        "branch",
        network=torch_epsilon(f"{BLOCK}.branch5x5_1.bn", 1e-5),
    ),
    Fault(
        "an average pool that counts its padding",
        "torch",
        BLOCK,
        "branch",
        network=torch_forward(f"{BLOCK}.pool", _counted),
    ),
    Fault("branches concatenated in another order", "torch", BLOCK, "other places", network=_other_order),
    Fault(
        "a 1x7 and a 7x1 of two branches swapped",
        "torch",
        "Mixed_6b",
        "branch",
        weights=swap("Mixed_6b.branch7x7dbl_2.conv.weight", "Mixed_6b.branch7x7dbl_4.conv.weight"),
    ),
    Fault(
        "a 3x3 convolution padded 2 before and 0 after",
        "torch",
        "Conv2d_2b_3x3",
        "",
        network=torch_forward("Conv2d_2b_3x3.conv", padded(2, 0)),
    ),
    Fault(
        "a beta left at 0",
        "torch",
        "Conv2d_2b_3x3",
        "",
        weights=change("Conv2d_2b_3x3.bn.bias", np.zeros_like),
    ),
    Fault(
        "Inception V3's classes off by one",
        "torch",
        "Logits",
        "background",
        weights=both(*(change(f"fc.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))),
    ),
    Fault(
        "epsilon 1e-5 in one batch norm of a branch",
        "keras",
        BLOCK,
        "branch",
        network=keras_config("batch_normalization_13", epsilon=1e-5),
    ),
    Fault(
        "Inception V3's classes off by one",
        "keras",
        "Logits",
        "background",
        weights=both(
            *(change(f"predictions/{leaf}", lambda v: np.roll(v, -1, axis=-1)) for leaf in ("kernel", "bias"))
        ),
    ),
]
