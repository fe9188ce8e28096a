"""Graphs of public bug reports about other converters, rebuilt small: each step against TensorFlow in float64.

The report is in the test's comment as owner/repository#number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.steps import analysis_of, compare, frozen_graph, images_of, run_steps, run_tensorflow, variable
from helpers.written import built, values_of, write_files, written_graph
from porter.graph.analysis.analysis import Analysis
from porter.graph.codegen.lower import lower

Build = Callable[[Any, Any], Any]


def _reshaped_like_attention(tf: Any, x: Any) -> Any:
    y = tf.reshape(tf.nn.relu(x), [-1, 30, 4])
    return tf.nn.relu(tf.reshape(tf.matmul(y, y, transpose_b=True), [-1, 30, 5, 6]))


def _norm_of_the_batch(tf: Any, x: Any) -> Any:
    weights = [variable(tf, 4, name=name) for name in ("gamma", "beta")]
    return tf.compat.v1.nn.fused_batch_norm(x, *weights, epsilon=1e-3, is_training=True)[0] * 2.0


def _dilated_1d(tf: Any, x: Any) -> Any:
    y = tf.space_to_batch(x[:, :, 0], [2], [[2, 1]])
    y = tf.nn.conv1d(y, variable(tf, 3, 4, 6), 1, "VALID")
    return tf.batch_to_space(y, [2], [[0, 1]]) * 2.0


def _dilated_nchw(tf: Any, x: Any) -> Any:
    y = tf.transpose(x, [0, 3, 1, 2])
    y = tf.space_to_batch(y, [1, 2, 3], [[0, 0], [1, 0], [0, 0]]) * 2.0
    return tf.batch_to_space(y + 1.0, [1, 2, 3], [[0, 0], [0, 1], [1, 0]]) * 3.0


def _cube(x: Any) -> Any:
    """Return a map whose height, width and channels are of one size, so that no size tells the axes apart."""
    return x[:, :4, :4] * 1.0


def _shared_convolution(tf: Any, x: Any) -> Any:
    y = tf.nn.conv2d(x, variable(tf, 3, 3, 4, 4, name="shared"), 1, "SAME")
    norms = [
        tf.compat.v1.nn.fused_batch_norm(
            y, *(variable(tf, 4, name=f"{name}{at}") for name in ("gamma", "beta")),
            tf.constant(_MEANS[::step], name=f"mean{at}"), tf.constant(_SPREADS[::step], name=f"variance{at}"),
            is_training=False,
        )[0]
        for at, step in enumerate((1, -1))
    ]  # fmt: skip
    return [*(tf.nn.relu(norm) for norm in norms), tf.math.divide_no_nan(y, tf.nn.relu(y)), y * 2.0]


def _global_response_norm(tf: Any, x: Any) -> Any:
    length = tf.norm(x - 3.0, axis=[1, 2], keepdims=True)
    relative = length / (tf.reduce_mean(length, -1, keepdims=True) + 1e-6)
    return variable(tf, 1, 1, 1, 4, name="gamma") * (x * relative) + variable(tf, 4, name="beta") + x


def _contextual_attention(tf: Any, x: Any) -> Any:
    """Patches of the map are the kernels of a convolution over it, and of the transposed one behind a softmax."""
    even = tf.concat([x, x[:, :1]], 1)
    patches = tf.image.extract_patches(even[:1], [1, 4, 4, 1], [1, 2, 2, 1], [1] * 4, "SAME")
    raw = tf.transpose(tf.reshape(patches, [9, 4, 4, 4]), [1, 2, 3, 0])
    length = tf.sqrt(tf.reduce_sum(tf.square(raw), [0, 1, 2])) + 0.1
    scores = tf.nn.softmax(tf.nn.conv2d(even[:, ::2, ::2], raw / length, 1, "SAME") * 10.0)
    return tf.nn.conv2d_transpose(scores, raw, tf.stack([tf.shape(x)[0], 6, 6, 4]), 2, "SAME") / 4.0


def _fixed_padding(tf: Any, x: Any) -> Any:
    """A block of TensorFlow's official ResNet: strided layers pad by the kernel alone, whatever the size."""
    pads = [[0, 0], [1, 1], [1, 1], [0, 0]]
    y = tf.nn.relu(tf.nn.conv2d(x, variable(tf, 1, 1, 4, 8, name="a"), 1, "SAME"))
    y = tf.nn.relu(tf.nn.conv2d(tf.pad(y, pads), variable(tf, 3, 3, 8, 8, name="b"), 2, "VALID"))
    return tf.nn.relu(
        tf.nn.conv2d(y, variable(tf, 1, 1, 8, 6, name="c"), 1, "SAME")
        + tf.nn.conv2d(tf.pad(x, [[0, 0]] * 4), variable(tf, 1, 1, 4, 6, name="projection"), 2, "VALID")
    )


_MEANS, _SPREADS = [0.5, -1.0, 0.25, 2.0], [0.001, 0.5, 1.0, 2.0]
"""Of a batch norm. A small variance shows its epsilon."""
REPORTS: dict[str, Build] = {
    # tensornets#25, tensorflow-onnx#1028, onnx2torch#52: SAME pads more at the end, and by the size
    "taehoonlee/tensornets#25": lambda tf, x: [
        tf.nn.conv2d(x, variable(tf, 7, 4, 4, 3), 2, "SAME") * 2.0,
        tf.nn.max_pool2d(x, [2, 3], 2, "SAME") * 2.0,
    ],
    # an average under SAME counts no padding
    "tensorflow/tensorflow#45579": lambda tf, x: tf.nn.avg_pool2d(x, 3, 1, "SAME") + 1.0,
    # new axes behind an ellipsis
    "onnx/tensorflow-onnx#1849": lambda tf, x: [
        x[..., tf.newaxis, tf.newaxis] * 2.0, x[:, tf.newaxis, ..., 1] * 2.0, x[..., 0, tf.newaxis] + 1.0
    ],
    # a slice that steps backwards, as YOLO swaps x and y
    "onnx/tensorflow-onnx#367": lambda tf, x: [
        x[..., ::-1] * 2.0, x[:, 3:0:-2, ::-1] * 2.0, x[:, -2::-1, 1] * 2.0, x[:, ::-1, tf.newaxis, -1:1:-1] * 2.0,
        x[:, 9:-4:-1] * 2.0,
    ],
    # blocks of a sequence, and of NCHW maps
    "onnx/tensorflow-onnx#572": _dilated_1d,
    "onnx/tensorflow-onnx#790": _dilated_nchw,
    # nearest with aligned corners rounds halves up
    "onnx/tensorflow-onnx#2130": lambda tf, x: tf.raw_ops.ResizeNearestNeighbor(
        images=x, size=[9, 11], align_corners=True
    ) * 2.0,
    # symmetric and reflecting borders, in NCHW too
    "onnx/tensorflow-onnx#1686": lambda tf, x: [
        tf.pad(tf.transpose(x, [0, 3, 1, 2]), [[0, 0], [0, 0], [1, 2], [2, 0]], "SYMMETRIC") * 2.0,
        tf.pad(x, [[0, 0], [2, 1], [0, 1], [1, 1]], "REFLECT") * 2.0,
    ],
    # the multiplier of a depthwise convolution
    "alibaba/MNN#1065": lambda tf, x: tf.nn.depthwise_conv2d(x, variable(tf, 3, 2, 4, 6), [1, 2, 2, 1], "SAME") * 2.0,
    # an even window and an alpha that torch divides by the window's size
    "KhronosGroup/NNEF-Tools#137": lambda tf, x: tf.nn.local_response_normalization(x, 2, 1.0, 0.2, 0.5) * 2.0,
    # a dense layer behind a pool reads height, width, channels
    "microsoft/MMdnn#595": lambda tf, x: tf.matmul(
        tf.reshape(tf.nn.max_pool2d(x, 2, 2, "SAME"), [-1, 36]), variable(tf, 36, 7)
    ) * 2.0,
    # a transposed convolution under SAME: kernels of 4, 3 and 5 over 2, and 2 over 3, which leaves gaps
    "onnx/keras-onnx#555": lambda tf, x: [
        tf.nn.conv2d_transpose(x, variable(tf, k, k, 3, 4, name=f"w{k}"), [2, 5 * s, 6 * s, 3], s, "SAME") * 2.0
        for k, s in ((4, 2), (3, 2), (2, 3), (5, 2))
    ],
    # dilations and a border that VALID leaves out
    "onnx/tensorflow-onnx#945": lambda tf, x: [
        tf.nn.conv2d(x, variable(tf, 2, 3, 4, 3), 1, "VALID", dilations=[3, 2]) * 2.0,
        tf.nn.conv2d(x, variable(tf, 3, 3, 4, 3, name="same"), 1, "SAME", dilations=[1, 2]) * 2.0,
    ],
    # a batch norm that uses the batch's statistics
    "onnx/tensorflow-onnx#1249": _norm_of_the_batch,
    "onnx/tensorflow-onnx#671": lambda tf, x: [
        tf.cumsum(x, axis, exclusive, reverse) * 2.0
        for axis, exclusive, reverse in ((1, True, False), (-1, False, True), (2, True, True), (0, True, False))
    ],
    # TensorFlow's channels count the places of a block first
    "tensorflow/tensorflow#53291": lambda tf, x: [
        tf.nn.space_to_depth(x[:, :4], 2) * 2.0, tf.nn.depth_to_space(tf.concat([x] * 3, -1)[..., :8], 2) * 2.0
    ],
    # a slope that float32 rounds is the decimal that its author typed
    "microsoft/onnxconverter-common#117": lambda tf, x: [
        tf.nn.leaky_relu(x - 3.0, slope) * 2.0 for slope in (0.2, 0.01, 0.3)
    ],
    # newer TensorFlow writes GELU with erfc
    "onnx/tensorflow-onnx#2463": lambda tf, x: [
        tf.nn.gelu(x - 2.0) * 2.0, tf.nn.gelu(x - 2.0, approximate=True) * 2.0
    ],
    # -1 is what the other parts leave
    "onnx/tensorflow-onnx#891": lambda tf, x: [
        part * 2.0
        for sizes, axis in (([3, -1], -1), ([-1, 2], 1), ([1, -1, 2], 2))
        for part in tf.split(x, sizes, axis)
    ],
    # windows as channels
    "onnx/tensorflow-onnx#436": lambda tf, x: [
        tf.image.extract_patches(x, [1, *kernel, 1], [1, *stride, 1], [1, *rate, 1], padding) * 2.0
        for kernel, stride, rate, padding in (
            ((3, 3), (1, 1), (1, 1), "SAME"), ((2, 3), (2, 1), (1, 2), "SAME"), ((3, 2), (2, 3), (2, 1), "SAME"),
            ((2, 2), (2, 2), (1, 1), "VALID"), ((2, 1), (1, 2), (2, 2), "VALID"),
        )
    ],
    # the maximum of a pool whose places nothing reads
    "PINTO0309/onnx2tf#397": lambda tf, x: tf.nn.max_pool_with_argmax(x, 3, 2, "SAME")[0] * 2.0,
    # windows that are even along one axis, and a dense layer behind them
    "Talmaj/onnx2pytorch#39": lambda tf, x: tf.matmul(
        tf.reshape(tf.nn.max_pool2d(x, [2, 1], 1, "SAME"), [-1, 120]), variable(tf, 120, 7)
    ) * 2.0,
    # zeros in front of a maximum of negative values
    "AxisCommunications/onnx-to-keras#31": lambda tf, x: tf.nn.max_pool2d(
        tf.pad(x - 9.0, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID"
    ) * 2.0,
    # operands of fewer axes, on either side of an operator
    "PINTO0309/onnx2tf#492": lambda tf, x: [
        _cube(x) * variable(tf, 4), variable(tf, 4, 1, name="column") - _cube(x),
        _cube(x) / (variable(tf, 4, 1, 1, name="rows") + 2.0),
        tf.transpose(_cube(x), [0, 3, 1, 2]) * variable(tf, 4, 4, name="plane"),
    ],
    "PINTO0309/onnx2tf#18": lambda tf, x: [
        x[0] + x, tf.reduce_mean(_cube(x), 0)[0] - _cube(x), _cube(x)[0, 1] * x[:, :4, :4]
    ],
    # kernels of one size along every axis
    "PINTO0309/onnx2tf#382": lambda tf, x: [
        tf.nn.conv2d(_cube(x), variable(tf, 4, 4, 4, 4), 1, "SAME") * 2.0,
        tf.nn.depthwise_conv2d(_cube(x), variable(tf, 4, 4, 4, 4, name="d"), [1, 1, 1, 1], "SAME") * 2.0,
        tf.matmul(_cube(x), variable(tf, 4, 4, name="m")) * 2.0,
    ],
    # a softmax over another axis, between transposes
    "PINTO0309/onnx2tf#669": lambda tf, x: [
        tf.transpose(tf.nn.softmax(tf.transpose(x, [0, 3, 1, 2])), [0, 2, 3, 1]) * 2.0,
        tf.nn.softmax(_cube(x), 1) * 2.0, tf.nn.softmax(_cube(x), 2) * 2.0,
    ],
    "PINTO0309/onnx2tf#180": lambda tf, x: tf.concat(
        [_cube(x), tf.transpose(tf.nn.softmax(tf.transpose(_cube(x), [0, 2, 1, 3])), [0, 1, 2, 3])], -1
    ) * 2.0,
    # one place of an axis
    "PINTO0309/onnx2tf#393": lambda tf, x: [
        tf.gather(_cube(x), index, axis=axis) * 2.0 for axis in (1, 2, 3) for index in (1, [2], [[3, 0]])
    ],
    # a convolution that two norms read, and a division by zero
    "onnx/tensorflow-onnx#1494": _shared_convolution,
    # places that the graph computes
    "onnx/tensorflow-onnx#184": lambda tf, x: tf.gather_nd(
        x, tf.stack([tf.argmax(x[0, :, 0], -1) % 2, tf.argmax(x[0, :, 1], -1)], -1)
    ) * 2.0,
    # a norm that hand-written code makes of lengths
    "PINTO0309/onnx2tf#742": _global_response_norm,
    # a transposed convolution in three dimensions whose kernel is 1 along one
    "onnx/tensorflow-onnx#2286": lambda tf, x: tf.nn.conv3d_transpose(
        tf.stack([x, x + 1.0], 1), variable(tf, 1, 4, 4, 3, 4), [2, 2, 10, 12, 3], [1, 1, 2, 2, 1], "SAME"
    ) * 2.0,
    # kernels that the graph computes from a map, transposed too
    "daa233/generative-inpainting-pytorch#58": _contextual_attention,
    # a max pool as ONNX-TensorFlow writes it: a dilation by zeros behind a pad below every value
    "onnx/onnx-tensorflow#595": lambda tf, x: tf.nn.dilation2d(
        tf.pad(x - 3.0, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-1e4), tf.zeros([3, 3, 4]), [1, 2, 2, 1],
        "VALID", "NHWC", [1, 1, 1, 1],
    ) * 2.0,
    # groups of channels, strided, and with dilations
    "alibaba/TinyNeuralNetwork#197": lambda tf, x: [
        tf.nn.bias_add(tf.nn.conv2d(x, variable(tf, 3, 2, 2, 6, name="g"), [2, 1], "SAME"), variable(tf, 6, name="b")),
        tf.nn.conv2d(x, variable(tf, 2, 3, 2, 8, name="d"), 1, "VALID", dilations=[2, 1]) * 2.0,
    ],
    # odd maps, resized by factors and to odd maps
    "alibaba/TinyNeuralNetwork#84": lambda tf, x: [
        resize(images=x, size=size, align_corners=align, half_pixel_centers=half) * 2.0
        for resize in (tf.raw_ops.ResizeNearestNeighbor, tf.raw_ops.ResizeBilinear)
        for size in ([15, 11], [3, 13])
        for align, half in ((False, False), (True, False), (False, True))
    ],
    # pads of strided layers by the kernel alone
    "microsoft/MMdnn#379": _fixed_padding,
    # matrices of pixels, whose reshapes keep the original order
    "onnx/onnx-tensorflow#289": _reshaped_like_attention,
}  # fmt: skip


@pytest.mark.parametrize("report", REPORTS)
def test_a_reported_graph_computes_what_tensorflow_computes(tf: Any, report: str) -> None:
    def build(x: Any) -> Any:
        return REPORTS[report](tf, tf.nn.relu6(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4, name="k"), 1, "SAME")))

    compare(tf, analysis_of(tf, build, (None, 5, 6, 3)))


def test_a_graph_without_its_default_attributes_has_the_ops_defaults(tf: Any) -> None:
    """SavedModel's builder strips them on request, so that older versions read the graph."""
    from tensorflow.python.framework import op_def_registry

    def build(x: Any) -> Any:
        y = tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4), 1, "SAME")
        weights = [variable(tf, 4, name=name) for name in ("gamma", "beta")]
        stated = [*weights, *(tf.constant(values, name=f"stated_{at}") for at, values in enumerate((_MEANS, _SPREADS)))]
        return [
            tf.raw_ops.FusedBatchNormV3(
                x=y, scale=weights[0], offset=weights[1], mean=[], variance=[], epsilon=1e-4, is_training=True
            ).y * 2.0,
            tf.raw_ops.FusedBatchNorm(
                x=y, scale=stated[0], offset=stated[1], mean=stated[2], variance=stated[3], epsilon=1e-4,
                is_training=False,
            ).y * 2.0,
            tf.raw_ops.LRN(input=y) * 2.0,
            tf.raw_ops.LeakyRelu(features=y) * 2.0,
            tf.raw_ops.ResizeBilinear(images=y, size=[7, 9]) * 2.0,
            tf.raw_ops.SpaceToDepth(input=y[:, :4], block_size=2) * 2.0,
            tf.raw_ops.DepthwiseConv2dNative(
                input=y, filter=variable(tf, 3, 3, 4, 2, name="d"), strides=[1, 1, 1, 1], padding="SAME"
            ) * 2.0,
            tf.raw_ops.Cumsum(x=y, axis=1) * 2.0,
            tf.one_hot(tf.argmax(y, -1), 4) * 2.0,
            tf.squeeze(tf.reduce_mean(y, [1, 2], keepdims=True)) * 2.0,
        ]  # fmt: skip

    analysis = analysis_of(tf, build, (None, 5, 6, 3))
    stripped: set[str] = set()
    for node in analysis.source.graph.node:
        for attribute in op_def_registry.get(node.op).attr:
            default = attribute.default_value.SerializeToString()
            if default and attribute.name in node.attr and node.attr[attribute.name].SerializeToString() == default:
                del node.attr[attribute.name]
                stripped.add(attribute.name)
    assert stripped >= {"epsilon", "alpha", "beta", "bias", "depth_radius", "is_training", "axis"}
    compare(tf, analysis)


def with_prelu(analysis: Analysis) -> Analysis:
    """Return the graph with Prelu in place of LeakyRelu; the op's name says which constant is its slope."""
    graph = type(analysis.source.graph).FromString(analysis.source.graph.SerializeToString())
    for node in graph.node:
        if node.op == "LeakyRelu":
            node.op = "Prelu"
            node.input.append(f"slope_{node.name.rpartition('_')[2]}")
    return Analysis(replace(analysis.source, graph=graph))


@pytest.mark.parametrize("shape", [(4,), (1, 1, 4), (4, 4, 4), (4, 4, 1), (1,), (1, 1, 1)])
def test_a_prelu_has_its_slopes_where_the_graph_has_them(tf: Any, shape: tuple[int, ...]) -> None:
    # PINTO0309/onnx2tf#418: height, width and channels of one size
    def build(x: Any) -> Any:
        tf.constant(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32), name="slope_a")
        y = tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME")
        return tf.nn.leaky_relu(y, name="act_a") * 2.0

    program = compare(tf, with_prelu(analysis_of(tf, build, (None, 4, 4, 3))))
    per_channel = shape in ((4,), (1, 1, 4))
    assert ("nn.PReLU" in [step.module for step in program.steps]) is per_channel


@pytest.mark.parametrize(("dims", "axis"), [(1, 1), (1, 2), (2, 2), (1, -1)])
def test_a_gather_may_differ_from_image_to_image(tf: Any, dims: int, axis: int) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu6(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME"))
        scores = tf.reduce_mean(y, [2, 3] if dims == 1 else [3])
        index = tf.minimum(tf.nn.top_k(scores, 3)[1], 3)
        return tf.gather(y, index, axis=axis, batch_dims=dims) * 2.0

    compare(tf, analysis_of(tf, build, (None, 5, 6, 3)))


def test_a_gather_by_constants_that_are_repeated_for_each_image(tf: Any) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu6(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME"))
        count = tf.shape(y)[0]
        tiled = tf.tile([[3, 1, 0]], [count, 1])
        counted = tf.tile(tf.range(tf.shape(y)[1])[None], [count, 1])
        filled = tf.constant([1, 2]) + tf.zeros([count, 2], tf.int32)
        return [tf.gather(y, index, axis=1, batch_dims=1) * 2.0 for index in (tiled, counted, filled)]

    compare(tf, analysis_of(tf, build, (None, 5, None, 3)), side=6)


def test_constants_that_are_not_floating_are_buffers_of_their_dtype(tf: Any, tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu6(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME"))
        y = tf.gather(tf.reshape(y, [-1, 120]), np.arange(1200) * 7 % 120, axis=1)
        return tf.where(tf.constant(np.arange(1200) % 3 == 0), y, -y) * 2.0

    analysis = analysis_of(tf, build, (None, 5, 6, 3))
    compare(tf, analysis)
    module = built(write_files(tmp_path, written_graph(analysis)[1], values_of(analysis)))
    assert {str(buffer.dtype) for buffer in module.buffers()} == {"torch.int64", "torch.bool"}
    images = torch.randn(2, 3, 5, 6)
    assert torch.equal(module.train()(images), module.eval()(images))


def test_a_gather_of_a_batch_of_one_picks_from_every_image(tf: Any) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu6(tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4), 1, "SAME"))
        return tf.gather(y, [[3, 1, 0]], axis=1, batch_dims=1) * 2.0

    analysis = analysis_of(tf, build, (1, 5, 6, 3))
    program, graph = lower(analysis), frozen_graph(analysis)
    images = images_of(program)
    got = run_steps(program, graph, images)[program.outputs[0].source]
    for at in range(len(got)):
        (want,) = run_tensorflow(tf, graph, {"x0": images["x0"][at : at + 1]}, ["out0"]).values()
        assert np.abs(got[at : at + 1] - want).max() < 1e-13


def test_a_gather_along_the_last_axis_has_its_shape(tf: Any) -> None:
    program = compare(tf, analysis_of(tf, lambda x: tf.gather(x, [1, 0], axis=-1) * 2.0, (None, 5, 6, 3)))
    assert program.outputs[0].shape == (None, 5, 6, 2)


@pytest.mark.parametrize("new", [(2, 3), (5, 6), (3, 4), (9, 13), (1, 1)])
def test_resizing_by_area(tf: Any, new: tuple[int, int]) -> None:
    def build(x: Any) -> Any:
        return [tf.raw_ops.ResizeArea(images=x, size=new, align_corners=align) * 2.0 for align in (False, True)]

    analysis = analysis_of(tf, build, (None, 5, 6, 3))
    compare(tf, analysis)
    compare(tf, analysis, dtype="float32", largest=2e-6)


@pytest.mark.parametrize("rule", [(False, False), (True, False), (False, True)])
def test_bicubic_resizing_in_float64(tf: Any, rule: tuple[bool, bool]) -> None:
    def build(x: Any) -> Any:
        kernel = tf.raw_ops.ResizeBicubic
        small, large = ([3, 4], [7, 13])
        return [kernel(images=x, size=new, align_corners=rule[0], half_pixel_centers=rule[1]) * 2.0
                for new in (small, large)]  # fmt: skip

    compare(tf, analysis_of(tf, build, (None, 5, 6, 3)))


def test_what_moves_space_exports_at_every_size(tf: Any, tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu(tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4), 1, "SAME"))
        size = tf.shape(y)[1:3]
        more = tf.math.floormod(-size, [2, 2])
        pads = tf.stack([tf.stack([0, more[0]]), tf.stack([0, more[1]])])
        z = tf.space_to_batch(y, [2, 2], pads) * tf.constant([1.0, 2.0, 3.0, 4.0])
        z = tf.batch_to_space(z, [2, 2], pads)
        return tf.nn.depth_to_space(tf.nn.space_to_depth(tf.nn.max_pool2d(z, 3, 1, "SAME")[:, 1:-1, 1:-1], 2), 2)

    analysis = analysis_of(tf, build, (None, None, None, 3))
    program, network = written_graph(analysis, "space")
    assert program.outputs[0].shape[1:] == (None, None, 4)
    module = built(write_files(tmp_path, network, values_of(analysis)))
    sizes = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    exported = torch.export.export(module, (torch.randn(2, 3, 10, 12),), dynamic_shapes=(sizes,)).module()
    for height, width in ((10, 12), (14, 8), (26, 30)):
        images = torch.randn(3, 3, height, width)
        assert torch.equal(exported(images), module(images))


def test_areas_between_aligned_corners_are_the_same_in_both_precisions(tf: Any) -> None:
    def build(x: Any) -> Any:
        return tf.raw_ops.ResizeArea(images=x, size=[4, 3], align_corners=True) * 2.0

    graph = analysis_of(tf, build, (None, 5, 6, 3)).source.graph
    images = {"x0": np.random.default_rng(0).uniform(-1, 1, (2, 5, 6, 3))}
    narrow, wide = (run_tensorflow(tf, graph, images, ["out0"], dtype)["out0"] for dtype in ("float32", "float64"))
    assert np.abs(narrow - wide).max() < 1e-6
