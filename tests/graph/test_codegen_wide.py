"""Many ops at once over wide ranges of their attributes, each against TensorFlow in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.steps import analysis_of, compare, variable

Draw = Callable[[st.SearchStrategy[Any]], Any]
Op = Callable[[Any, Any, Draw, str], Any]
CHANNELS = 4
OPS_AT_ONCE = 12
"""TensorFlow's session costs more than its ops."""


def _pair(draw: Draw, low: int, high: int) -> list[int]:
    return [draw(st.integers(low, high)), draw(st.integers(low, high))]


def _padding(draw: Draw, x: Any, reach: list[int]) -> str:
    """Return SAME, or VALID too where a window fits into the map."""
    fits = all(r <= side for r, side in zip(reach, x.shape[1:3], strict=True))
    return str(draw(st.sampled_from(["SAME", "VALID"] if fits else ["SAME"])))


def conv(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    kernel, stride, dilation = _pair(draw, 1, 5), _pair(draw, 1, 3), _pair(draw, 1, 3)
    dilation = [1, 1] if max(stride) > 1 else dilation
    padding = _padding(draw, x, [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)])
    inputs = draw(st.sampled_from([1, 2, 4]))
    return tf.nn.conv2d(x, variable(tf, *kernel, inputs, 8, name=name), stride, padding, dilations=dilation)


def depthwise(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    kernel, stride, times = _pair(draw, 1, 5), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    dilation = [1, 1] if stride > 1 else _pair(draw, 1, 3)
    padding = _padding(draw, x, [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)])
    weights = variable(tf, *kernel, CHANNELS, times, name=name)
    return tf.nn.depthwise_conv2d(x, weights, [1, stride, stride, 1], padding, dilations=dilation)


def transposed(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    kernel, stride = _pair(draw, 1, 5), _pair(draw, 1, 3)
    same = draw(st.booleans())
    less = [draw(st.integers(0, s - 1)) for s in stride]
    sizes = [
        side * s - cut if same else (side - 1) * s + k + (cut if s > 1 else 0)
        for side, s, k, cut in zip(x.shape[1:3], stride, kernel, less, strict=True)
    ]
    weights = variable(tf, *kernel, 3, CHANNELS, name=name)
    shape = tf.stack([tf.shape(x)[0], *sizes, 3])
    return tf.nn.conv2d_transpose(x, weights, shape, stride, "SAME" if same else "VALID")


def pool(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    kernel, stride = _pair(draw, 1, 5), _pair(draw, 1, 3)
    function = tf.nn.max_pool2d if draw(st.booleans()) else tf.nn.avg_pool2d
    return function(x, kernel, stride, _padding(draw, x, kernel))


def resize(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    kernel = draw(st.sampled_from(["ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea"]))
    rules = {"align_corners": False, "half_pixel_centers": False}
    rule = draw(st.sampled_from(["", *rules]))
    options = rules | ({rule: True} if rule else {})
    if kernel == "ResizeArea":
        del options["half_pixel_centers"]
    return getattr(tf.raw_ops, kernel)(images=x, size=_pair(draw, 1, 17), **options)


def pad(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    mode = draw(st.sampled_from(["CONSTANT", "REFLECT", "SYMMETRIC"]))
    pads = [[0, 0], *(_pair(draw, 0, 3) for _ in range(3))]
    value = draw(st.sampled_from([0.0, -1.5])) if mode == "CONSTANT" else 0.0
    return tf.pad(x, pads, mode, constant_values=value)


def sliced(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    bounds = st.one_of(st.none(), st.integers(-4, 4))
    index: list[Any] = [slice(None)]
    for _ in range(3):
        kind = draw(st.sampled_from(["slice", "slice", "slice", "number", "new"]))
        step = draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
        index.append(
            tf.newaxis if kind == "new" else draw(st.integers(-3, 3)) if kind == "number" else
            slice(draw(bounds), draw(bounds), None if step == 1 else step)
        )  # fmt: skip
    found = x[tuple(index)]
    return found if 0 not in found.shape[1:].as_list() else x[:, ::2]


def rearranged(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    axis = draw(st.integers(-4, 3))
    kind = draw(
        st.sampled_from(["transpose", "concat", "split", "stack", "gather", "pick", "flip", "tile", "expand", "cum"])
    )
    if kind == "transpose":
        return tf.transpose(x, draw(st.permutations(range(4))))
    if kind == "split":
        sizes = [1, int(x.shape[axis]) - 1] if axis % 4 else []
        return tf.concat(tf.split(x, sizes, axis)[::-1], axis) if sizes else tf.concat([x, x], 0)
    if kind == "pick":
        dims = draw(st.integers(0, 2))
        index = np.random.default_rng(dims).integers(0, CHANNELS, (*x.shape[1 : dims + 1], 2))
        return tf.gather(tf.transpose(x, [1, 2, 0, 3]), index, axis=3, batch_dims=dims)
    if kind == "cum":
        function = draw(st.sampled_from([tf.math.cumsum, tf.math.cumprod]))
        return function(x, axis, draw(st.booleans()), draw(st.booleans()))
    return {
        "concat": lambda: tf.concat([x, x * 2.0], axis),
        "stack": lambda: tf.stack([x, x + 1.0], axis),
        "gather": lambda: tf.gather(x, [1, 0, 1], axis=axis),
        "flip": lambda: tf.reverse(x, [axis]),
        "tile": lambda: tf.tile(x, [1, *(draw(st.integers(1, 2)) for _ in range(3))]),
        "expand": lambda: tf.expand_dims(x, axis),
    }[kind]()


def reduced(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    function = draw(st.sampled_from(["mean", "sum", "max", "min", "prod"]))
    axes = sorted(draw(st.sets(st.integers(0, 3), min_size=1)))
    return getattr(tf, f"reduce_{function}")(x, axes, keepdims=draw(st.booleans()))


def moved(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    block = _pair(draw, 1, 3)
    before = _pair(draw, 0, 2)
    after = [-(side + b) % s for side, b, s in zip(x.shape[1:3], before, block, strict=True)]
    y = tf.space_to_batch(x, block, list(zip(before, after, strict=True))) * 2.0
    crops = [[draw(st.integers(0, 1)), draw(st.integers(0, 1))] for _ in range(2)]
    if draw(st.booleans()):
        return tf.batch_to_space(y, block, crops)
    depth = draw(st.integers(2, 3))
    sides = [side // depth * depth for side in x.shape[1:3]]
    return tf.nn.space_to_depth(x[:, : sides[0], : sides[1]], depth)


def normed(tf: Any, x: Any, draw: Draw, name: str) -> Any:
    if draw(st.booleans()):
        return tf.nn.lrn(x, draw(st.integers(1, 5)), draw(st.sampled_from([1.0, 2.0])), 0.25, 0.75)
    mean, variance = tf.nn.moments(x, sorted(draw(st.sets(st.integers(1, 3), min_size=1))), keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, None, variable(tf, CHANNELS, name=name), 1e-3)


OPS: tuple[Op, ...] = (conv, depthwise, transposed, pool, resize, pad, sliced, rearranged, reduced, moved, normed)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_ops_of_any_attributes_compute_what_tensorflow_computes(tf: Any, data: st.DataObject) -> None:
    size = [data.draw(st.integers(5, 11)), data.draw(st.integers(5, 11))]

    def build(x: Any) -> list[Any]:
        y = tf.nn.relu6(tf.nn.conv2d(x, variable(tf, 1, 1, 3, CHANNELS, name="first"), 1, "SAME") + 0.1)
        chosen = data.draw(st.lists(st.sampled_from(OPS), min_size=OPS_AT_ONCE, max_size=OPS_AT_ONCE))
        return [op(tf, y, data.draw, f"op_{at}") * 2.0 for at, op in enumerate(chosen)]

    compare(tf, analysis_of(tf, build, (None, *size, 3)))
