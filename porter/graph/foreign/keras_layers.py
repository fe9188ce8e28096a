"""write_layer: one layer of a Keras config as nodes of TensorFlow's ops.

Nothing of Keras runs: a layer is its class' name and its settings. A class that porter does not know, such as a Lambda,
becomes one op of that name. Source: keras/src/layers/.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from porter.graph.foreign.keras_activations import activated, activation_of
from porter.graph.foreign.keras_call import Call
from porter.graph.foreign.keras_sequences import GATES, attention, both_ways, recurrent
from porter.graph.foreign.keras_windows import conv, depthwise, finished, plain, pool, separable, transposed


def write_layer(call: Call) -> str:
    """Add the nodes of a layer; return its output. Raises LookupError, TypeError or ValueError for damaged settings."""
    write = LAYERS.get(call.kind)
    return write(call) if write is not None and call.inputs else call.opaque()


# ---- products and norms
def _dense(call: Call) -> str:
    units, shape = int(call.settings["units"]), call.shape
    weight = call.weight("kernel", (shape[-1] if shape else None, units))
    op = "MatMul" if shape is None or len(shape) == 2 else "BatchMatMulV2"  # which takes any leading axes
    return finished(call, call.add(op, [call.inputs[0], weight], last=plain(call)), units)


def _embedding(call: Call) -> str:
    table = call.weight("embeddings", (int(call.settings["input_dim"]), int(call.settings["output_dim"])))
    return call.add("GatherV2", [table, call.inputs[0], call.constant("axis", 0)])


def _batch_norm(call: Call) -> str:
    axis = call.settings.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) else axis
    shape = call.shape
    channels = shape[int(axis)] if shape else None
    parts = []
    for leaf, switch in (("gamma", "scale"), ("beta", "center")):
        given, fill = call.settings.get(switch, True), float(leaf == "gamma")
        parts.append(call.weight(leaf, (channels,)) if given else call.constant(leaf, fill))
    parts += [call.weight(leaf, (channels,)) for leaf in ("moving_mean", "moving_variance")]
    epsilon = float(call.settings.get("epsilon", 1e-3))
    layout = "NCHW" if axis == 1 and shape is not None and len(shape) == 4 else "NHWC"
    return call.add(
        "FusedBatchNormV3", [call.inputs[0], *parts], epsilon=epsilon, is_training=False, data_format=layout
    )


# ---- activations
def _activation(call: Call) -> str:
    name = activation_of(call)
    return activated(call, call.inputs[0], name) if name else _passed(call)


def _relu(call: Call) -> str:
    slope = _number(call.settings.get("negative_slope") or call.settings.get("alpha"))
    if slope:
        return call.add("LeakyRelu", call.inputs[:1], alpha=slope)
    return call.add("Relu6" if _number(call.settings.get("max_value")) == 6 else "Relu", call.inputs[:1])


def _leaky(call: Call) -> str:
    slope = _number(call.settings.get("negative_slope", call.settings.get("alpha", 0.3)))
    return call.add("LeakyRelu", call.inputs[:1], alpha=slope)


def _number(value: Any) -> float:
    """Return a setting's number; Keras also writes arrays as {"value": number}."""
    value = value.get("value") if isinstance(value, Mapping) else value
    return float(value) if isinstance(value, (int, float)) else 0.0


def _prelu(call: Call) -> str:
    shared = call.settings.get("shared_axes") or ()
    sides = [1 if at in shared else side for at, side in enumerate(call.shape or ()) if at]
    return call.add("Prelu", [call.inputs[0], call.weight("alpha", sides)])


# ---- pools
def _global_pool(call: Call) -> str:
    rank = len(call.shape) if call.shape else 4
    axes = call.constant("axes", list(range(2, rank) if call.channels_first else range(1, rank - 1)))
    op = "Mean" if "Average" in call.kind else "Max"
    return call.add(op, [call.inputs[0], axes], keep_dims=bool(call.settings.get("keepdims")))


# ---- shapes
def _padded(call: Call) -> str:
    pads = call.settings.get("padding", 1)
    rank = int(call.kind[-2])
    pairs: list[Any] = [pads] * rank if isinstance(pads, int) else list(pads)
    pairs = [[pair, pair] if isinstance(pair, int) else list(pair) for pair in pairs]
    if rank == 1 and len(pairs) == 2:
        pairs = [[pairs[0][0], pairs[1][0]]]
    none = [[0, 0]]
    whole = [*none, *none, *pairs] if call.channels_first else [*none, *pairs, *none]
    return call.add("Pad", [call.inputs[0], call.constant("paddings", whole)])


def _cropped(call: Call) -> str:
    rank, crops = int(call.kind[-2]), call.settings.get("cropping", 0)
    pairs: list[Any] = [crops] * rank if isinstance(crops, int) else list(crops)
    pairs = [[pair, pair] if isinstance(pair, int) else list(pair) for pair in pairs]
    if rank == 1 and len(pairs) == 2:
        pairs = [[pairs[0][0], pairs[1][0]]]
    begins = [int(before) for before, _ in pairs]
    sizes = [
        -1 if side is None else side - int(before) - int(after)
        for side, (before, after) in zip(call.space, pairs, strict=True)
    ]
    first = [0, 0] if call.channels_first else [0]
    begin = [*first, *begins] if call.channels_first else [*first, *begins, 0]
    size = [-1, -1, *sizes] if call.channels_first else [-1, *sizes, -1]
    return call.add("Slice", [call.inputs[0], call.constant("begin", begin), call.constant("size", size)])


def _upsampled(call: Call) -> str:
    rank = int(call.kind[-2])
    factors = call.sides("size", rank, 2)
    grown = [None if side is None else side * factor for side, factor in zip(call.space, factors, strict=True)]
    op = "ResizeNearestNeighbor" if call.settings.get("interpolation", "nearest") == "nearest" else "ResizeBilinear"
    if None in grown or call.channels_first or rank != 2:
        shape = call.shape or ()
        return call.opaque((*shape[:2], *grown) if call.channels_first else (shape[0], *grown, shape[-1]), op)
    return call.add(op, [call.inputs[0], call.constant("size", grown)])


def _resized(call: Call) -> str:
    sizes = [int(call.settings["height"]), int(call.settings["width"])]
    op = "ResizeNearestNeighbor" if call.settings.get("interpolation") == "nearest" else "ResizeBilinear"
    return call.add(op, [call.inputs[0], call.constant("size", sizes)])


def _flattened(call: Call) -> str:
    shape = call.shape
    sides = shape[1:] if shape else (None,)
    if None in sides:
        return call.opaque((1, None), "Reshape")
    return call.add("Reshape", [call.inputs[0], call.constant("shape", [-1, math.prod(s or 1 for s in sides)])])


def _reshaped(call: Call) -> str:
    target = [int(side) for side in call.settings["target_shape"]]
    shape = call.shape
    known = math.prod(side for side in target if side > 0)
    if -1 in target and shape and None not in shape[1:] and known:
        target[target.index(-1)] = math.prod(side or 1 for side in shape[1:]) // known
    return call.add("Reshape", [call.inputs[0], call.constant("shape", [1 if shape else -1, *target])])


def _permuted(call: Call) -> str:
    return call.add("Transpose", [call.inputs[0], call.constant("perm", [0, *map(int, call.settings["dims"])])])


# ---- merges and the rest
def _merged(call: Call) -> str:
    op = _MERGES[call.kind]
    found = call.inputs[0]
    for at, other in enumerate(call.inputs[1:], start=2):
        found = call.add(op, [found, other], last=at == len(call.inputs))
    return found if len(call.inputs) > 1 else _passed(call)


def _averaged(call: Call) -> str:
    total = call.add("AddN", call.inputs, last=False)
    return call.add("Mul", [total, call.constant("weight", 1 / len(call.inputs))])


def _concatenated(call: Call) -> str:
    axis = call.constant("axis", int(call.settings.get("axis", -1)))
    return call.add("ConcatV2", [*call.inputs, axis], N=len(call.inputs))


def _passed(call: Call) -> str:
    return call.add("Identity", call.inputs[:1])


def _rescaled(call: Call) -> str:
    scale, offset = call.settings.get("scale", 1), call.settings.get("offset", 0)
    found = call.add("Mul", [call.inputs[0], call.constant("scale", _floats(scale))], last=False)
    return call.add("AddV2", [found, call.constant("offset", _floats(offset))])


def _floats(value: Any) -> Any:
    return [float(part) for part in value] if isinstance(value, list) else _number(value)


def _normalized(call: Call) -> str:
    """Normalization: subtracts its mean and divides by the root of its variance, which the config may state."""
    mean, variance = call.settings.get("mean"), call.settings.get("variance")
    parts = []
    for leaf, given in (("mean", mean), ("variance", variance)):
        stated = isinstance(given, (list, int, float))
        flat = given[0] if isinstance(given, list) and len(given) == 1 and isinstance(given[0], list) else given
        channels = (call.channels,)
        parts.append(call.constant(leaf, _floats(flat)) if stated else call.weight(leaf, channels))
    centred = call.add("Sub", [call.inputs[0], parts[0]], last=False)
    return call.add("RealDiv", [centred, call.add("Sqrt", [parts[1]], last=False)])


def _same(call: Call) -> str:
    """A layer whose output has the shape of its input."""
    return call.opaque(call.shape)


_MERGES = {
    "Add": "AddV2", "Multiply": "Mul", "Subtract": "Sub", "Maximum": "Maximum", "Minimum": "Minimum",
    "TrueDivide": "RealDiv", "Divide": "RealDiv", "Power": "Pow",
}  # fmt: skip
_POOLS = [f"{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in (1, 2, 3)]
_GLOBAL = [f"Global{kind}Pooling{rank}D" for kind in ("Max", "Average") for rank in (1, 2, 3)]
_PASSING = (
    "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianNoise GaussianDropout AlphaDropout Masking "
    "ActivityRegularization RandomFlip RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness "
    "Identity"
).split()
"""Layers that compute nothing outside of training."""
_SAME = (
    "LayerNormalization", "GroupNormalization", "UnitNormalization", "RMSNormalization",
    "ThresholdedReLU", "LayerScale",
)  # fmt: skip
"""Layers whose output has the shape of their input."""

LAYERS: dict[str, Callable[[Call], str]] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), conv),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), separable),
    "Conv2DTranspose": transposed, "Dense": _dense, "Embedding": _embedding, "BatchNormalization": _batch_norm,
    "Activation": _activation, "ReLU": _relu, "LeakyReLU": _leaky, "PReLU": _prelu,
    "Softmax": lambda call: activated(call, call.inputs[0], "softmax"),
    "ELU": lambda call: activated(call, call.inputs[0], "elu"),
    **dict.fromkeys(_POOLS, pool), **dict.fromkeys(_GLOBAL, _global_pool),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"), _padded),
    **dict.fromkeys(("Cropping1D", "Cropping2D", "Cropping3D"), _cropped),
    **dict.fromkeys(("UpSampling1D", "UpSampling2D", "UpSampling3D"), _upsampled),
    **dict.fromkeys(GATES, recurrent), "Bidirectional": both_ways, "MultiHeadAttention": attention,
    "Resizing": _resized, "Flatten": _flattened, "Reshape": _reshaped, "Permute": _permuted,
    **dict.fromkeys(_MERGES, _merged), "Average": _averaged, "Concatenate": _concatenated, "Rescaling": _rescaled,
    "Normalization": _normalized, **dict.fromkeys(_PASSING, _passed), **dict.fromkeys(_SAME, _same),
}  # fmt: skip
"""The layers that porter knows, by class."""
