"""Faults of NASNet-A."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from planting import (
    Fault,
    Network,
    Tensors,
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
    """Give the first combination's two branches each other's state."""
    (left, right), *others = wiring.combinations
    first = (left._replace(state=right.state), right._replace(state=left.state))
    return wiring._replace(combinations=(first, *others))


def _cell_before_last(network: Network) -> None:
    """Give cell_3 a second input from one cell too far back."""
    network.steps["cell_3"] = network.steps["cell_3"]._replace(previous=-3)


def _counted(layer: Any, _original: Any, x: Any) -> Any:
    import torch.nn.functional as F

    from porter.nets.layers_torch import same_padding

    before = [same_padding(size, layer.kernel, layer.stride)[0] for size in x.shape[-2:]]
    return F.avg_pool2d(x, layer.kernel, layer.stride, before, ceil_mode=True, count_include_pad=True)


def _counted_everywhere(self: Any, x: Any) -> Any:
    return _counted(self, None, x)


def _zeros_then_valid(layer: Any, _original: Any, x: Any) -> Any:
    """Pad zeros on both sides, then pool without padding, as keras.applications does."""
    import torch.nn.functional as F

    pool = F.max_pool2d if type(layer).__name__.startswith("Max") else F.avg_pool2d
    padded = F.pad(x, (1, 1, 1, 1))
    return pool(padded[..., padded.shape[-2] % 2 == 0 :, padded.shape[-1] % 2 == 0 :], layer.kernel, layer.stride)


def _without_relu(layer: Any, _original: Any, x: Any) -> Any:
    """Leave out the first ReLU of the separables."""
    x = layer.bn_sep_1(layer.separable_1(x))
    return layer.bn_sep_2(layer.separable_2(x.clamp(min=0)))


def _nothing(_layer: Any, original: Any, x: Any) -> Any:
    return original(x) * 0


def _swap_keras_cells(tensors: Tensors) -> None:
    """Swap the cells 2 and 3. Every layer and scope name ends in the number of its cell."""
    for name in [name for name in tensors if name.startswith("normal_A_block_2/")]:
        twin = "/".join(re.sub("_2$", "_3", part) if part != "block_2" else part for part in name.split("/"))
        tensors[name], tensors[twin] = tensors[twin], tensors[name]


def _keras_zeros_then_valid(x: Any, stride: int, dtype: str, name: str) -> Any:
    """Pad zeros on both sides, then pool without padding, as keras.applications does."""
    from keras import layers

    if stride == 1:
        return layers.AveragePooling2D(3, 1, "same", "channels_last", dtype=dtype, name=name)(x)
    before = x.shape[1] % 2
    pad = layers.ZeroPadding2D(((before, 1), (before, 1)), "channels_last", dtype=dtype, name=f"{name}_pad")
    return layers.AveragePooling2D(3, 2, "valid", "channels_last", dtype=dtype, name=name)(pad(x))


MODEL = "nasnet_cifar"

LEFT, RIGHT = "cell_2.comb_iter_0_left", "cell_2.comb_iter_0_right"

FAULTS = [
    Fault(
        "epsilon 1e-3 in one batch norm of a branch",
        "torch",
        "Cell_2",
        "",
        network=torch_epsilon(f"{LEFT}.bn_sep_1", 1e-3),
    ),
    Fault(
        "two branches' depthwise kernels swapped",
        "torch",
        "Cell_2",
        "branch",
        weights=swap(
            "cell_2.comb_iter_0_left.separable_1.depthwise_conv2d.weight",
            "cell_2.comb_iter_1_left.separable_1.depthwise_conv2d.weight",
        ),
    ),
    Fault(
        "two branches swapped whole",
        "torch",
        "Cell_2",
        "branch",
        weights=swap_scopes("cell_2.comb_iter_0_left.", "cell_2.comb_iter_1_left."),
    ),
    Fault(
        "a branch's first and second separable swapped",
        "torch",
        "Cell_2",
        "branch",
        weights=swap_scopes(f"{LEFT}.separable_1.", f"{LEFT}.separable_2."),
    ),
    Fault("two cells swapped", "torch", "Cell_2", "", weights=swap_scopes("cell_2.", "cell_3.")),
    Fault("a combination's two inputs swapped", "torch", "Cell_2", "branch", network=rewire("cell_2", _swapped_inputs)),
    Fault("the wrong cell before", "torch", "Cell_3", "", network=_cell_before_last),
    Fault(
        "an add skipped: the right branch left out",
        "torch",
        "Cell_2",
        "branch",
        network=torch_forward(RIGHT, _nothing),
    ),
    Fault(
        "an add skipped: an identity left out",
        "torch",
        "Cell_2",
        "branch",
        network=torch_forward("cell_2.comb_iter_4_right", _nothing),
    ),
    Fault(
        "outputs concatenated in another order",
        "torch",
        "Cell_2",
        "other places",
        network=rewire("cell_2", lambda wiring: wiring._replace(output=(*wiring.output[1:], wiring.output[0]))),
    ),
    Fault("factorized reduction without its shift", "torch", "Cell_6", "", network=unshifted("cell_6.path_2")),
    Fault(
        "factorized reduction's paths swapped",
        "torch",
        "Cell_6",
        "",
        weights=swap("cell_6.path_1.conv.weight", "cell_6.path_2.conv.weight"),
    ),
    Fault(
        "average pools that count their padding",
        "torch",
        "Cell_0",
        "",
        module={"porter.nets.layers_torch:AvgPool2dSame.forward": _counted_everywhere},
    ),
    Fault(
        "one average pool that counts its padding",
        "torch",
        "Cell_2",
        "border",
        network=torch_forward("cell_2.comb_iter_2_left", _counted),
    ),
    Fault(
        "a reduction's average pool: zeros, then valid",
        "torch",
        "Reduction_Cell_0",
        "",
        network=torch_forward("reduction_cell_0.comb_iter_2_left", _zeros_then_valid),
    ),
    Fault(
        "a reduction's maximum pool: zeros, then valid",
        "torch",
        "Reduction_Cell_0",
        "",
        network=torch_forward("reduction_cell_0.comb_iter_1_left", _zeros_then_valid),
    ),
    Fault("a branch's first ReLU left out", "torch", "Cell_2", "branch", network=torch_forward(LEFT, _without_relu)),
    Fault(
        "a 5x5 kernel padded 1 before and 3 after",
        "torch",
        "Cell_2",
        "branch",
        network=torch_forward(f"{LEFT}.separable_1.depthwise_conv2d", padded(1, 3)),
    ),
    Fault(
        "a separable's H and W swapped",
        "torch",
        "Cell_2",
        "branch",
        weights=change(f"{LEFT}.separable_1.depthwise_conv2d.weight", lambda w: w.swapaxes(2, 3)),
    ),
    Fault(
        "batch norms of the two inputs swapped",
        "torch",
        "Cell_2",
        "",
        weights=swap_scopes("cell_2.conv_1x1.bn.", "cell_2.conv_prev_1x1.bn."),
    ),
    Fault("the last ReLU left out", "torch", "global_pool", "", network=without("relu")),
    Fault(
        "NASNet's classes off by one",
        "torch",
        "Logits",
        "background",
        weights=both(*(change(f"last_linear.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))),
    ),
]

KLEFT = "separable_conv_block_normal_left1_2/separable_conv_1_normal_left1_2"
BLOCK = "normal_A_block_2/block_1"

FAULTS += [
    Fault(
        "two branches' depthwise kernels swapped",
        "keras",
        "Cell_2",
        "branch",
        weights=swap(
            f"{BLOCK}/{KLEFT}/depthwise_kernel",
            "normal_A_block_2/block_2/separable_conv_block_normal_left2_2/separable_conv_1_normal_left2_2/depthwise_kernel",
        ),
    ),
    Fault("two cells swapped", "keras", "Cell_2", "", weights=_swap_keras_cells),
    Fault(
        "a separable's H and W swapped",
        "keras",
        "Cell_2",
        "branch",
        weights=change(f"{BLOCK}/{KLEFT}/depthwise_kernel", lambda w: w.swapaxes(0, 1)),
    ),
    Fault(
        "epsilon 1e-3 in one batch norm of a branch",
        "keras",
        "Cell_2",
        "branch",
        network=keras_config("separable_conv_1_bn_normal_left1_2", epsilon=1e-3),
    ),
    Fault(
        "a reduction's average pool: VALID for SAME's padding, zeros first",
        "keras",
        "Reduction_Cell_0",
        "",
        module={"porter.nets.nasnet.keras:average_pool_same": _keras_zeros_then_valid},
    ),
    Fault(
        "factorized reduction's paths swapped",
        "keras",
        "Cell_6",
        "",
        weights=swap(
            "normal_A_block_7/adjust_block/adjust_reduction_block_7/adjust_conv_1_7/kernel",
            "normal_A_block_7/adjust_block/adjust_reduction_block_7/adjust_conv_2_7/kernel",
        ),
    ),
    Fault(
        "factorized reduction without its shift",
        "keras",
        "Cell_6",
        "",
        network=keras_config("adjust_avg_pool_2_7_crop", cropping=((0, 1), (0, 1))),
    ),
    Fault(
        "NASNet's classes off by one",
        "keras",
        "Logits",
        "background",
        weights=both(
            change("predictions/kernel", lambda v: np.roll(v, -1, axis=-1)),
            change("predictions/bias", lambda v: np.roll(v, -1, axis=0)),
        ),
    ),
]
