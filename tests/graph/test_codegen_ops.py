"""Single ops as PyTorch steps, against TensorFlow in float64 over their attributes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.steps import analysis_of, compare, variable
from porter.graph.codegen.lower import lower

few = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
sides = st.integers(1, 4)
sizes = st.tuples(st.integers(5, 12), st.integers(5, 12))


@few
@given(
    sizes, st.tuples(sides, sides), st.permutations([1, 2, 3]), st.integers(1, 2), st.sampled_from(["SAME", "VALID"])
)
def test_convolutions(tf: Any, size: Any, kernel: Any, steps: Any, dilation: int, padding: str) -> None:
    stride, other = steps[:2]
    dilation = 1 if stride > 1 else dilation

    def build(x: Any) -> Any:
        y = tf.nn.conv2d(x, variable(tf, *kernel, 4, 6), stride, padding, dilations=dilation, name="a")
        y = tf.nn.bias_add(y, variable(tf, 6, name="bias"))
        strides = [1, stride, stride, 1]
        z = tf.nn.depthwise_conv2d(x, variable(tf, *kernel, 4, 2, name="d"), strides, padding, dilations=[dilation] * 2)
        grouped = tf.nn.conv2d(x, variable(tf, *kernel, 2, 6, name="g"), [stride, other], padding, name="b")
        return [y, z + variable(tf, 8, name="other"), grouped]

    if padding == "VALID" and any((k - 1) * dilation >= side for k, side in zip(kernel, size, strict=True)):
        return
    compare(tf, analysis_of(tf, build, (None, *size, 4)))


@few
@given(sizes, st.tuples(sides, sides), st.integers(1, 3), st.sampled_from(["SAME", "VALID"]))
def test_pools(tf: Any, size: Any, kernel: Any, stride: int, padding: str) -> None:
    analysis = analysis_of(
        tf,
        lambda x: [tf.nn.max_pool2d(x, kernel, stride, padding), tf.nn.avg_pool2d(x, kernel, stride, padding)],
        (None, *size, 3),
    )
    compare(tf, analysis)


@few
@given(st.integers(3, 6), sides, st.integers(1, 2), st.sampled_from(["SAME", "VALID"]))
def test_three_dimensions(tf: Any, size: int, kernel: int, stride: int, padding: str) -> None:
    kernel = min(kernel, size)

    def build(x: Any) -> Any:
        strides = [1, stride, stride, stride, 1]
        y = tf.nn.conv3d(x, variable(tf, kernel, kernel, kernel, 2, 3), strides, padding) + variable(tf, 3, name="b")
        return [y, tf.nn.max_pool3d(x, kernel, stride, padding), tf.nn.avg_pool3d(x, kernel, stride, padding)]

    compare(tf, analysis_of(tf, build, (None, size, size + 1, size, 2)))


@few
@given(sizes, st.tuples(sides, sides), st.integers(1, 3), st.sampled_from(["SAME", "VALID"]), st.booleans())
def test_transposed_convolutions(tf: Any, size: Any, kernel: Any, stride: int, padding: str, odd: bool) -> None:
    def build(x: Any) -> Any:
        given = tf.shape(x)
        more = [max(k - stride, 0) if padding == "VALID" else 0 for k in kernel]
        shape = [given[0], given[1] * stride + more[0], given[2] * stride + more[1], 3]
        if odd and padding == "SAME" and stride > 1:
            shape[1] = shape[1] - 1
        y = tf.nn.conv2d_transpose(x, variable(tf, *kernel, 3, 4), tf.stack(shape), stride, padding)
        return y + variable(tf, 3, name="bias")

    compare(tf, analysis_of(tf, build, (None, *size, 4)))
    compare(tf, analysis_of(tf, build, (None, None, None, 4)), side=size[0])


def test_a_common_transposed_convolution_is_a_module(tf: Any) -> None:
    def build(x: Any, kernel: int) -> Any:
        shape = tf.shape(x)
        out = tf.stack([shape[0], 2 * shape[1], 2 * shape[2], 3])
        return tf.nn.conv2d_transpose(x, variable(tf, kernel, kernel, 3, 4), out, 2, "SAME")

    modules = [
        lower(analysis_of(tf, lambda x, k=kernel: build(x, k), (None, None, None, 4))).steps[0].module
        for kernel in (4, 3, 2)
    ]
    assert modules == ["nn.ConvTranspose2d", "SameConvTranspose2d", "nn.ConvTranspose2d"]


def test_a_transposed_convolution_to_another_maps_size(tf: Any) -> None:
    """As a decoder's to the size of the encoder's map, which may be odd."""

    def build(x: Any) -> list[Any]:
        y = tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4), 2, "SAME")
        shape = tf.concat([tf.shape(y)[:1], tf.shape(x)[1:3], [3]], 0)
        kernels = [variable(tf, side, side + 1, 3, 4, name=f"up{side}") for side in (2, 3, 4)]
        return [tf.nn.conv2d_transpose(y, kernel, shape, 2, "SAME") * 2.0 for kernel in kernels]

    analysis = analysis_of(tf, build, (None, None, None, 3))
    for side in (9, 10):
        compare(tf, analysis, side=side)


@pytest.mark.parametrize("rule", [(False, False), (True, False), (False, True)])
@settings(few, max_examples=3)
@given(sizes, sizes)
def test_resizing(tf: Any, rule: Any, size: Any, new: Any) -> None:
    align, half = rule

    def build(x: Any) -> Any:
        options = {"align_corners": align, "half_pixel_centers": half}
        return [
            tf.raw_ops.ResizeBilinear(images=x, size=new, **options),
            tf.raw_ops.ResizeNearestNeighbor(images=x, size=new, **options),
            tf.raw_ops.ResizeArea(images=x, size=new, align_corners=align),
        ]

    compare(tf, analysis_of(tf, build, (None, *size, 3)))


@few
@given(sizes, st.sampled_from(["REFLECT", "SYMMETRIC", "CONSTANT"]), st.integers(0, 4), st.integers(0, 4))
def test_padding(tf: Any, size: Any, mode: str, before: int, after: int) -> None:
    pads = [[0, 0], [before, after], [after, 0], [0, 0]]
    analysis = analysis_of(tf, lambda x: tf.abs(tf.pad(x, pads, mode)) * 2.0, (None, *size, 3))
    compare(tf, analysis)


@few
@given(st.integers(1, 3), st.sampled_from([(1, 2), (2, 1), (2, 2), (3, 2)]), st.integers(2, 3))
def test_space_batch_and_depth(tf: Any, times: int, block: Any, depth: int) -> None:
    def build(x: Any) -> Any:
        y = tf.space_to_batch(x, block, [[0, 0], [0, 0]]) + 1.0
        y = tf.batch_to_space(y, block, [[0, 1], [0, 0]])
        z = tf.nn.depth_to_space(tf.nn.space_to_depth(x, depth) * 2.0, depth)
        return [y, z]

    compare(tf, analysis_of(tf, build, (None, 6 * times, 12, 3)))


@few
@given(st.tuples(st.integers(7, 12), st.integers(7, 12)), st.sampled_from([3, 5]), st.sampled_from(["SAME", "VALID"]))
def test_an_atrous_convolution_of_older_tensorflow_is_one_convolution(
    tf: Any, size: Any, kernel: int, padding: str
) -> None:
    kernel = 3 if padding == "VALID" else kernel

    def build(x: Any) -> Any:
        weights = variable(tf, kernel, kernel, 3, 5)
        base = [[kernel - 1] * 2] * 2 if padding == "SAME" else [[0, 0]] * 2
        pads, crops = tf.required_space_to_batch_paddings(size, [2, 2], base)
        y = tf.space_to_batch(x, [2, 2], pads)
        y = tf.batch_to_space(tf.nn.conv2d(y, weights, 1, "VALID"), [2, 2], crops)
        return tf.nn.bias_add(y, variable(tf, 5, name="bias"))

    program = compare(tf, analysis_of(tf, build, (None, *size, 3)))
    assert [step.arguments["dilation"] for step in program.steps] == [2]


@few
@given(st.integers(0, 3), st.sampled_from([1, 2, 3, 4]), st.booleans())
def test_axes_follow_the_layout(tf: Any, axis: int, rank: int, keep: bool) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME"))
        axes = sorted({axis, rank % 4})
        parts = tf.split(y, 2, axis) if axis else [y, y]
        return [
            tf.reduce_mean(y, axes, keepdims=keep) * 2.0,
            tf.concat([parts[1], parts[0]], axis) + 1.0,
            tf.reduce_max(y, axis, keepdims=keep) - 1.0,
            tf.stack(tf.unstack(y, axis=3)[::2], -1) * 3.0,
            tf.transpose(y, [0, 3, 1, 2]) * 1.5,
            tf.transpose(y, [0, 2, 1, 3]) * 1.5,
            tf.expand_dims(y, axis) * 2.0,
            tf.nn.softmax(y) * 2.0,
        ]

    compare(tf, analysis_of(tf, build, (None, 4, 6, 3)))


@few
@given(st.integers(0, 3), st.integers(1, 3), st.integers(1, 2), st.booleans())
def test_slices_and_gathers(tf: Any, begin: int, length: int, step: int, open_sides: bool) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu6(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME"))
        return [
            y[:, begin : begin + length * step : step, 1:-1, :2] * 2.0,
            y[:, 1, :, ::2] * 2.0,
            y[..., tf.newaxis, 0] * 2.0,
            tf.slice(y, [0, begin, 0, 1], [-1, length, -1, 2]) * 2.0,
            tf.gather(y, [2, 0, 1], axis=3) * 2.0,
            tf.reverse(y, [1, 3]) * 2.0,
            tf.tile(y, [1, 2, 1, 3]) * 2.0,
        ]

    compare(tf, analysis_of(tf, build, (None, None if open_sides else 7, 6, 3)), side=7)


@few
@given(st.sampled_from([(1, 1), (1, 2), (1, 3), (2, 2), (2, 3)]), st.sampled_from([(), (3,), (2, 3), (700,)]))
def test_a_gather_by_constants_may_differ_along_the_first_axes(
    tf: Any, place: tuple[int, int], picks: tuple[int, ...]
) -> None:
    dims, axis = place

    def build(x: Any) -> Any:
        y = tf.transpose(tf.nn.relu6(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME")), [2, 1, 0, 3])
        index = np.random.default_rng(axis).integers(0, [6, 5, 1, 4][axis], (*(6, 5)[:dims], *picks))
        return tf.gather(y, index, axis=axis, batch_dims=dims) * 2.0

    compare(tf, analysis_of(tf, build, (None, 5, 6, 3)))


def test_what_follows_a_layer_follows_in_the_graphs_order(tf: Any) -> None:
    """A bias behind an activation is no bias of the layer, nor is a norm behind one the layer's."""

    def build(x: Any) -> list[Any]:
        results = []
        for at, order in enumerate(itertools.permutations(["bias", "relu", "norm"])):
            y = tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4, name=f"conv_{at}"), 1, "SAME")
            z = tf.matmul(tf.reduce_mean(x, [1, 2]), variable(tf, 3, 4, name=f"matrix_{at}"))
            for step in order:
                weights = [variable(tf, 4, name=f"{step}_{at}_{part}") for part in range(2)]
                if step == "bias":
                    y, z = y + weights[0], tf.nn.bias_add(z, weights[0])
                elif step == "relu":
                    y, z = tf.nn.relu(y), tf.nn.relu(z)
                else:
                    statistics = [tf.constant([0.1, -0.2, 0.3, 0.0]), tf.constant([0.5, 1.0, 2.0, 0.25])]
                    y = tf.compat.v1.nn.fused_batch_norm(y, *weights, *statistics, 1e-3, is_training=False)[0]
            results += [y * 2.0, z * 2.0]
        return results

    compare(tf, analysis_of(tf, build, (None, 5, 6, 3)))


def test_a_sum_over_rows_is_no_bias_and_layouts_meet_in_a_concat(tf: Any) -> None:
    def build(x: Any) -> list[Any]:
        y = tf.nn.relu(tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4), 1, "SAME") + variable(tf, 4, 1, 1, name="rows"))
        last = tf.reshape(tf.matmul(tf.reshape(y, [-1, 96]), variable(tf, 96, 96, name="m")), [-1, 4, 6, 4])
        return [tf.concat(parts, axis) * 2.0 for parts in ([last, y], [y, last]) for axis in (1, 2, 3, -1)]

    compare(tf, analysis_of(tf, build, (None, 4, 6, 3)))


@few
@given(st.permutations([1, 2, 3]), st.sampled_from(["SAME", "VALID"]), st.booleans())
def test_convolutions_with_computed_kernels(tf: Any, steps: Any, padding: str, dilated: bool) -> None:
    def build(x: Any) -> list[Any]:
        kernel = variable(tf, 3, 2, 4, 6)
        kernel = (kernel - tf.reduce_mean(kernel, [0, 1, 2])) / tf.math.reduce_std(kernel, [0, 1, 2])
        options = {"strides": 1, "dilations": steps[:2]} if dilated else {"strides": steps[:2]}
        y = tf.nn.conv2d(x, kernel, padding=padding, **options)
        return [y * 2.0, tf.nn.depthwise_conv2d(x, kernel[..., :2], [1, steps[2], steps[2], 1], padding) * 2.0]

    compare(tf, analysis_of(tf, build, (None, 8, 9, 4)))


@few
@given(st.sampled_from([0, 1, 2, 3, -1]), st.sampled_from([2, 4, 6]))
def test_one_hot_and_a_division_by_zero(tf: Any, axis: int, depth: int) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu6(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME"))
        safe = tf.math.divide_no_nan(y, tf.nn.relu(y - 0.5))
        return [tf.one_hot(tf.argmax(y, -1), depth, 2.0, -1.0, axis) * 2.0, safe * 2.0]

    compare(tf, analysis_of(tf, build, (None, 5, 6, 3)))


def test_reshapes_keep_the_original_order(tf: Any) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME"))
        shape = tf.shape(y)
        flat = tf.reshape(y, [shape[0], shape[1] * shape[2], 4])
        back = tf.reshape(flat * 2.0, tf.shape(y))
        groups = tf.reshape(y, [-1, shape[1], shape[2], 2, 2])
        mixed = tf.reshape(tf.transpose(groups, [0, 1, 2, 4, 3]), tf.shape(y))
        return [back + 1.0, tf.nn.conv2d(mixed, variable(tf, 1, 1, 4, 2, name="last"), 1, "SAME")]

    compare(tf, analysis_of(tf, build, (None, None, None, 3)), side=5)
    compare(tf, analysis_of(tf, build, (None, 5, 4, 3)))


def test_broadcasting_follows_the_layout(tf: Any) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME"))
        mean = tf.reduce_mean(y, [1, 2])
        gate = tf.sigmoid(tf.matmul(mean, variable(tf, 4, 4, name="fc")))
        return [
            y * gate[:, None, None, :] - variable(tf, 4, name="c"),
            y + variable(tf, 6, 4, name="wc"),
            y - variable(tf, 1, 5, 6, 1, name="map"),
            tf.constant([1.0, 2.0, 3.0, 4.0]) - y,
            tf.math.squared_difference(y, tf.reduce_mean(y, -1, keepdims=True)),
            tf.where(y > 0.5, y, tf.zeros_like(y)) + tf.cast(y > 0.25, tf.float32),
            tf.maximum(tf.minimum(y, 0.75), 0.25) / (tf.exp(y) + 1.0),
        ]

    compare(tf, analysis_of(tf, build, (None, 5, 6, 3)))


@pytest.mark.parametrize("rank", [2, 4])
def test_norms_of_plain_ops_are_modules(tf: Any, rank: int) -> None:
    vector = {"shape": (None, 5, 6, 4)} if rank == 4 else {"shape": (None, 4)}

    def batch(x: Any) -> Any:
        mean, variance = variable(tf, 4, name="mean"), tf.abs(variable(tf, 4, name="variance"))
        variance = tf.identity(tf.constant([0.5, 1.0, 2.0, 0.25], name="spread"), name="spread/read")
        return tf.nn.batch_normalization(x, mean, variance, variable(tf, 4, name="b"), variable(tf, 4, name="g"), 1e-3)

    def instance(x: Any) -> Any:
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, variable(tf, 4, name="b"), variable(tf, 4, name="g"), 1e-5)

    def layer(x: Any) -> Any:
        mean, variance = tf.nn.moments(x, list(range(1, rank)), keepdims=True)
        return variable(tf, 4, name="g") * ((x - mean) / tf.sqrt(variance + 1e-5)) + variable(tf, 4, name="b")

    wanted = {2: [(batch, "nn.BatchNorm1d"), (layer, "nn.LayerNorm")]}
    wanted[4] = [(batch, "nn.BatchNorm2d"), (instance, "nn.InstanceNorm2d"), (layer, "nn.GroupNorm")]
    for build, module in wanted[rank]:
        program = compare(tf, analysis_of(tf, lambda x, made=build: made(x) * 2.0, vector["shape"]))
        assert [step.module for step in program.steps][:1] == [module]
        assert len(program.steps) == 2


def test_activations_of_plain_ops_are_modules(tf: Any) -> None:
    def build(x: Any) -> Any:
        return [
            tf.minimum(tf.maximum(x, 0.0), 6.0) * 2.0,
            x * tf.nn.relu6(x + 3.0) / 6.0 * 2.0,
            x * tf.sigmoid(x) * 2.0,
            tf.maximum(x, 0.25 * x) * 2.0,
            tf.nn.leaky_relu(x, 0.125) * 2.0,
            tf.nn.elu(x) + tf.nn.selu(x) + tf.nn.softplus(x),
        ]

    program = compare(tf, analysis_of(tf, build, (None, 4, 4, 3)))
    modules = {step.module for step in program.steps}
    assert modules >= {"nn.ReLU6", "nn.Hardswish", "nn.SiLU", "nn.LeakyReLU", "nn.ELU", "nn.SELU", "nn.Softplus"}


def test_a_matrix_product_is_a_linear_layer(tf: Any) -> None:
    def build(x: Any) -> Any:
        y = tf.matmul(x, variable(tf, 6, 5)) + variable(tf, 5, name="bias")
        z = tf.matmul(x, variable(tf, 5, 6, name="turned"), transpose_b=True)
        return [y, z, tf.matmul(y[:, :, None], z[:, None, :])]

    program = compare(tf, analysis_of(tf, build, (None, 6)))
    assert [step.module for step in program.steps][:2] == ["nn.Linear", "nn.Linear"]


def test_all_that_has_no_translation_is_listed(tf: Any) -> None:
    def build(x: Any) -> Any:
        return tf.math.digamma(tf.math.lgamma(x))

    problems = lower(analysis_of(tf, build, (None, 6, 6, 3))).problems
    assert [(problem.op, problem.shapes[0]) for problem in problems] == [
        ("Lgamma", (None, 6, 6, 3)),
        ("Digamma", None),
    ]


def test_sizes_of_shape_arithmetic_are_plain_python(tf: Any) -> None:
    def build(x: Any) -> Any:
        sizes = tf.cast(tf.shape(x)[1:3], tf.float32)
        half = tf.cast(tf.math.ceil(sizes / 2.0), tf.int32)
        y = tf.compat.v1.image.resize_nearest_neighbor(x, half)
        rows = tf.shape(y)[1] * tf.shape(y)[2]
        return tf.reshape(y, [tf.shape(x)[0], rows, 3]) * 2.0

    program = compare(tf, analysis_of(tf, build, (None, None, None, 3)), side=7)
    assert program.steps[0].expression.startswith(
        "F.interpolate({0}, (int(math.ceil({0}.shape[2] / 2.0)), int(math.ceil({0}.shape[3] / 2.0)))"
    )
    program = compare(tf, analysis_of(tf, build, (None, 7, 9, 3)))
    assert program.steps[0].expression == 'F.interpolate({0}, (4, 5), mode="nearest")'


@few
@given(st.integers(2, 5), sides, st.integers(1, 2), st.sampled_from(["SAME", "VALID"]))
def test_transposed_convolutions_of_three_dimensions(
    tf: Any, size: int, kernel: int, stride: int, padding: str
) -> None:
    def build(x: Any) -> Any:
        more = max(kernel - stride, 0) if padding == "VALID" else 0
        shape = tf.stack([tf.shape(x)[0], *[size * stride + more] * 3, 3])
        weights = variable(tf, kernel, kernel, kernel, 3, 2)
        return tf.nn.conv3d_transpose(x, weights, shape, stride, padding) * 2.0

    compare(tf, analysis_of(tf, build, (None, size, size, size, 2)))


def test_rolls_and_gathers_of_windows(tf: Any) -> None:
    """As Swin Transformers have them: shifted windows, masks, and a table of relative positions."""
    places = np.random.default_rng(0).integers(0, 3, (2, 5, 2))

    def build(x: Any) -> list[Any]:
        height = tf.shape(x)[1]
        y = tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4), 1, "SAME")
        computed = tf.stack([tf.argmax(y[0, :, :, 0], -1), tf.argmax(y[0, :, :, 1], -1)], -1) % 2
        rows = tf.transpose(tf.matmul(y, y, transpose_b=True), [0, 3, 1, 2])
        return [
            tf.roll(y, [2, -3], [1, 2]) * 2.0,
            tf.roll(y, -(height // 2), 1) + 1.0,
            tf.roll(y, [1, 1, -1], [3, 1, 3]) * 2.0,
            tf.gather_nd(y[0], places) * 2.0,
            tf.gather_nd(tf.transpose(y, [1, 2, 3, 0]), computed) * 2.0,
            tf.math.cumprod(y, 1) * 2.0,
            tf.math.cumprod(y, -1, reverse=True) * 2.0,
            tf.linalg.band_part(rows, 1, 0) * 2.0,
            tf.linalg.band_part(rows, -1, 2) * 2.0,
        ]

    compare(tf, analysis_of(tf, build, (None, 6, 3, 3)))
    shifts = analysis_of(tf, lambda x: tf.roll(x, tf.shape(x)[1] // 2, 1) * 2.0, (None, None, None, 3))
    assert compare(tf, shifts, side=7).steps[0].expression == "{0}.roll({0}.shape[2] // 2, 2)"


@few
@given(st.sampled_from([1, 2, 3, -1, 0]), st.booleans(), st.booleans())
def test_sums_and_products_along_an_axis(tf: Any, axis: int, exclusive: bool, reverse: bool) -> None:
    def build(x: Any) -> list[Any]:
        y = tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME")
        places = tf.argmax(y, -1)
        along = {"axis": axis % 3, "exclusive": exclusive, "reverse": reverse}
        return [
            tf.math.cumprod(y, axis, exclusive, reverse) * 2.0,
            tf.math.cumsum(y, axis, exclusive, reverse) * 2.0,
            tf.math.cumprod(places, **along) * 2,
            tf.math.cumsum(places, **along) * 2,
        ]

    compare(tf, analysis_of(tf, build, (None, 5, 6, 3)))


def test_angles_of_two_coordinates(tf: Any) -> None:
    def build(x: Any) -> list[Any]:
        y = tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME")
        column = variable(tf, 6, 1, name="column")
        return [
            tf.atan2(y, y[..., ::-1]) * 2.0,
            tf.atan2(y, variable(tf, 4, name="channels")) * 2.0,
            tf.atan2(column, y) * 2.0,
            tf.atan2(y, tf.reduce_mean(y, [1, 2])[:, None, None, :]) * 2.0,
            tf.atan2(0.1, y) * 2.0,
            tf.atan2(y, -0.3) * 2.0,
        ]

    compare(tf, analysis_of(tf, build, (None, 5, 6, 3)))


@few
@given(sizes, st.tuples(sides, sides), st.permutations([1, 2, 3]), st.sampled_from(["SAME", "VALID"]), st.booleans())
def test_dilations_of_mathematical_morphology(
    tf: Any, size: Any, kernel: Any, steps: Any, padding: str, computed: bool
) -> None:
    rates = [rate if (k - 1) * rate < side else 1 for k, rate, side in zip(kernel, steps[1:], size, strict=True)]

    def build(x: Any) -> Any:
        weights = variable(tf, *kernel, 4)
        weights = tf.exp(weights) if computed else weights
        y = tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4, name="first"), 1, "SAME") - 3.0
        options = {"strides": [1, *steps[:2], 1], "rates": [1, *rates, 1], "padding": padding}
        return tf.raw_ops.Dilation2D(input=y, filter=weights, **options) * 2.0

    compare(tf, analysis_of(tf, build, (None, *size, 3)))
    compare(tf, analysis_of(tf, build, (None, None, None, 3)), side=size[0])
