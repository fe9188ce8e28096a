"""Dequantize nodes over constants: weights that a tool stored as integers, read as the floats that TensorFlow computes.

Tools: transform_graph's quantize_weights and quantize_graph.py, which give the node the weight's own name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import FormatError
from porter.formats.checkpoint import Entry
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.graphdef import node_of
from porter.formats.tensorflow.tensorproto import tensor_values

_FLOAT = 1
_QUANTIZED = {11, 12, 13, 15, 16}
"""TensorFlow's numbers of the dtypes that the op takes (tensorflow/core/framework/types.proto)."""


def is_dequantized(node: Any, nodes: Mapping[str, Any]) -> bool:
    """Tell whether ``node`` is a Dequantize of constants alone, with the float32 output that weights have."""
    if node.op != "Dequantize" or len(node.input) < 3 or _mode(node) not in _MODES:
        return False
    parts = [nodes.get(node_of(tensor)) for tensor in node.input[:3]]
    if any(part is None or part.op != "Const" for part in parts):
        return False
    dtypes = [part.attr["value"].tensor.dtype for part in parts if part is not None]
    output = node.attr["dtype"].type if "dtype" in node.attr else _FLOAT
    return dtypes[0] in _QUANTIZED and dtypes[1:] == [_FLOAT, _FLOAT] and output == _FLOAT


def dequantized_entry(path: Path, node: Any, nodes: Mapping[str, Any]) -> Entry:
    """Return the weights of an `is_dequantized` node."""
    values = nodes[node_of(node.input[0])].attr["value"].tensor
    shape = tuple(dim.size for dim in values.tensor_shape.dim)
    return Entry(shape, np.dtype(np.float32), partial(_load, path, node, nodes))


def _mode(node: Any) -> str:
    return node.attr["mode"].s.decode("utf-8", "replace") if "mode" in node.attr else "MIN_COMBINED"


def _load(path: Path, node: Any, nodes: Mapping[str, Any]) -> np.ndarray:
    parts = [nodes[node_of(tensor)] for tensor in node.input[:3]]
    values, low, high = (tensor_values(path, part.name, part.attr["value"].tensor) for part in parts)
    axis = int(node.attr["axis"].i) if "axis" in node.attr else -1
    count = values.shape[axis] if 0 <= axis < values.ndim else 1
    if axis >= values.ndim or low.size != count or high.size != count or (count > 1 and _mode(node) == "MIN_FIRST"):
        raise FormatError(
            f"{path}: {node.name} has {low.size} minima and {high.size} maxima for its axis {axis} of the shape "
            f"{values.shape}: TensorFlow cannot compute it; export the graph again"
        )
    sides = [count if at == axis else 1 for at in range(values.ndim)]
    number = parts[0].attr["value"].tensor.dtype
    limits = np.iinfo(TYPES[number].loaded)
    return _MODES[_mode(node)](
        values.astype(np.float32), low.reshape(sides), high.reshape(sides), limits, node.attr["narrow_range"].b
    )


# Each in float32, step by step as tensorflow/core/kernels/dequantize_op.cc and quantization_utils.h compute.
def _min_combined(values: np.ndarray, low: np.ndarray, high: np.ndarray, limits: np.iinfo, narrow: bool) -> np.ndarray:
    lowest, highest = np.float32(limits.min), np.float32(limits.max)
    half_range = (highest - lowest + np.float32(1)) / np.float32(2) if limits.min else np.float32(0)
    return np.asarray((values + half_range) * ((high - low) / (highest - lowest)) + low)


def _min_first(values: np.ndarray, low: np.ndarray, high: np.ndarray, limits: np.iinfo, narrow: bool) -> np.ndarray:
    steps = 2.0**limits.bits - 1
    scale = ((high - low) / steps).astype(np.float32)  # steps is a double there
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = low / scale
        # std::round takes halves away from zero, numpy's to even.
        whole = np.trunc(quotient)
        rounded = whole + np.where(np.abs(quotient - whole) >= np.float32(0.5), np.sign(quotient), np.float32(0))
        first = np.where(high == low, low, rounded * scale)
    return np.asarray((first - np.float32(limits.min) * scale) + values * scale)


def _scaled(values: np.ndarray, low: np.ndarray, high: np.ndarray, limits: np.iinfo, narrow: bool) -> np.ndarray:
    highest = high / np.float32(limits.max)
    if limits.min == 0:
        return np.asarray(values * highest)
    return np.asarray(values * np.maximum(low / np.float32(limits.min + int(narrow)), highest))


_MODES: dict[str, Callable[..., np.ndarray]] = {
    "MIN_COMBINED": _min_combined,
    "MIN_FIRST": _min_first,
    "SCALED": _scaled,
}
