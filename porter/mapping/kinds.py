"""Kinds of layers: which tensors each holds, what every dialect calls them, and in which axis order.

Leaf names (gamma, running_var, …) and axis orders stand here and nowhere else. The letters are
H, W for the kernel, I and O for input and output channels, C for a depthwise convolution's
channels, M for its multiplier; ``(CM)`` is one axis that runs through C, then M.
"""

from __future__ import annotations

from typing import NamedTuple


class Leaf(NamedTuple):
    """What one dialect calls a tensor within its layer, and the tensor's axis order."""

    name: str
    axes: str


class Tensor(NamedTuple):
    """One tensor of a layer. Statistics are updated by running, not trained; a variance is never below zero."""

    tf: Leaf
    torch: Leaf
    keras: Leaf
    trainable: bool = True
    variance: bool = False

    def leaf(self, dialect: str) -> Leaf:
        """Return the tensor's name and axes in ``dialect``."""
        leaf: Leaf = getattr(self, dialect)
        return leaf


def _vector(tf: str, torch: str, keras: str, trainable: bool = True, variance: bool = False) -> Tensor:
    return Tensor(Leaf(tf, "O"), Leaf(torch, "O"), Leaf(keras, "O"), trainable, variance)


_CONV = Tensor(Leaf("weights", "HWIO"), Leaf("weight", "OIHW"), Leaf("kernel", "HWIO"))
_BIAS = _vector("biases", "bias", "bias")

KINDS: dict[str, tuple[Tensor, ...]] = {
    "conv": (_CONV,),
    "depthwise": (Tensor(Leaf("depthwise_weights", "HWCM"), Leaf("weight", "(CM)1HW"), Leaf("kernel", "HWCM")),),
    # slim.separable_conv2d and keras' SeparableConv2D are one layer each, in PyTorch two convolutions.
    "separable": (
        Tensor(
            Leaf("depthwise_weights", "HWCM"),
            Leaf("depthwise_conv2d.weight", "(CM)1HW"),
            Leaf("depthwise_kernel", "HWCM"),
        ),
        Tensor(
            Leaf("pointwise_weights", "HWIO"),
            Leaf("pointwise_conv2d.weight", "OIHW"),
            Leaf("pointwise_kernel", "HWIO"),
        ),
    ),
    "batch_norm": (
        _vector("gamma", "weight", "gamma"),
        _vector("beta", "bias", "beta"),
        _vector("moving_mean", "running_mean", "moving_mean", trainable=False),
        _vector("moving_variance", "running_var", "moving_variance", trainable=False, variance=True),
    ),
    "classifier": (
        Tensor(Leaf("weights", "IO"), Leaf("weight", "OI"), Leaf("kernel", "IO")),
        _BIAS,
    ),
    # A 1x1 convolution in TensorFlow and Keras, a Linear in PyTorch.
    "classifier_conv": (
        Tensor(Leaf("weights", "HWIO"), Leaf("weight", "OI"), Leaf("kernel", "HWIO")),
        _BIAS,
    ),
}

# Tensors that are a layer each, under their own whole name: what a draft of a table has where no kind fits yet.
UNNAMED: dict[str, tuple[Tensor, ...]] = {
    "scalar": (Tensor(Leaf("", ""), Leaf("", ""), Leaf("", "")),),
    "vector": (_vector("", "", ""),),
    "matrix": (Tensor(Leaf("", "IO"), Leaf("", "OI"), Leaf("", "IO")),),
    "sequence filter": (Tensor(Leaf("", "WIO"), Leaf("", "OIW"), Leaf("", "WIO")),),
    "filter": (Tensor(Leaf("", "HWIO"), Leaf("", "OIHW"), Leaf("", "HWIO")),),
    "volume filter": (Tensor(Leaf("", "DHWIO"), Leaf("", "OIDHW"), Leaf("", "DHWIO")),),
}
KINDS |= UNNAMED
