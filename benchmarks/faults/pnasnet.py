"""Faults of PNASNet-5."""

from __future__ import annotations

from typing import Any

import numpy as np

from planting import (
    Fault,
    Network,
    both,
    change,
    keras_config,
    padded,
    rewire,
    swap,
    swap_scopes,
    torch_epsilon,
    torch_forward,
    unshifted,
    without,
)


def _swapped_inputs(wiring: Any) -> Any:
    """Give the last combination's two branches each other's state."""
    *others, (left, right) = wiring.combinations
    last = (left._replace(state=right.state), right._replace(state=left.state))
    return wiring._replace(combinations=(*others, last))


def _unchained(wiring: Any) -> Any:
    """Let the fourth combination read the second one's state instead of the third one's."""
    *others, (left, right), last = wiring.combinations
    return wiring._replace(combinations=(*others, (left._replace(state=3), right), last))


def _last_cell_twice(network: Network) -> None:
    """Give cell_5 the last output for both inputs."""
    network.steps["cell_5"] = network.steps["cell_5"]._replace(previous=-1)


def _pool(layer: Any, x: Any, before: int, after: int, value: float) -> Any:
    import torch.nn.functional as F

    return F.max_pool2d(F.pad(x, (before, after, before, after), value=value), 3, layer.stride)


def _symmetric(layer: Any, _original: Any, x: Any) -> Any:
    return _pool(layer, x, 1, 1, float("-inf"))


def _pooled_zeros(layer: Any, _original: Any, x: Any) -> Any:
    return _pool(layer, x, 1, 1, 0.0)


MODEL = "pnasnet_mobile"

# cell_2 has stride 1. cell_3 halves a map of 28x28.
LEFT = "cell_2.comb_iter_0_left"

FAULTS = [
    Fault(
        "epsilon 1e-5 in one batch norm of a branch",
        "torch",
        "Cell_2",
        "",
        network=torch_epsilon(f"{LEFT}.bn_sep_1", 1e-5),
    ),
    Fault(
        "two branches' depthwise kernels swapped",
        "torch",
        "Cell_2",
        "branch",
        weights=swap(
            "cell_2.comb_iter_2_right.separable_1.depthwise_conv2d.weight",
            "cell_2.comb_iter_4_left.separable_1.depthwise_conv2d.weight",
        ),
    ),
    Fault(
        "a branch's first and second separable swapped",
        "torch",
        "Cell_2",
        "branch",
        weights=swap_scopes(f"{LEFT}.separable_1.", f"{LEFT}.separable_2."),
    ),
    Fault("a combination's two inputs swapped", "torch", "Cell_2", "branch", network=rewire("cell_2", _swapped_inputs)),
    Fault("a combination reads another's output", "torch", "Cell_2", "branch", network=rewire("cell_2", _unchained)),
    Fault("the last cell for the one before it", "torch", "Cell_5", "", network=_last_cell_twice),
    Fault(
        "outputs concatenated in another order",
        "torch",
        "Cell_2",
        "other places",
        network=rewire("cell_2", lambda wiring: wiring._replace(output=(*wiring.output[1:], wiring.output[0]))),
    ),
    Fault(
        "a maximum pool that pools zeros",
        "torch",
        "Cell_2",
        "border",
        network=torch_forward("cell_2.comb_iter_1_right", _pooled_zeros),
    ),
    Fault(
        "a strided maximum pool padded on both sides",
        "torch",
        "Cell_3",
        "branch",
        network=torch_forward("cell_3.comb_iter_0_right", _symmetric),
    ),
    Fault(
        "a strided separable padded on both sides",
        "torch",
        "Cell_3",
        "branch",
        network=torch_forward("cell_3.comb_iter_1_left.separable_1.depthwise_conv2d", padded(3, 3)),
    ),
    Fault(
        "a strided identity without its ReLU",
        "torch",
        "Cell_3",
        "branch",
        network=without("cell_3.comb_iter_4_right.relu"),
    ),
    Fault(
        "factorized reduction without its shift",
        "torch",
        "Cell_4",
        "branch",
        network=unshifted("cell_4.conv_prev_1x1.path_2"),
    ),
    Fault(
        "factorized reduction's paths swapped",
        "torch",
        "Cell_4",
        "branch",
        weights=swap("cell_4.conv_prev_1x1.path_1.conv.weight", "cell_4.conv_prev_1x1.path_2.conv.weight"),
    ),
    Fault("the last ReLU left out", "torch", "global_pool", "", network=without("relu")),
    Fault(
        "PNASNet's classes off by one",
        "torch",
        "Logits",
        "background",
        weights=both(*(change(f"last_linear.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))),
    ),
]

HALVING = "normal_P_block_4/adjust_block/adjust_reduction_block_4"

FAULTS += [
    Fault(
        "epsilon 1e-5 in one batch norm of a branch",
        "keras",
        "Cell_2",
        "branch",
        network=keras_config("separable_conv_1_bn_normal_left1_2", epsilon=1e-5),
    ),
    Fault(
        "factorized reduction without its shift",
        "keras",
        "Cell_4",
        "branch",
        network=keras_config("adjust_avg_pool_2_4_crop", cropping=((0, 1), (0, 1))),
    ),
    Fault(
        "factorized reduction's paths swapped",
        "keras",
        "Cell_4",
        "branch",
        weights=swap(f"{HALVING}/adjust_conv_1_4/kernel", f"{HALVING}/adjust_conv_2_4/kernel"),
    ),
    Fault(
        "PNASNet's classes off by one",
        "keras",
        "Logits",
        "background",
        weights=both(
            *(change(f"predictions/{leaf}", lambda v: np.roll(v, -1, axis=-1)) for leaf in ("kernel", "bias"))
        ),
    ),
]
