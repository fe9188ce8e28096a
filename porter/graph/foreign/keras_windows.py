"""Convolutions and pools of a Keras config as nodes of TensorFlow's ops. Source: keras/src/layers/.

Those of one axis run over images of one row, as in TensorFlow's own graphs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from porter.graph.foreign.keras_activations import activated, activation_of
from porter.graph.foreign.keras_call import Call


def conv(call: Call) -> str:
    """Write a convolution of one to three axes, with its groups."""
    rank = _rank(call)
    groups, filters = int(call.settings.get("groups") or 1), int(call.settings["filters"])
    inputs = None if call.channels is None else call.channels // groups
    kernel = call.weight("kernel", (*call.sides("kernel_size", rank), inputs, filters))
    return finished(call, _slid(call, "Conv3D" if rank == 3 else "Conv2D", kernel, last=plain(call)), filters)


def depthwise(call: Call) -> str:
    """Write a depthwise convolution."""
    multiplier, channels = int(call.settings.get("depth_multiplier") or 1), call.channels
    sides = call.sides("kernel_size", _rank(call))
    kernel = call.weight(("kernel", "depthwise_kernel"), (*sides, channels, multiplier))
    filters = None if channels is None else channels * multiplier
    return finished(call, _slid(call, "DepthwiseConv2dNative", kernel, last=plain(call)), filters)


def separable(call: Call) -> str:
    """Write a depthwise convolution and the 1x1 behind it."""
    multiplier, filters = int(call.settings.get("depth_multiplier") or 1), int(call.settings["filters"])
    channels, rank = call.channels, _rank(call)
    deep = call.weight("depthwise_kernel", (*call.sides("kernel_size", rank), channels, multiplier))
    wide = None if channels is None else channels * multiplier
    flat = call.weight("pointwise_kernel", (*[1] * rank, wide, filters))

    def both(row: Callable[[str, int], str], x: str) -> str:
        window = _window(call, rank) | {"dilations": _over(call, "dilation_rate", rank)}
        middle = call.add("DepthwiseConv2dNative", [x, row(deep, 0)], last=False, **window)
        one = {"strides": [1] * 4, "padding": "VALID", "data_format": call.format}
        return call.add("Conv2D", [middle, row(flat, 0)], last=plain(call) and rank > 1, **one)

    return finished(call, _in_a_row(call, rank, both, last=plain(call)), filters)


def transposed(call: Call) -> str:
    """Write a transposed convolution of images."""
    kernel, strides, filters = call.sides("kernel_size"), call.sides("strides"), int(call.settings["filters"])
    weight = call.weight("kernel", (*kernel, filters, call.channels))
    same = str(call.settings.get("padding")).upper() == "SAME"
    grown = [
        -1 if side is None else side * stride + (0 if same else max(size - stride, 0))
        for side, stride, size in zip(call.space, strides, kernel, strict=True)
    ]
    sizes = [1, filters, *grown] if call.channels_first else [1, *grown, filters]
    inputs = [call.constant("sizes", sizes), weight, call.inputs[0]]
    found = call.add("Conv2DBackpropInput", inputs, last=plain(call), **_window(call, 2))
    return finished(call, found, filters)


def pool(call: Call) -> str:
    """Write a pool of one to three axes."""
    rank = _rank(call)
    op = {"M": "MaxPool", "A": "AvgPool"}[call.kind[0]] + ("3D" if rank == 3 else "")
    strides = _over(call, "strides" if call.settings.get("strides") else "pool_size", rank, 2)
    window = _window(call, rank) | {"strides": strides, "ksize": _over(call, "pool_size", rank, 2)}
    return _in_a_row(call, rank, lambda _, x: call.add(op, [x], last=rank > 1, **window), last=True)


def plain(call: Call) -> bool:
    """Tell whether a layer has no bias and no activation."""
    return not call.settings.get("use_bias", True) and not activation_of(call)


def finished(call: Call, found: str, filters: int | None) -> str:
    """Add a layer's bias and activation."""
    activation = activation_of(call)
    if call.settings.get("use_bias", True):
        bias = call.weight("bias", (filters,))
        found = call.add("BiasAdd", [found, bias], last=not activation, data_format=call.format)
    return activated(call, found, activation) if activation else found


def _slid(call: Call, op: str, kernel: str, last: bool) -> str:
    """Add a convolution with the settings' strides, dilations and padding."""
    rank = _rank(call)
    window = _window(call, rank) | {"dilations": _over(call, "dilation_rate", rank)}
    return _in_a_row(
        call, rank, lambda row, x: call.add(op, [x, row(kernel, 0)], last=last and rank > 1, **window), last
    )


def _in_a_row(call: Call, rank: int, run: Callable[[Callable[[str, int], str], str], str], last: bool) -> str:
    """Add what ``run`` adds; of one axis, over an image of one row. ``run`` gets a function that adds an axis."""
    if rank > 1:
        return run(lambda tensor, _: tensor, call.inputs[0])

    def row(tensor: str, axis: int) -> str:
        return call.add("ExpandDims", [tensor, call.constant("axis", axis)], last=False)

    axis = 2 if call.channels_first else 1
    return call.add("Squeeze", [run(row, row(_padded(call), axis))], last=last, squeeze_dims=[axis])


def _padded(call: Call) -> str:
    """Return the first input of a layer of one axis, padded before its steps if none may see a later one."""
    if str(call.settings.get("padding")).lower() != "causal":
        return call.inputs[0]
    before = (call.sides("kernel_size", 1)[0] - 1) * call.sides("dilation_rate", 1)[0]
    pads = [[0, 0], [0, 0], [before, 0]] if call.channels_first else [[0, 0], [before, 0], [0, 0]]
    return call.add("Pad", [call.inputs[0], call.constant("paddings", pads)], last=False)


def _window(call: Call, rank: int) -> dict[str, Any]:
    padding = str(call.settings.get("padding") or "valid").upper()
    return {
        "strides": _over(call, "strides", rank),
        "padding": "VALID" if padding == "CAUSAL" else padding,
        "data_format": call.format,
    }


def _over(call: Call, key: str, rank: int, default: int = 1) -> list[int]:
    """Return a setting for each axis of a batch of images, which have one row where the layer has one axis."""
    sides = call.sides(key, rank, default)
    return call.over_space((1, *sides) if rank == 1 else sides)


def _rank(call: Call) -> int:
    """Return the axes over which a layer slides: 1 for Conv1D."""
    found = re.search(r"([123])D", call.kind)
    return int(found[1]) if found else 2
