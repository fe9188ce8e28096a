"""Single mistakes, planted one at a time: what each changes, where it sits, and what the guess should say.

A fault is planted by changing the code, the weights, or the network that was built; ``diverges`` is the endpoint in
which the changed layer sits. FAULTS has a list for every architecture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]
Network = Any


@dataclass(frozen=True)
class Fault:
    """One mistake in ``framework``.

    ``weights`` changes the ported tensors, ``network`` the network that was built, ``module`` attributes of porter's
    modules while it is built and run. ``cause`` is a word that the guessed cause has, empty where none is expected.
    """

    name: str
    framework: str
    diverges: str
    cause: str
    weights: Callable[[Tensors], None] | None = None
    network: Callable[[Network], Any] | None = None
    module: Mapping[str, Any] | None = None


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """Change the attributes that ``fault.module`` names, as "module:Class.attribute", and restore them."""
    from importlib import import_module

    changed = []
    for place, value in (fault.module or {}).items():
        module, _, path = place.partition(":")
        owner: Any = import_module(module)
        *outer, attribute = path.split(".")
        for name in outer:
            owner = getattr(owner, name)
        changed.append((owner, attribute, getattr(owner, attribute)))
        setattr(owner, attribute, value)
    try:
        yield
    finally:
        for owner, attribute, value in changed:
            setattr(owner, attribute, value)


# ---- weights, the same in every framework: names are found by what they hold


def _swap(one: str, other: str) -> Callable[[Tensors], None]:
    def plant(tensors: Tensors) -> None:
        tensors[one], tensors[other] = tensors[other], tensors[one]

    return plant


def _change(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensors], None]:
    def plant(tensors: Tensors) -> None:
        tensors[name] = np.ascontiguousarray(change(tensors[name]))

    return plant


def _both(*plants: Callable[[Tensors], None]) -> Callable[[Tensors], None]:
    def plant(tensors: Tensors) -> None:
        for one in plants:
            one(tensors)

    return plant


def _every(leaf: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensors], None]:
    def plant(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.endswith(leaf)]:
            tensors[name] = np.ascontiguousarray(change(tensors[name]))

    return plant


def _raw_for_average(tensors: Tensors) -> None:
    """Move every tensor a little, as its last steps of training would have, and not all alike."""
    for name, value in tensors.items():
        draw = np.random.default_rng(len(name) + value.size)
        tensors[name] = (value * (1 + 1e-3 * draw.standard_normal(value.shape))).astype(value.dtype)


# ---- PyTorch


def _torch_epsilon(name: str, epsilon: float) -> Callable[[Network], None]:
    def plant(network: Network) -> None:
        network.get_submodule(name).eps = epsilon

    return plant


def _torch_forward(name: str, forward: Callable[..., Any]) -> Callable[[Network], None]:
    """Replace a layer's forward by ``forward(layer, original, x)``."""

    def plant(network: Network) -> None:
        layer = network.get_submodule(name)
        original = layer.forward
        layer.forward = lambda x: forward(layer, original, x)

    return plant


def _padded(before: int, after: int, mode: str = "constant") -> Callable[..., Any]:
    def forward(layer: Any, _original: Any, x: Any) -> Any:
        import torch.nn.functional as F

        x = F.pad(x, (before, after, before, after), mode=mode)
        return F.conv2d(x, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)

    return forward


def _plain_relu(layer: Any, _original: Any, x: Any) -> Any:
    import torch
    from torch import nn

    return torch.relu(nn.BatchNorm2d.forward(layer, x))


def _no_activation(layer: Any, _original: Any, x: Any) -> Any:
    from torch import nn

    return nn.BatchNorm2d.forward(layer, x)


def _counting_pool(_layer: Any, _original: Any, x: Any) -> Any:
    """A 3x3 average pool in front of the last one, padded with zeros that are counted."""
    import torch.nn.functional as F

    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=True).mean((-2, -1))


def _padded_pool(_layer: Any, _original: Any, x: Any) -> Any:
    """The padding's zeros counted in the whole map's average."""
    area = x.shape[-1] * x.shape[-2]
    return x.sum((-2, -1)) / (area + 2 * (x.shape[-1] + x.shape[-2]) + 4)


def _identity(_layer: Any, _original: Any, x: Any) -> Any:
    return x


def _shuffled(_layer: Any, original: Any, x: Any) -> Any:
    return original(x).flip(1)


def _turned(_layer: Any, original: Any, x: Any) -> Any:
    return original(x).transpose(-2, -1)


def _in_float32(_layer: Any, original: Any, x: Any) -> Any:
    return original(x).float().to(x.dtype)


def _scaled_input(network: Network) -> Any:
    """The module preprocesses once more."""
    network.register_forward_pre_hook(lambda _module, inputs: (inputs[0] / 2 + 0.5,))
    return network


def _bgr(network: Network) -> Any:
    network.register_forward_pre_hook(lambda _module, inputs: (inputs[0].flip(1),))
    return network


def _training_mode(network: Network) -> Any:
    """Batch norms that stay in training mode whatever the network is told."""
    for layer in network.modules():
        if type(layer).__name__ == "BatchNormReLU6":
            layer.train = lambda mode=True, layer=layer: layer
            layer.training = True
    return network


# ---- Keras: a network is rebuilt from its configuration, layer by layer


def _keras_config(layer: str, **changes: Any) -> Callable[[Network], Any]:
    def plant(network: Network) -> Any:
        import keras

        config = network.get_config()
        for entry in config["layers"]:
            if entry["config"]["name"] == layer or (
                layer.startswith("*") and entry["config"]["name"].endswith(layer[1:])
            ):
                entry["config"].update(changes)
        changed = keras.Model.from_config(config)
        changed.set_weights(network.get_weights())
        return changed

    return plant


DW5, PW5, DW3 = "blocks.2.1.conv_dw.weight", "blocks.2.1.conv_pw.weight", "blocks.2.0.conv_dw.weight"
NORM = "blocks.2.1.bn1"
M, N, L = "porter.nets.mobilenet_v1", "porter.nets.nasnet", "porter.nets.layers_torch"

MOBILENET_V1 = [
    Fault("epsilon 1e-5 in every batch norm", "torch", "Conv2d_0", "epsilon", module={f"{M}.torch:EPSILON": 1e-5}),
    Fault(
        "epsilon 1e-5 in one batch norm", "torch", "Conv2d_5_depthwise", "epsilon", network=_torch_epsilon(NORM, 1e-5)
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
        network=_torch_forward("blocks.3.0.conv_dw", _padded(1, 0)),
    ),
    Fault(
        "padding that replicates the border",
        "torch",
        "Conv2d_5_depthwise",
        "borders",
        network=_torch_forward("blocks.2.1.conv_dw", _padded(1, 1, "replicate")),
    ),
    Fault(
        "padding that reflects the border",
        "torch",
        "Conv2d_5_depthwise",
        "borders",
        network=_torch_forward("blocks.2.1.conv_dw", _padded(1, 1, "reflect")),
    ),
    Fault(
        "plain ReLU for ReLU6",
        "torch",
        "Conv2d_5_pointwise",
        "ReLU6",
        network=_torch_forward("blocks.2.1.bn2", _plain_relu),
    ),
    Fault(
        "activation left out",
        "torch",
        "Conv2d_5_pointwise",
        "activation",
        network=_torch_forward("blocks.2.1.bn2", _no_activation),
    ),
    Fault(
        "mean and variance swapped",
        "torch",
        "Conv2d_5_depthwise",
        "",
        weights=_swap(f"{NORM}.running_mean", f"{NORM}.running_var"),
    ),
    Fault(
        "gamma and beta swapped",
        "torch",
        "Conv2d_5_depthwise",
        "batch norm",
        weights=_swap(f"{NORM}.weight", f"{NORM}.bias"),
    ),
    Fault(
        "gamma left at 1", "torch", "Conv2d_5_depthwise", "batch norm", weights=_change(f"{NORM}.weight", np.ones_like)
    ),
    Fault("beta left at 0", "torch", "Conv2d_5_depthwise", "offset", weights=_change(f"{NORM}.bias", np.zeros_like)),
    Fault(
        "moving mean left at 0",
        "torch",
        "Conv2d_5_depthwise",
        "offset",
        weights=_change(f"{NORM}.running_mean", np.zeros_like),
    ),
    Fault(
        "variance for its root",
        "torch",
        "Conv2d_5_depthwise",
        "batch norm",
        weights=_change(f"{NORM}.running_var", np.square),
    ),
    Fault("batch norm in training mode", "torch", "Conv2d_0", "", network=_training_mode),
    Fault(
        "depthwise kernel's H and W swapped",
        "torch",
        "Conv2d_5_depthwise",
        "axis order",
        weights=_change(DW5, lambda w: w.swapaxes(2, 3)),
    ),
    Fault(
        "depthwise kernel flipped",
        "torch",
        "Conv2d_5_depthwise",
        "axis order",
        weights=_change(DW5, lambda w: w[..., ::-1, ::-1]),
    ),
    Fault(
        "pointwise kernel's I and O mixed",
        "torch",
        "Conv2d_5_pointwise",
        "axis order",
        weights=_change(PW5, lambda w: w.swapaxes(0, 1).reshape(w.shape)),
    ),
    Fault(
        "stem's input channels reversed",
        "torch",
        "Conv2d_0",
        "",
        weights=_change("conv_stem.weight", lambda w: w[:, ::-1]),
    ),
    Fault(
        "output channels in another order",
        "torch",
        "Conv2d_5_pointwise",
        "permuted",
        network=_torch_forward("blocks.2.1.bn2", _shuffled),
    ),
    Fault(
        "height and width swapped",
        "torch",
        "Conv2d_5_pointwise",
        "height and width",
        network=_torch_forward("blocks.2.1.bn2", _turned),
    ),
    Fault(
        "two blocks' kernels swapped",
        "torch",
        "Conv2d_7_depthwise",
        "weights",
        weights=_swap("blocks.3.1.conv_dw.weight", "blocks.3.2.conv_dw.weight"),
    ),
    Fault(
        "two blocks run in the other order",
        "torch",
        "Conv2d_7_depthwise",
        "",
        network=lambda network: _swap_blocks(network),
    ),
    # The block's own endpoints are not run: the first to see it is the one behind it.
    Fault("a block skipped", "torch", "Conv2d_9_depthwise", "skipped", network=_torch_forward("blocks.3.2", _identity)),
    Fault(
        "a block's result left out",
        "torch",
        "Conv2d_7_pointwise",
        "",
        network=_torch_forward("blocks.3.1.bn2", lambda _l, _o, x: x * 0),
    ),
    Fault("a batch norm skipped", "torch", "Conv2d_5_depthwise", "", network=_torch_forward(NORM, _identity)),
    Fault(
        "the last pool counts its padding",
        "torch",
        "AvgPool_1a",
        "pool",
        network=_torch_forward("global_pool", _padded_pool),
    ),
    Fault(
        "a padded pool before the last",
        "torch",
        "AvgPool_1a",
        "pool",
        network=_torch_forward("global_pool", _counting_pool),
    ),
    Fault("the last pool's window is 3x3", "torch", "AvgPool_1a", "pool", module={f"{M}.torch:POOL": 3}),
    Fault(
        "classes off by one",
        "torch",
        "Logits",
        "background",
        weights=_both(
            *(_change(f"classifier.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))
        ),
    ),
    Fault("the classifier's bias left out", "torch", "Logits", "", weights=_change("classifier.bias", np.zeros_like)),
    Fault(
        "the background class's row zeroed",
        "torch",
        "Logits",
        "one class",
        weights=_change("classifier.weight", lambda w: np.concatenate([w[:1] * 0, w[1:]])),
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
        network=_torch_forward(NORM, _in_float32),
    ),
    Fault("pictures in [0, 1] for [-1, 1]", "torch", "Conv2d_0", "", network=_scaled_input),
    Fault("BGR for RGB", "torch", "Conv2d_0", "", network=_bgr),
    Fault("epsilon 1e-5 in every batch norm", "keras", "Conv2d_0", "epsilon", module={f"{M}.keras:EPSILON": 1e-5}),
    Fault(
        "epsilon 1e-2 in one batch norm",
        "keras",
        "Conv2d_5_depthwise",
        "epsilon",
        network=_keras_config("conv_dw_5_bn", epsilon=1e-2),
    ),
    Fault(
        "plain ReLU for ReLU6",
        "keras",
        "Conv2d_5_pointwise",
        "ReLU6",
        network=_keras_config("conv_pw_5_relu", max_value=None),
    ),
    Fault(
        "leaky ReLU",
        "keras",
        "Conv2d_5_pointwise",
        "below 0",
        network=_keras_config("conv_pw_5_relu", negative_slope=0.1),
    ),
    Fault(
        "gamma and beta swapped",
        "keras",
        "Conv2d_5_depthwise",
        "batch norm",
        weights=_swap("conv_dw_5_bn/gamma", "conv_dw_5_bn/beta"),
    ),
    Fault(
        "mean and variance swapped",
        "keras",
        "Conv2d_5_depthwise",
        "",
        weights=_swap("conv_dw_5_bn/moving_mean", "conv_dw_5_bn/moving_variance"),
    ),
    Fault(
        "depthwise kernel's H and W swapped",
        "keras",
        "Conv2d_5_depthwise",
        "axis order",
        weights=_change("conv_dw_5/kernel", lambda w: w.swapaxes(0, 1)),
    ),
    Fault(
        "two blocks' kernels swapped",
        "keras",
        "Conv2d_7_depthwise",
        "weights",
        weights=_swap("conv_dw_7/kernel", "conv_dw_8/kernel"),
    ),
    Fault(
        "classes off by one",
        "keras",
        "Logits",
        "background",
        weights=_both(
            _change("conv_preds/kernel", lambda v: np.roll(v, -1, axis=-1)),
            _change("conv_preds/bias", lambda v: np.roll(v, -1, axis=0)),
        ),
    ),
]


def _swap_blocks(network: Network) -> Network:
    """Run two neighbouring blocks in the other order; each keeps its name, and so its endpoints."""
    stage = network.blocks[3]
    blocks = list(stage)
    blocks[1], blocks[2] = blocks[2], blocks[1]

    def forward(x: Any) -> Any:
        for block in blocks:
            x = block(x)
        return x

    stage.forward = forward
    return network


# ---- NASNet-A


def _swap_scopes(one: str, other: str) -> Callable[[Tensors], None]:
    """Swap all tensors of two scopes that hold the same."""

    def plant(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.startswith(one)]:
            twin = other + name.removeprefix(one)
            tensors[name], tensors[twin] = tensors[twin], tensors[name]

    return plant


def _rewire(cell: str, change: Callable[[Any], Any]) -> Callable[[Network], None]:
    """Change the wiring of one cell."""

    def plant(network: Network) -> None:
        module = network.get_submodule(cell)
        module.wiring = change(module.wiring)

    return plant


def _swapped_inputs(wiring: Any) -> Any:
    """The first combination's two branches on each other's state."""
    (left, right), *others = wiring.combinations
    first = (left._replace(state=right.state), right._replace(state=left.state))
    return wiring._replace(combinations=(first, *others))


def _cell_before_last(network: Network) -> None:
    """cell_3 takes the output of the cell before the one that it should take."""
    at = next(number for number, step in enumerate(network.steps) if step.name == "cell_3")
    network.steps[at] = network.steps[at]._replace(previous=-3)


def _unshifted(network: Network) -> None:
    network.get_submodule("cell_6.path_2.pixels").offset = 0


def _counted(layer: Any, _original: Any, x: Any) -> Any:
    import torch.nn.functional as F

    return F.avg_pool2d(x, layer.kernel, layer.stride, layer.padding(x), ceil_mode=True, count_include_pad=True)


def _counted_everywhere(self: Any, x: Any) -> Any:
    return _counted(self, None, x)


def _zeros_then_valid(layer: Any, _original: Any, x: Any) -> Any:
    """Zeros on both sides, then a pool without padding, as keras.applications has it."""
    import torch.nn.functional as F

    pool = F.max_pool2d if type(layer).__name__.startswith("Max") else F.avg_pool2d
    padded = F.pad(x, (1, 1, 1, 1))
    return pool(padded[..., padded.shape[-2] % 2 == 0 :, padded.shape[-1] % 2 == 0 :], layer.kernel, layer.stride)


def _without_relu(layer: Any, _original: Any, x: Any) -> Any:
    """Separables whose first ReLU is forgotten."""
    x = layer.bn_sep_1(layer.separable_1(x))
    return layer.bn_sep_2(layer.separable_2(x.clamp(min=0)))


def _nothing(_layer: Any, original: Any, x: Any) -> Any:
    return original(x) * 0


def _no_last_relu(network: Network) -> None:
    from torch import nn

    network.relu = nn.Identity()


def _swap_keras_cells(tensors: Tensors) -> None:
    """Swap the cells 2 and 3, whose number ends the name of every layer and scope."""
    for name in [name for name in tensors if name.startswith("normal_A_block_2/")]:
        twin = "/".join(re.sub("_2$", "_3", part) if part != "block_2" else part for part in name.split("/"))
        tensors[name], tensors[twin] = tensors[twin], tensors[name]


def _keras_zeros_then_valid(x: Any, stride: int, dtype: str, name: str) -> Any:
    """Zeros on both sides, then a pool without padding, as keras.applications has it."""
    from keras import layers

    if stride == 1:
        return layers.AveragePooling2D(3, 1, "same", "channels_last", dtype=dtype, name=name)(x)
    before = x.shape[1] % 2
    pad = layers.ZeroPadding2D(((before, 1), (before, 1)), "channels_last", dtype=dtype, name=f"{name}_pad")
    return layers.AveragePooling2D(3, 2, "valid", "channels_last", dtype=dtype, name=name)(pad(x))


LEFT, RIGHT = "cell_2.comb_iter_0_left", "cell_2.comb_iter_0_right"

NASNET = [
    Fault(
        "epsilon 1e-3 in one batch norm of a branch",
        "torch",
        "Cell_2",
        "",
        network=_torch_epsilon(f"{LEFT}.bn_sep_1", 1e-3),
    ),
    Fault(
        "two branches' depthwise kernels swapped",
        "torch",
        "Cell_2",
        "branch",
        weights=_swap(
            "cell_2.comb_iter_0_left.separable_1.depthwise_conv2d.weight",
            "cell_2.comb_iter_1_left.separable_1.depthwise_conv2d.weight",
        ),
    ),
    Fault(
        "two branches swapped whole",
        "torch",
        "Cell_2",
        "branch",
        weights=_swap_scopes("cell_2.comb_iter_0_left.", "cell_2.comb_iter_1_left."),
    ),
    Fault(
        "a branch's first and second separable swapped",
        "torch",
        "Cell_2",
        "branch",
        weights=_swap_scopes(f"{LEFT}.separable_1.", f"{LEFT}.separable_2."),
    ),
    Fault("two cells swapped", "torch", "Cell_2", "", weights=_swap_scopes("cell_2.", "cell_3.")),
    Fault(
        "a combination's two inputs swapped", "torch", "Cell_2", "branch", network=_rewire("cell_2", _swapped_inputs)
    ),
    Fault("the wrong cell before", "torch", "Cell_3", "", network=_cell_before_last),
    Fault(
        "an add skipped: the right branch left out",
        "torch",
        "Cell_2",
        "branch",
        network=_torch_forward(RIGHT, _nothing),
    ),
    Fault(
        "an add skipped: an identity left out",
        "torch",
        "Cell_2",
        "branch",
        network=_torch_forward("cell_2.comb_iter_4_right", _nothing),
    ),
    Fault(
        "outputs concatenated in another order",
        "torch",
        "Cell_2",
        "other places",
        network=_rewire("cell_2", lambda wiring: wiring._replace(output=(*wiring.output[1:], wiring.output[0]))),
    ),
    Fault("factorized reduction without its shift", "torch", "Cell_6", "", network=_unshifted),
    Fault(
        "factorized reduction's paths swapped",
        "torch",
        "Cell_6",
        "",
        weights=_swap("cell_6.path_1.conv.weight", "cell_6.path_2.conv.weight"),
    ),
    Fault(
        "average pools that count their padding",
        "torch",
        "Cell_0",
        "",
        module={f"{L}:AvgPool2dSame.forward": _counted_everywhere},
    ),
    Fault(
        "one average pool that counts its padding",
        "torch",
        "Cell_2",
        "border",
        network=_torch_forward("cell_2.comb_iter_2_left", _counted),
    ),
    Fault(
        "a reduction's average pool: zeros, then valid",
        "torch",
        "Reduction_Cell_0",
        "",
        network=_torch_forward("reduction_cell_0.comb_iter_2_left", _zeros_then_valid),
    ),
    Fault(
        "a reduction's maximum pool: zeros, then valid",
        "torch",
        "Reduction_Cell_0",
        "",
        network=_torch_forward("reduction_cell_0.comb_iter_1_left", _zeros_then_valid),
    ),
    Fault("a branch's first ReLU left out", "torch", "Cell_2", "branch", network=_torch_forward(LEFT, _without_relu)),
    Fault(
        "a 5x5 kernel padded 1 before and 3 after",
        "torch",
        "Cell_2",
        "branch",
        network=_torch_forward(f"{LEFT}.separable_1.depthwise_conv2d", _padded(1, 3)),
    ),
    Fault(
        "a separable's H and W swapped",
        "torch",
        "Cell_2",
        "branch",
        weights=_change(f"{LEFT}.separable_1.depthwise_conv2d.weight", lambda w: w.swapaxes(2, 3)),
    ),
    Fault(
        "batch norms of the two inputs swapped",
        "torch",
        "Cell_2",
        "",
        weights=_swap_scopes("cell_2.conv_1x1.bn.", "cell_2.conv_prev_1x1.bn."),
    ),
    Fault("the last ReLU left out", "torch", "global_pool", "", network=_no_last_relu),
    Fault(
        "NASNet's classes off by one",
        "torch",
        "Logits",
        "background",
        weights=_both(
            *(_change(f"last_linear.{leaf}", lambda v: np.roll(v, -1, axis=0)) for leaf in ("weight", "bias"))
        ),
    ),
]

KLEFT = "separable_conv_block_normal_left1_2/separable_conv_1_normal_left1_2"
BLOCK = "normal_A_block_2/block_1"

NASNET += [
    Fault(
        "two branches' depthwise kernels swapped",
        "keras",
        "Cell_2",
        "branch",
        weights=_swap(
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
        weights=_change(f"{BLOCK}/{KLEFT}/depthwise_kernel", lambda w: w.swapaxes(0, 1)),
    ),
    Fault(
        "epsilon 1e-3 in one batch norm of a branch",
        "keras",
        "Cell_2",
        "branch",
        network=_keras_config("separable_conv_1_bn_normal_left1_2", epsilon=1e-3),
    ),
    Fault(
        "a reduction's average pool: VALID for SAME's padding, zeros first",
        "keras",
        "Reduction_Cell_0",
        "",
        module={f"{N}.keras:average_pool_same": _keras_zeros_then_valid},
    ),
    Fault(
        "factorized reduction's paths swapped",
        "keras",
        "Cell_6",
        "",
        weights=_swap(
            "normal_A_block_7/adjust_block/adjust_reduction_block_7/adjust_conv_1_7/kernel",
            "normal_A_block_7/adjust_block/adjust_reduction_block_7/adjust_conv_2_7/kernel",
        ),
    ),
    Fault(
        "factorized reduction without its shift",
        "keras",
        "Cell_6",
        "",
        network=_keras_config("adjust_avg_pool_2_7_crop", cropping=((0, 1), (0, 1))),
    ),
    Fault(
        "NASNet's classes off by one",
        "keras",
        "Logits",
        "background",
        weights=_both(
            _change("predictions/kernel", lambda v: np.roll(v, -1, axis=-1)),
            _change("predictions/bias", lambda v: np.roll(v, -1, axis=0)),
        ),
    ),
]

FAULTS: dict[str, list[Fault]] = {"mobilenet_v1_0.25_128": MOBILENET_V1, "nasnet_cifar": NASNET}
"""By architecture: add a list, and the drill, the table in docs/verify.md and the tests take it up."""
