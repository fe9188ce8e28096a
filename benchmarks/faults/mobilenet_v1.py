"""Faults of MobileNet V1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from planting import Fault, Network, Tensors, both, change, keras_config, padded, swap, torch_epsilon, torch_forward


def _raw_for_average(tensors: Tensors) -> None:
    """Move every tensor a little and by different amounts, as the last steps of training do."""
    for name, value in tensors.items():
        draw = np.random.default_rng(len(name) + value.size)
        tensors[name] = (value * (1 + 1e-3 * draw.standard_normal(value.shape))).astype(value.dtype)


def _every(leaf: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensors], None]:
    def plant(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.endswith(leaf)]:
            tensors[name] = np.ascontiguousarray(change(tensors[name]))

    return plant


def _plain_relu(layer: Any, _original: Any, x: Any) -> Any:
    import torch
    from torch import nn

    return torch.relu(nn.BatchNorm2d.forward(layer, x))


def _no_activation(layer: Any, _original: Any, x: Any) -> Any:
    from torch import nn

    return nn.BatchNorm2d.forward(layer, x)


def _counting_pool(_layer: Any, _original: Any, x: Any) -> Any:
    """Put a 3x3 average pool before the last pool, whose zero padding counts."""
    import torch.nn.functional as F

    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=True).mean((-2, -1))


def _padded_pool(_layer: Any, _original: Any, x: Any) -> Any:
    """Count the zeros of a padding in the average of the whole map."""
    area = x.shape[-1] * x.shape[-2]
    return x.sum((-2, -1)) / (area + 2 * (x.shape[-1] + x.shape[-2]) + 4)


def _shuffled(_layer: Any, original: Any, x: Any) -> Any:
    return original(x).flip(1)


def _turned(_layer: Any, original: Any, x: Any) -> Any:
    return original(x).transpose(-2, -1)


def _in_float32(_layer: Any, original: Any, x: Any) -> Any:
    return original(x).float().to(x.dtype)


def _scaled_input(network: Network) -> Any:
    """Preprocess the input a second time, inside the module."""
    network.register_forward_pre_hook(lambda _module, inputs: (inputs[0] / 2 + 0.5,))
    return network


def _bgr(network: Network) -> Any:
    network.register_forward_pre_hook(lambda _module, inputs: (inputs[0].flip(1),))
    return network


def _training_mode(network: Network) -> Any:
    """Keep the batch norms in training mode: they ignore train() and eval()."""
    for layer in network.modules():
        if type(layer).__name__ == "BatchNormReLU6":
            layer.train = lambda mode=True, layer=layer: layer
            layer.training = True
    return network


def _identity(_layer: Any, _original: Any, x: Any) -> Any:
    return x


def _swap_blocks(network: Network) -> Network:
    """Run two neighbouring blocks in the other order. Each keeps its name, and so its endpoints."""
    stage = network.blocks[3]
    blocks = list(stage)
    blocks[1], blocks[2] = blocks[2], blocks[1]

    def forward(x: Any) -> Any:
        for block in blocks:
            x = block(x)
        return x

    stage.forward = forward
    return network


MODEL = "mobilenet_v1_0.25_128"

DW5, PW5 = "blocks.2.1.conv_dw.weight", "blocks.2.1.conv_pw.weight"
NORM = "blocks.2.1.bn1"
M, L = "porter.nets.mobilenet_v1", "porter.nets.layers_torch"

FAULTS = [
    Fault("epsilon 1e-5 in every batch norm", "torch", "Conv2d_0", "epsilon", module={f"{M}.torch:EPSILON": 1e-5}),
    Fault(
        "epsilon 1e-5 in one batch norm", "torch", "Conv2d_5_depthwise", "epsilon", network=torch_epsilon(NORM, 1e-5)
    ),
    Fault(
        "epsilon rounded to float32",
        "torch",
        "Conv2d_0",
        "float32",
        module={f"{M}.torch:EPSILON": float(np.float32(1e-3))},
    ),
    Fault(
        "symmetric padding, stride 2",
        "torch",
        "Conv2d_0",
        "padding",
        module={f"{L}:same_padding": lambda _size, kernel, _stride: ((kernel - 1) // 2, (kernel - 1) // 2)},
    ),
    Fault(
        "padding before instead of after",
        "torch",
        "Conv2d_6_depthwise",
        "padding",
        network=torch_forward("blocks.3.0.conv_dw", padded(1, 0)),
    ),
    Fault(
        "padding that replicates the border",
        "torch",
        "Conv2d_5_depthwise",
        "borders",
        network=torch_forward("blocks.2.1.conv_dw", padded(1, 1, "replicate")),
    ),
    Fault(
        "padding that reflects the border",
        "torch",
        "Conv2d_5_depthwise",
        "borders",
        network=torch_forward("blocks.2.1.conv_dw", padded(1, 1, "reflect")),
    ),
    Fault(
        "plain ReLU for ReLU6",
        "torch",
        "Conv2d_5_pointwise",
        "ReLU6",
        network=torch_forward("blocks.2.1.bn2", _plain_relu),
    ),
    Fault(
        "activation left out",
        "torch",
        "Conv2d_5_pointwise",
        "activation",
        network=torch_forward("blocks.2.1.bn2", _no_activation),
    ),
    Fault(
        "mean and variance swapped",
        "torch",
        "Conv2d_5_depthwise",
        "",
        weights=swap(f"{NORM}.running_mean", f"{NORM}.running_var"),
    ),
    Fault(
        "gamma and beta swapped",
        "torch",
        "Conv2d_5_depthwise",
        "batch norm",
        weights=swap(f"{NORM}.weight", f"{NORM}.bias"),
    ),
    Fault(
        "gamma left at 1", "torch", "Conv2d_5_depthwise", "batch norm", weights=change(f"{NORM}.weight", np.ones_like)
    ),
    Fault("beta left at 0", "torch", "Conv2d_5_depthwise", "offset", weights=change(f"{NORM}.bias", np.zeros_like)),
    Fault(
        "moving mean left at 0",
        "torch",
        "Conv2d_5_depthwise",
        "offset",
        weights=change(f"{NORM}.running_mean", np.zeros_like),
    ),
    Fault(
        "variance for its root",
        "torch",
        "Conv2d_5_depthwise",
        "batch norm",
        weights=change(f"{NORM}.running_var", np.square),
    ),
    Fault("batch norm in training mode", "torch", "Conv2d_0", "", network=_training_mode),
    Fault(
        "depthwise kernel's H and W swapped",
        "torch",
        "Conv2d_5_depthwise",
        "axis order",
        weights=change(DW5, lambda w: w.swapaxes(2, 3)),
    ),
    Fault(
        "depthwise kernel flipped",
        "torch",
        "Conv2d_5_depthwise",
        "axis order",
        weights=change(DW5, lambda w: w[..., ::-1, ::-1]),
    ),
    Fault(
        "pointwise kernel's I and O mixed",
        "torch",
        "Conv2d_5_pointwise",
        "axis order",
        weights=change(PW5, lambda w: w.swapaxes(0, 1).reshape(w.shape)),
    ),
    Fault(
        "stem's input channels reversed",
        "torch",
        "Conv2d_0",
        "",
        weights=change("conv_stem.weight", lambda w: w[:, ::-1]),
    ),
    Fault(
        "output channels in another order",
        "torch",
        "Conv2d_5_pointwise",
        "permuted",
        network=torch_forward("blocks.2.1.bn2", _shuffled),
    ),
    Fault(
        "height and width swapped",
        "torch",
        "Conv2d_5_pointwise",
        "height and width",
        network=torch_forward("blocks.2.1.bn2", _turned),
    ),
    Fault(
        "two blocks' kernels swapped",
        "torch",
        "Conv2d_7_depthwise",
        "weights",
        weights=swap("blocks.3.1.conv_dw.weight", "blocks.3.2.conv_dw.weight"),
    ),
    Fault(
        "two blocks run in the other order",
        "torch",
        "Conv2d_7_depthwise",
        "",
        network=_swap_blocks,
    ),
    # The skipped block has no endpoints: the next block's is the first that diverges.
    Fault("a block skipped", "torch", "Conv2d_9_depthwise", "skipped", network=torch_forward("blocks.3.2", _identity)),
    Fault(
        "a block's result left out",
        "torch",
        "Conv2d_7_pointwise",
        "",
        network=torch_forward("blocks.3.1.bn2", lambda _l, _o, x: x * 0),
    ),
    Fault("a batch norm skipped", "torch", "Conv2d_5_depthwise", "", network=torch_forward(NORM, _identity)),
    Fault(
        "the last pool counts its padding",
        "torch",
        "AvgPool_1a",
        "pool",
        network=torch_forward("global_pool", _padded_pool),
    ),
    Fault(
        "a padded pool before the last",
        "torch",
        "AvgPool_1a",
        "pool",
        network=torch_forward("global_pool", _counting_pool),
    ),
    Fault("the last pool's window is 3x3", "torch", "AvgPool_1a", "pool", module={f"{M}.torch:POOL": 3}),
    Fault(
        "classes off by one",
        "torch",
        "Logits",
        "background",
        weights=both(*(change(f"classifier.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))),
    ),
    Fault("the classifier's bias left out", "torch", "Logits", "", weights=change("classifier.bias", np.zeros_like)),
    Fault(
        "the background class's row zeroed",
        "torch",
        "Logits",
        "one class",
        weights=change("classifier.weight", lambda w: np.concatenate([w[:1] * 0, w[1:]])),
    ),
    Fault("raw weights for averages", "torch", "Conv2d_0", "averages", weights=_raw_for_average),
    Fault(
        "weights rounded to float16",
        "torch",
        "Conv2d_0",
        "weights",
        weights=_every("", lambda v: v.astype(np.float16).astype(v.dtype)),
    ),
    Fault(
        "one layer computes in float32",
        "torch",
        "Conv2d_5_depthwise",
        "float32",
        network=torch_forward(NORM, _in_float32),
    ),
    Fault("images in [0, 1] for [-1, 1]", "torch", "Conv2d_0", "", network=_scaled_input),
    Fault("BGR for RGB", "torch", "Conv2d_0", "", network=_bgr),
    Fault("epsilon 1e-5 in every batch norm", "keras", "Conv2d_0", "epsilon", module={f"{M}.keras:EPSILON": 1e-5}),
    Fault(
        "epsilon 1e-2 in one batch norm",
        "keras",
        "Conv2d_5_depthwise",
        "epsilon",
        network=keras_config("conv_dw_5_bn", epsilon=1e-2),
    ),
    Fault(
        "plain ReLU for ReLU6",
        "keras",
        "Conv2d_5_pointwise",
        "ReLU6",
        network=keras_config("conv_pw_5_relu", max_value=None),
    ),
    Fault(
        "leaky ReLU",
        "keras",
        "Conv2d_5_pointwise",
        "below 0",
        network=keras_config("conv_pw_5_relu", negative_slope=0.1),
    ),
    Fault(
        "gamma and beta swapped",
        "keras",
        "Conv2d_5_depthwise",
        "batch norm",
        weights=swap("conv_dw_5_bn/gamma", "conv_dw_5_bn/beta"),
    ),
    Fault(
        "mean and variance swapped",
        "keras",
        "Conv2d_5_depthwise",
        "",
        weights=swap("conv_dw_5_bn/moving_mean", "conv_dw_5_bn/moving_variance"),
    ),
    Fault(
        "depthwise kernel's H and W swapped",
        "keras",
        "Conv2d_5_depthwise",
        "axis order",
        weights=change("conv_dw_5/kernel", lambda w: w.swapaxes(0, 1)),
    ),
    Fault(
        "two blocks' kernels swapped",
        "keras",
        "Conv2d_7_depthwise",
        "weights",
        weights=swap("conv_dw_7/kernel", "conv_dw_8/kernel"),
    ),
    Fault(
        "classes off by one",
        "keras",
        "Logits",
        "background",
        weights=both(
            change("conv_preds/kernel", lambda v: np.roll(v, -1, axis=-1)),
            change("conv_preds/bias", lambda v: np.roll(v, -1, axis=0)),
        ),
    ),
]
