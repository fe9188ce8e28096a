"""AmoebaNet in PyTorch, by NASNet's machinery. Parameter names are in NASNet's style: the original's scopes."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn

from porter.nets.amoebanet.design import BOTTLENECKS, FACTORED, cell_name, config, inner_filters, plan
from porter.nets.layers_torch import Conv2dSame, MaxPool2dSame
from porter.nets.nasnet.torch import OPERATIONS, CellNetwork, Make, Norm, fit, pool


class MinPool2dSame(MaxPool2dSame):
    """A minimum pool with TensorFlow's SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        return -super().forward(-x)


def _convolution(channels: int, filters: int, norm: Norm, stride: int) -> nn.Module:
    """Return ReLU, a 1x1 convolution and batch norm."""
    return fit(channels, filters, norm, stride, relu=nn.ReLU())


def _inside(operation: str, filters: int, norm: Norm, stride: int) -> dict[str, nn.Module]:
    """Return the convolutions of an operation by name: one, or two with batch norm and ReLU between them."""
    if size := FACTORED.get(operation):
        return {
            f"conv_1x{size}": Conv2dSame(filters, filters, (1, size), (1, stride), bias=False),
            f"bn_1x{size}": norm(filters),
            "relu_inside": nn.ReLU(),
            f"conv_{size}x1": Conv2dSame(filters, filters, (size, 1), (stride, 1), bias=False),
        }
    if operation == "convolution_3x3":
        return {"conv_3x3": Conv2dSame(filters, filters, 3, stride, bias=False)}
    rate = int(operation.rpartition("_")[2])  # slim has no strided convolution with a rate
    return {"conv_3x3": nn.Conv2d(filters, filters, 3, padding=rate, dilation=rate, bias=False)}


def _bottleneck(channels: int, filters: int, norm: Norm, stride: int, operation: str) -> nn.Module:
    """Return an operation's convolutions between two of 1x1, which lead to fewer filters and back.

    ReLU is before and batch norm after each convolution.
    """
    inner = inner_filters(operation, filters)
    return nn.Sequential(
        OrderedDict(
            relu=nn.ReLU(),
            pre_1x1=nn.Conv2d(channels, inner, 1, bias=False),
            pre_bn=norm(inner),
            relu_1=nn.ReLU(),
            **_inside(operation, inner, norm, stride),
            bn=norm(inner),
            relu_2=nn.ReLU(),
            post_1x1=nn.Conv2d(inner, filters, 1, bias=False),
            post_bn=norm(filters),
        )
    )


AMOEBANETS: dict[str, Make] = {
    **OPERATIONS,
    "convolution_1x1": _convolution,
    "maximum_2x2": partial(pool, kind=MaxPool2dSame, kernel=2),
    "minimum_3x3": partial(pool, kind=MinPool2dSame),
    **{operation: partial(_bottleneck, operation=operation) for operation in BOTTLENECKS},
}
"""The operations of network_utils.py."""


class AmoebaNet(CellNetwork):
    """AmoebaNet."""


def amoebanet(
    num_classes: int = 1001,
    specification: str = "d",
    num_cells: int = 6,
    reduction_size: int = 256,
    aux: bool = False,
    input_size: int = 224,
    in_channels: int = 3,
    batch_norm_epsilon: float = 1e-3,
) -> AmoebaNet:
    """Return AmoebaNet-A or D (``num_cells``, ``reduction_size``), for images in [-1, 1].

    ``specification`` is a key of ``SPECIFICATIONS``. The trainer's command line sets ``batch_norm_epsilon`` to 1e-5,
    which no checkpoint tells.
    """
    numbers = config(num_cells, reduction_size, batch_norm_epsilon)
    steps = {cell_name(step): step for step in plan(numbers, specification)}
    return AmoebaNet(numbers, steps, num_classes, aux, input_size, in_channels, operations=AMOEBANETS)
