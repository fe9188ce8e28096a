"""Idioms, fused ops and conditions as PyTorch steps, against TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.steps import analysis_of, compare, frozen_graph, program_of, run_steps, run_tensorflow, variable
from helpers.written import built, values_of, write_files, written_graph
from porter.graph.analysis.analysis import Analysis
from porter.graph.codegen.lower import lower

few = settings(
    max_examples=5, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@few
@given(st.integers(1, 4), st.sampled_from([0.5, 0.75]), st.sampled_from([1e-4, 0.5, 1.0]), st.sampled_from([1.0, 2.0]))
def test_local_response_norm(tf: Any, radius: int, beta: float, alpha: float, bias: float) -> None:
    def build(x: Any) -> Any:
        return tf.nn.local_response_normalization(x, radius, bias, alpha, beta) * 2.0

    program = compare(tf, analysis_of(tf, build, (None, 3, 4, 7)))
    assert program.steps[0].module == "nn.LocalResponseNorm"


@few
@given(
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    st.tuples(st.integers(2, 15), st.integers(2, 15)),
    st.sampled_from([(False, False), (True, False), (False, True)]),
)
def test_bicubic_resizing_has_tensorflows_table(tf: Any, size: Any, new: Any, rule: Any) -> None:
    def build(x: Any) -> Any:
        return tf.raw_ops.ResizeBicubic(images=x, size=new, align_corners=rule[0], half_pixel_centers=rule[1])

    # TensorFlow's places are float32, and its weights have 1,024 places: near the middle of two, they may differ.
    compare(tf, analysis_of(tf, build, (None, *size, 3)), dtype="float32", largest=3e-3)


@pytest.mark.parametrize("align", [False, True])
def test_bilinear_resizing_in_float32_is_tensorflows_kernel(tf: Any, align: bool) -> None:
    def build(x: Any) -> Any:
        shape = tf.shape(x)[1:3] * 2
        return tf.compat.v1.image.resize_bilinear(x, shape, align_corners=align) * 2.0

    analysis = analysis_of(tf, build, (None, None, None, 3))
    compare(tf, analysis, side=5, dtype="float32", largest=1e-6)
    program = compare(tf, analysis, side=6)
    text = program.steps[0].expression
    assert "{0}.shape[2] * 2, {0}.shape[3] * 2" in text


def fuse(analysis: Analysis, layer: str, fused: str, parts: list[str]) -> Analysis:
    """Return the graph with one layer and the elementwise ops behind it as a fused op, as TensorFlow's remapper."""
    graph = type(analysis.source.graph).FromString(analysis.source.graph.SerializeToString())
    nodes = {node.name: node for node in graph.node}
    first = next(node for node in graph.node if node.op == layer)
    chain, extra = [first], []
    for _ in parts:
        follower = next(node for node in graph.node if node.input and node.input[0] == chain[-1].name)
        extra += list(follower.input[1:])
        chain.append(follower)
    last = nodes[chain[-1].name]
    last.op = fused
    inputs = [*first.input, *extra]
    del last.input[:]
    last.input.extend(inputs)
    for key in ("strides", "padding", "dilations", "data_format", "transpose_a", "transpose_b", "explicit_paddings"):
        if key in first.attr:
            last.attr[key].CopyFrom(first.attr[key])
    last.attr["fused_ops"].list.s.extend(part.encode() for part in parts)
    last.attr["num_args"].i = len(extra)
    kept = [node for node in graph.node if node.name not in {node.name for node in chain[:-1]}]
    del graph.node[:]
    order = {node.name: at for at, node in enumerate(kept)}
    graph.node.extend(
        sorted(kept, key=lambda node: (node.name == last.name or node.name.startswith("out"), order[node.name]))
    )
    return Analysis(replace(analysis.source, graph=graph))


@pytest.mark.parametrize(
    ("layer", "fused"),
    [("Conv2D", "_FusedConv2D"), ("DepthwiseConv2dNative", "_FusedDepthwiseConv2dNative"), ("MatMul", "_FusedMatMul")],
)
@pytest.mark.parametrize("activation", ["Relu", "Relu6", ""])
def test_fused_layers_are_the_layers(tf: Any, layer: str, fused: str, activation: str) -> None:
    def build(x: Any) -> Any:
        if layer == "MatMul":
            y = tf.matmul(x, variable(tf, 5, 8))
        elif layer == "Conv2D":
            y = tf.nn.conv2d(x, variable(tf, 3, 3, 4, 8), 2, "SAME")
        else:
            y = tf.nn.depthwise_conv2d(x, variable(tf, 3, 3, 4, 2), [1, 1, 1, 1], "VALID")
        y = tf.nn.bias_add(y, variable(tf, 8, name="bias"))
        return {"Relu": tf.nn.relu, "Relu6": tf.nn.relu6, "": tf.identity}[activation](y)

    shape = (None, 5) if layer == "MatMul" else (None, 7, 6, 4)
    plain = analysis_of(tf, build, shape)
    parts = ["BiasAdd", *([activation] if activation else [])]
    made = fuse(plain, layer, fused, parts)
    assert fused in {node.op for node in made.source.graph.node}
    program = compare(tf, made)
    assert [step.module for step in program.steps] == [step.module for step in lower(plain).steps]


def test_dropout_that_runs_in_inference_is_marked(tf: Any) -> None:
    def build(x: Any) -> Any:
        return [tf.nn.dropout(tf.nn.relu(x), rate=0.25) * 2.0]

    for keeps, module in ((True, "RunningDropout"), (False, "nn.Dropout")):
        program = lower(analysis_of(tf, build, (None, 4, 4, 3)), keeps_dropout=keeps)
        steps = [(step.module, step.random, step.masked) for step in program.steps if step.module]
        assert steps == [("nn.ReLU", False, ""), (module, True, "Relu")]
        assert program.steps[1].arguments == {"p": 0.25}


def test_the_rate_of_dropout_may_be_an_input(tf: Any) -> None:
    def build(x: Any) -> Any:
        keep = tf.compat.v1.placeholder(tf.float32, (), "keep_prob")
        y = tf.nn.relu(x) / keep * tf.floor(keep + tf.random.uniform(tf.shape(x)))
        return tf.nn.dropout(tf.nn.relu(y), rate=1 - keep) * 2.0

    program = program_of(analysis_of(tf, build, (None, 4, 4, 3)))
    steps = [(step.module, step.random, step.masked) for step in program.steps if step.module == "nn.Dropout"]
    assert steps == [("nn.Dropout", False, "Relu"), ("nn.Dropout", False, "Relu_1")]
    assert [port.tensor for port in program.inputs] == ["x0"]


def test_dropout_of_nothing_is_no_step(tf: Any) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.relu(x)
        return y / 1.0 * tf.floor(1.0 + tf.random.uniform(tf.shape(x))) * 2.0

    assert [step.what for step in program_of(analysis_of(tf, build, (None, 4, 4, 3))).steps] == ["relu", "multiply"]


def test_training_conditions_take_the_side_of_inference(tf: Any) -> None:
    def build(x: Any) -> Any:
        training = tf.compat.v1.placeholder(tf.bool, (), "is_training")
        y = tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4), 1, "SAME")
        y = tf.compat.v1.cond(training, lambda: tf.nn.dropout(y, rate=0.5), lambda: tf.identity(y))
        return tf.nn.relu(y) * 2.0

    tf.compat.v1.disable_control_flow_v2()
    try:
        program = program_of(analysis_of(tf, build, (None, 5, 5, 3)))
    finally:
        tf.compat.v1.enable_control_flow_v2()
    assert [step.module for step in program.steps] == ["nn.Conv2d", "nn.Dropout", "nn.ReLU", ""]
    assert [port.tensor for port in program.inputs] == ["x0"]
    assert not program.steps[1].random


def _orders(tf: Any) -> dict[str, list[Any]]:
    """Return squeeze-and-excitation's steps between the pool and the product, and steps that only look like them."""
    gates = {"sigmoid": tf.sigmoid, "hard": lambda y: tf.nn.relu6(y + 3.0) / 6.0}
    middles = {"relu": tf.nn.relu, "swish": tf.nn.silu, "hard swish": lambda y: y * tf.nn.relu6(y + 3.0) / 6.0}
    usual = {f"{m} {g}": ["a", middles[m], "b", gates[g]] for g in gates for m in middles}
    return usual | {
        "first": [tf.nn.relu, "a", "b", tf.sigmoid], "last": ["a", "b", tf.nn.relu, tf.sigmoid],
        "gate first": ["a", tf.sigmoid, "b", tf.nn.relu], "turned": ["b", tf.nn.relu, "a", tf.sigmoid],
    }  # fmt: skip


@pytest.mark.parametrize("dense", [False, True])
def test_squeeze_and_excitation_follows_the_graphs_order(tf: Any, dense: bool, tmp_path: Path) -> None:
    """All layers have as many inputs as outputs, so that no shape shows which one comes first."""

    def build(x: Any) -> list[Any]:
        y = tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4, name="first"), 1, "SAME")
        results = []
        for number, (_, steps) in enumerate(_orders(tf).items()):
            gate = tf.reduce_mean(y, [1, 2], keepdims=not dense)
            for step in steps:
                if callable(step):
                    gate = step(gate)
                    continue
                scale = {"a": 1.0, "b": -2.0}[step] * (1 + number / 10)
                kernel = tf.identity(
                    tf.constant(scale * np.eye(4)[::-1] + 0.25, tf.float32), name=f"{step}{number}/read"
                )
                bias = variable(tf, 4, name=f"bias_{step}{number}")
                if dense:
                    gate = tf.nn.bias_add(tf.matmul(gate, kernel), bias)
                else:
                    gate = tf.nn.bias_add(tf.nn.conv2d(gate, kernel[None, None], 1, "SAME"), bias)
            results.append(y * (gate[:, None, None, :] if dense else gate))
        return results

    analysis = analysis_of(tf, build, (None, 5, 6, 3))
    program = compare(tf, analysis)
    module = built(write_files(tmp_path, written_graph(analysis)[1], values_of(analysis))).double()
    images = {"x0": np.random.default_rng(1).uniform(-1, 1, (2, 5, 6, 3))}
    names = [port.tensor for port in program.outputs]
    want = run_tensorflow(tf, frozen_graph(analysis), images, names)
    for name, value in zip(names, module(torch.from_numpy(images["x0"]).movedim(-1, 1)), strict=True):
        assert np.abs(value.detach().movedim(1, -1).numpy() - want[name]).max() < 1e-6, name


@pytest.mark.parametrize("epsilon", [0.02, 1e-7, 0.0123456789])
def test_norms_have_the_epsilon_that_the_graph_states(tf: Any, epsilon: float) -> None:
    """Of maps with so small a variance that the epsilon decides; the last one has more digits than people type."""

    def build(x: Any) -> list[Any]:
        y = tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4, name="first"), 1, "SAME") * 1e-3
        gamma, beta = variable(tf, 4, name="gamma"), variable(tf, 4, name="beta")
        results = []
        for axes in ([1, 2], [1, 2, 3], [3]):
            mean, variance = tf.nn.moments(y, axes, keepdims=True)
            results.append(tf.nn.batch_normalization(y, mean, variance, beta, gamma, epsilon) * 2.0)
            results.append((y - mean) / tf.sqrt(variance + epsilon) * gamma)
            results.append((y - mean) / (tf.sqrt(variance) + epsilon) * gamma)  # no norm of torch's
        mean = variable(tf, 4, name="mean")
        variance = tf.identity(tf.constant([1e-6, 1e-3, 1e-5, 1.0], name="spread"), name="spread/read")
        fused = tf.compat.v1.nn.fused_batch_norm
        return [
            *results,
            tf.nn.batch_normalization(y, mean, variance, beta, gamma, epsilon) * 2.0,
            fused(y, gamma, beta, mean, variance, max(epsilon, 1.001e-5), is_training=False)[0] * 2.0,
            fused(y, gamma, beta, epsilon=max(epsilon, 1.001e-5), is_training=True)[0] * 2.0,
        ]

    program = compare(tf, analysis_of(tf, build, (None, 5, 6, 3)), largest=1e-11)
    modules = [step.module for step in program.steps if step.what == "norm"]
    assert sorted(modules) == sorted(2 * ["nn.InstanceNorm2d", "nn.GroupNorm", "nn.LayerNorm"] + 3 * ["nn.BatchNorm2d"])


def test_leaky_slopes_are_the_graphs(tf: Any) -> None:
    def build(x: Any) -> list[Any]:
        y = tf.nn.conv2d(x, variable(tf, 1, 1, 3, 4, name="first"), 1, "SAME")
        other = tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4, name="second"), 1, "SAME")
        return [
            tf.nn.leaky_relu(y, 0.3) * 2.0,
            tf.maximum(y, 0.15 * y) * 2.0,
            tf.maximum(0.0123456789 * y, y) * 2.0,
            (tf.nn.relu(y) - 0.35 * tf.nn.relu(-y)) * 2.0,
            tf.maximum(y, 0.25 * other) * 2.0,  # of another map
            tf.maximum(y, 1.5 * y) * 2.0,  # the smaller of both
            tf.maximum(y, -0.5 * y) * 2.0,
            tf.minimum(y, 0.25 * y) * 2.0,
            (tf.nn.relu(y) - 0.35 * tf.nn.relu(-other)) * 2.0,
        ]

    program = compare(tf, analysis_of(tf, build, (None, 5, 6, 3)))
    slopes = [step.arguments["negative_slope"] for step in program.steps if step.module == "nn.LeakyReLU"]
    assert slopes == pytest.approx([0.3, 0.15, 0.0123456789, 0.35], rel=1e-7)


def test_a_batch_norm_in_training_mode_uses_the_batch(tf: Any) -> None:
    def build(x: Any) -> Any:
        scale, offset = variable(tf, 4, name="g"), variable(tf, 4, name="b")
        return tf.compat.v1.nn.fused_batch_norm(x, scale, offset, epsilon=1e-3, is_training=True)[0] * 2.0

    program = compare(tf, analysis_of(tf, build, (None, 5, 6, 4)))
    assert program.steps[0].arguments == {"num_features": 4, "eps": 0.001, "track_running_stats": False}


def test_a_gamma_of_ones_is_no_tensor_of_the_graph(tf: Any) -> None:
    def build(x: Any) -> Any:
        ones = tf.constant(np.ones(80, np.float32))
        rest = [variable(tf, 80, name=name) for name in ("beta", "mean")]
        variance = tf.identity(tf.constant(np.linspace(0.5, 2, 80, dtype=np.float32), name="v"), name="v/read")
        return tf.compat.v1.nn.fused_batch_norm(x, ones, *rest, variance, 1e-3, is_training=False)[0] * 2.0

    step = compare(tf, analysis_of(tf, build, (None, 3, 3, 80))).steps[0]
    assert step.fills == {"weight": 1.0}
    assert [weight.attribute for weight in step.weights] == ["bias", "running_mean", "running_var"]


def test_one_dimensional_and_computed_kernels(tf: Any) -> None:
    def build(x: Any, sequence: Any) -> Any:
        kernel = variable(tf, 3, 3, 4, 5)
        mean, variance = tf.nn.moments(kernel, [0, 1, 2], keepdims=True)
        y = tf.nn.conv2d(x, (kernel - mean) * tf.math.rsqrt(variance + 1e-5), 2, "SAME")
        z = tf.nn.conv1d(sequence, variable(tf, 3, 4, 6, name="k"), 1, "SAME") + variable(tf, 6, name="b")
        return [y * 2.0, tf.nn.relu(z)]

    compare(tf, analysis_of(tf, build, (None, 7, 6, 4), (None, 9, 4)))


def test_explicit_and_asymmetric_padding(tf: Any) -> None:
    def build(x: Any) -> Any:
        even = tf.pad(x, [[0, 0], [1, 1], [2, 2], [0, 0]])
        odd = tf.pad(x, [[0, 0], [0, 1], [0, 1], [0, 0]])
        kernel = variable(tf, 3, 3, 4, 5)
        return [
            tf.nn.conv2d(even, kernel, 2, "VALID") * 2.0,
            tf.nn.conv2d(odd, kernel, 2, "VALID") * 2.0,
            tf.nn.conv2d(x, kernel, 1, [[0, 0], [1, 2], [0, 1], [0, 0]]) * 2.0,
            tf.nn.conv2d(x, kernel, 1, [[0, 0], [1, 1], [2, 2], [0, 0]]) * 2.0,
        ]

    program = compare(tf, analysis_of(tf, build, (None, 7, 6, 4)))
    folded = [step for step in program.steps if step.arguments.get("padding") == (1, 2)]
    assert len(folded) == 2
    assert len(folded[0].nodes) == 2


def test_elementwise_math(tf: Any) -> None:
    def build(x: Any) -> Any:
        y = tf.abs(x) + 0.5
        return [
            tf.sqrt(y) + tf.math.rsqrt(y) + tf.math.log(y) + tf.exp(x) - tf.square(x) + tf.math.erf(x),
            tf.floor(x * 3.0) + tf.math.ceil(x * 3.0) + tf.math.rint(x * 3.0) + tf.sign(x) - (-x),
            tf.pow(y, 1.5) / y + tf.math.reciprocal(y) + tf.sin(x) * tf.cos(x) + tf.tanh(x) + tf.nn.softsign(x),
            tf.clip_by_value(x, -0.5, 0.25) + tf.add_n([x, y, x * y]) + tf.nn.log_softmax(x),
            tf.cast(tf.logical_and(x > 0.0, y < 1.0), tf.float32) + tf.cumsum(x, 1),
            tf.cast(tf.argmax(x, -1), tf.float32) + tf.reduce_sum(x, [1]),
            tf.einsum("nc,nd->ncd", x, y),
            tf.nn.top_k(x, 2)[0] * 2.0,
        ]

    compare(tf, analysis_of(tf, build, (None, 5)))


@pytest.mark.parametrize("rate", [0.25, 0.8])
def test_running_dropout_scales_what_it_keeps_as_the_graph_does(tf: Any, rate: float) -> None:
    analysis = analysis_of(tf, lambda x: tf.nn.dropout(tf.nn.relu(x), rate=rate) * 2.0, (None, 50, 60, 3))
    program, graph = program_of(analysis), frozen_graph(analysis)
    images = {"x0": np.ones((2, 50, 60, 3))}
    ours = run_steps(program, graph, images)[program.outputs[0].source]
    theirs = run_tensorflow(tf, graph, images, ["out0"])["out0"]
    for values in (ours, theirs):
        assert np.unique(values) == pytest.approx([0, 2 / (1 - rate)], rel=1e-7)
        assert np.mean(values == 0) == pytest.approx(rate, abs=0.02)
