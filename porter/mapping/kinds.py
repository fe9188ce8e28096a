"""Kinds of layers: the tensors that each holds by role, with axis order and leaf name for each framework.

Axis orders and default leaf names (gamma, running_var, …) are listed here and nowhere else. The letters are H, W for
a kernel's height and width (D for depth), I and O for input and output channels, C for a depthwise convolution's
channels, M for its multiplier. ``(CM)`` is one axis that runs through C, then M.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from porter.errors import MappingError
from porter.mapping.dialects import Dialect


class Leaf(NamedTuple):
    """A tensor's name within its layer and its axis order, in one dialect."""

    name: str
    axes: str


class Tensor(NamedTuple):
    """One tensor of a layer, by its ``role``.

    ``leaves`` holds each framework's leaf. Statistics are not ``trainable``: running the network updates them. A
    ``variance`` is never below zero. ``fill`` is the value that the tensor has in a dialect without it; without a
    ``fill`` every dialect must have the tensor.
    """

    role: str
    leaves: Mapping[str, Leaf]
    trainable: bool = True
    variance: bool = False
    fill: float | None = None

    def leaf(self, dialect: Dialect, kind: str) -> Leaf:
        """Return the tensor's name and axes in ``dialect``, within a layer of ``kind``."""
        name, axes = self.leaves[dialect.framework]
        return Leaf(dialect.leaf(kind, self.role, name), axes)

    def absent_value(self) -> float:
        """Return the value that the tensor has in a dialect without it. Raises MappingError where it has none."""
        if self.fill is None:
            raise MappingError(f"every dialect needs the {self.role} of a layer, which has no default value")
        return self.fill


def _leaves(tf: Leaf, torch: Leaf, keras: Leaf) -> dict[str, Leaf]:
    return {"tf": tf, "torch": torch, "keras": keras}


def _vector(tf: str, torch: str, keras: str, axes: str = "O") -> dict[str, Leaf]:
    return _leaves(Leaf(tf, axes), Leaf(torch, axes), Leaf(keras, axes))


_KERNEL = Tensor("kernel", _leaves(Leaf("weights", "HWIO"), Leaf("weight", "OIHW"), Leaf("kernel", "HWIO")))
_BIAS = Tensor("bias", _vector("biases", "bias", "bias"), fill=0)

# slim.separable_conv2d and keras' SeparableConv2D are one layer each, in PyTorch two convolutions.
_SEPARABLE = (
    Tensor(
        "depthwise_kernel",
        _leaves(
            Leaf("depthwise_weights", "HWCM"),
            Leaf("depthwise_conv2d.weight", "(CM)1HW"),
            Leaf("depthwise_kernel", "HWCM"),
        ),
    ),
    Tensor(
        "pointwise_kernel",
        _leaves(
            Leaf("pointwise_weights", "HWIO"),
            Leaf("pointwise_conv2d.weight", "OIHW"),
            Leaf("pointwise_kernel", "HWIO"),
        ),
    ),
)

KINDS: dict[str, tuple[Tensor, ...]] = {
    "conv": (_KERNEL,),
    "conv_bias": (_KERNEL, _BIAS),
    "depthwise": (
        Tensor(
            "depthwise_kernel",
            _leaves(Leaf("depthwise_weights", "HWCM"), Leaf("weight", "(CM)1HW"), Leaf("kernel", "HWCM")),
        ),
    ),
    "separable": _SEPARABLE,
    "separable_bias": (
        *_SEPARABLE,
        Tensor("bias", _vector("biases", "pointwise_conv2d.bias", "bias"), fill=0),
    ),
    "batch_norm": (
        Tensor("gamma", _vector("gamma", "weight", "gamma"), fill=1),
        Tensor("beta", _vector("beta", "bias", "beta"), fill=0),
        Tensor("mean", _vector("moving_mean", "running_mean", "moving_mean"), trainable=False),
        Tensor(
            "variance", _vector("moving_variance", "running_var", "moving_variance"), trainable=False, variance=True
        ),
    ),
    "classifier": (
        Tensor("kernel", _leaves(Leaf("weights", "IO"), Leaf("weight", "OI"), Leaf("kernel", "IO"))),
        _BIAS,
    ),
    # A dense layer over a whole map, flattened in the framework's axis order: where others have a convolution as large.
    "flattened": (
        Tensor("kernel", _leaves(Leaf("weights", "(HWI)O"), Leaf("weight", "O(IHW)"), Leaf("kernel", "(HWI)O"))),
        _BIAS,
    ),
    # A 1x1 convolution in TensorFlow and Keras, a Linear in PyTorch.
    "classifier_conv": (
        Tensor("kernel", _leaves(Leaf("weights", "HWIO"), Leaf("weight", "OI"), Leaf("kernel", "HWIO"))),
        _BIAS,
    ),
}


def _unnamed(axes: str, torch: str | None = None) -> tuple[Tensor, ...]:
    return (Tensor("value", _leaves(Leaf("", axes), Leaf("", torch or axes), Leaf("", axes))),)


# Each of these tensors is a layer by itself, under its whole name: a draft has them where no other kind fits.
UNNAMED: dict[str, tuple[Tensor, ...]] = {
    "scalar": _unnamed(""),
    "vector": _unnamed("O"),
    "matrix": _unnamed("IO", "OI"),
    "sequence filter": _unnamed("WIO", "OIW"),
    "filter": _unnamed("HWIO", "OIHW"),
    "volume filter": _unnamed("DHWIO", "OIDHW"),
}
KINDS |= UNNAMED
# A draft cannot tell it from a filter; a written network says which of its filters are depthwise.
KINDS["depthwise filter"] = _unnamed("HWCM", "(CM)1HW")


@lru_cache(maxsize=1024)
def leaves_of(kind: str, dialect: Dialect) -> tuple[tuple[Tensor, Leaf], ...]:
    """Return the tensors of a layer of ``kind``, each with its leaf in ``dialect``."""
    return tuple((tensor, tensor.leaf(dialect, kind)) for tensor in KINDS[kind])


def statistic_leaves(dialect: Dialect) -> dict[str, bool]:
    """Return the leaf names that moving means and variances have in ``dialect``, and whether each is a variance."""
    return {
        tensor.leaf(dialect, kind).name: tensor.variance
        for kind, tensors in KINDS.items()
        for tensor in tensors
        if not tensor.trainable
    }
