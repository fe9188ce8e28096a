"""modern: a layer's settings under the names that they have had since Keras 2.

Source: keras/legacy/interfaces.py of Keras 2.0, which reads the calls of Keras 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CLASSES = {
    "Convolution1D": "Conv1D", "Convolution2D": "Conv2D", "Convolution3D": "Conv3D", "AtrousConvolution2D": "Conv2D",
    "Deconvolution2D": "Conv2DTranspose", "SeparableConvolution2D": "SeparableConv2D",
}  # fmt: skip
_NAMES = {
    "nb_filter": "filters", "subsample": "strides", "subsample_length": "strides", "border_mode": "padding",
    "filter_length": "kernel_size", "bias": "use_bias", "atrous_rate": "dilation_rate", "dim_ordering": "data_format",
    "stride": "strides", "pool_length": "pool_size", "length": "size", "inner_activation": "recurrent_activation",
}  # fmt: skip
_KERNELS = ("kernel_dim1", "kernel_dim2", "kernel_dim3"), ("nb_row", "nb_col")
_UNITS = ("Dense", "LSTM", "GRU", "SimpleRNN")
_ORDERS = {"tf": "channels_last", "th": "channels_first"}


def modern(kind: str, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a layer's class and settings by Keras 2's names; those of a newer layer stay as they are."""
    found = {_NAMES.get(key, key): value for key, value in settings.items()}
    for names in _KERNELS:
        sides = [settings[name] for name in names if name in settings]
        if len(sides) == len(names):
            found.setdefault("kernel_size", sides)
    if kind in _UNITS and "output_dim" in settings:
        found.setdefault("units", settings["output_dim"])
    order = found.get("data_format")
    if isinstance(order, str):
        found["data_format"] = _ORDERS.get(order, order)
    return _CLASSES.get(kind, kind), found
