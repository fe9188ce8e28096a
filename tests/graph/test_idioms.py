"""Idioms of TensorFlow 1: each built as people write it, and folded into the layer that they mean, with its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensorboard.compat.proto.graph_pb2 import GraphDef

from helpers.graphs import Maker, analysed
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.describe import describe
from porter.graph.analysis.idioms.table import IDIOMS, RULES
from porter.graph.analysis.idioms.terms import parse
from porter.render.graph_facts import graph_facts

Build = Callable[[Any, Any], Any]


def _variable(tf: Any, name: str, *shape: int) -> Any:
    return tf.compat.v1.get_variable(name, shape, use_resource=False)


def _conv(tf: Any, x: Any, channels: int, name: str = "conv", side: int = 3) -> Any:
    kernel = _variable(tf, f"{name}/weights", side, side, int(x.shape[-1]), channels)
    return tf.nn.conv2d(x, kernel, 1, "SAME", name=f"{name}/Conv2D")


def _affine_norm(tf: Any, x: Any, axes: list[int], channels: int, how: str) -> Any:
    mean, variance = tf.nn.moments(x, axes, keepdims=how != "squeezed")
    gamma, beta = _variable(tf, "gamma", channels), _variable(tf, "beta", channels)
    if how == "squeezed":
        mean, variance = tf.reshape(mean, (-1, 1, 1, channels)), tf.reshape(variance, (-1, 1, 1, channels))
    if how == "by hand":  # DPED's: (x - mean) / (variance + epsilon) ** 0.5 * gamma + beta
        return (x - mean) / (variance + 1e-3) ** 0.5 * gamma + beta
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-5)


def _squeeze_excite(tf: Any, x: Any, hard: bool) -> Any:
    pooled = tf.reduce_mean(x, (1, 2), keepdims=True)
    inner = tf.nn.relu(_conv(tf, pooled, 2, "squeeze", 1) + _variable(tf, "b1", 2))
    outer = _conv(tf, inner, 4, "excite", 1) + _variable(tf, "b2", 4)
    return x * (tf.nn.relu6(outer + 3) * (1 / 6) if hard else tf.sigmoid(outer))


def _passed(tf: Any, *tensors: Any) -> Any:
    """Stand IdentityN around tensors as tf.custom_gradient does, twice."""
    return tf.raw_ops.IdentityN(input=tf.raw_ops.IdentityN(input=tensors))[0]


def _dropout_by_hand(tf: Any, x: Any) -> Any:  # tf.nn.dropout of TensorFlow 1.12
    keep = tf.constant(0.8)
    return x / keep * tf.floor(keep + tf.random.uniform(tf.shape(x)))


ACTIVATIONS: dict[str, tuple[Build, str]] = {
    "leaky relu by maximum": (lambda tf, x: tf.maximum(0.3 * x, x), "leaky relu 0.3"),
    "leaky relu by op": (lambda tf, x: tf.nn.leaky_relu(x, 0.1), "leaky relu 0.1"),
    "leaky relu by halves": (lambda tf, x: 0.6 * x + 0.4 * tf.abs(x), "leaky relu 0.2"),
    "relu6 by minimum": (lambda tf, x: tf.minimum(tf.maximum(x, 0.0), 6.0), "relu6"),
    "relu6 by relu": (lambda tf, x: tf.minimum(tf.nn.relu(x), 6.0), "relu6"),
    "swish": (lambda tf, x: x * tf.sigmoid(x), "swish"),
    "swish of one": (lambda tf, x: x * tf.sigmoid(np.float32(1) * x), "swish"),  # tf.nn.silu
    "swish with a gradient of its own": (lambda tf, x: _passed(tf, x * tf.sigmoid(x), x), "swish"),
    "hard swish": (lambda tf, x: x * tf.nn.relu6(x + 3) / 6, "hard swish"),
    "hard swish of parts": (lambda tf, x: x * (tf.minimum(tf.maximum(x + 3, 0.0), 6.0) * 0.16667), "hard swish"),
    "hard sigmoid": (lambda tf, x: tf.nn.relu6(x + 3) / 6, "hard sigmoid"),
    "gelu": (lambda tf, x: 0.5 * x * (1 + tf.math.erf(x / np.float32(np.sqrt(2)))), "gelu"),
    "prelu": (lambda tf, x: tf.nn.relu(x) + _variable(tf, "slope", 4) * (x - tf.abs(x)) * 0.5, "prelu"),
    "not leaky: a slope above 1": (lambda tf, x: tf.maximum(1.5 * x, x), ""),
    "not relu6: a limit of 4": (lambda tf, x: tf.minimum(tf.nn.relu(x), 4.0), ""),
}
LAYERS: dict[str, tuple[Build, list[str]]] = {
    "instance norm": (
        lambda tf, x: _affine_norm(tf, x, [1, 2], 4, "kept"),
        ["conv 3x3 3->4 + instance norm"],
    ),
    "instance norm by hand": (
        lambda tf, x: tf.nn.relu(_affine_norm(tf, x, [1, 2], 4, "by hand")),
        ["conv 3x3 3->4 + instance norm + relu"],
    ),
    "instance norm with reshaped moments": (
        lambda tf, x: _affine_norm(tf, x, [1, 2], 4, "squeezed"),
        ["conv 3x3 3->4 + instance norm"],
    ),
    "layer norm": (lambda tf, x: _affine_norm(tf, x, [3], 4, "kept"), ["conv 3x3 3->4 + layer norm"]),
    "batch norm of the batch": (
        lambda tf, x: _affine_norm(tf, x, [0, 1, 2], 4, "kept"),
        ["conv 3x3 3->4 + batch norm"],
    ),
    "squeeze-excite": (
        lambda tf, x: _squeeze_excite(tf, tf.nn.relu(x), False),
        ["conv 3x3 3->4 + relu", "squeeze-excite 4->2->4, relu, sigmoid"],
    ),
    "squeeze-excite of MobileNet V3": (
        lambda tf, x: _squeeze_excite(tf, tf.nn.relu(x), True),
        ["conv 3x3 3->4 + relu", "squeeze-excite 4->2->4, relu, hard sigmoid"],
    ),
    "dropout": (_dropout_by_hand, ["conv 3x3 3->4", "dropout 0.2"]),
    "dropout of today": (lambda tf, x: tf.nn.dropout(x, rate=0.25), ["conv 3x3 3->4", "dropout 0.25"]),
}


@pytest.fixture(scope="module")
def built(tf: Any) -> Callable[[Build], Analysis]:
    """Return a function that builds a convolution and what a case puts behind it."""

    def build(case: Build) -> Analysis:
        with tf.Graph().as_default() as graph:
            x = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3), "images")
            tf.identity(case(tf, _conv(tf, x, 4)), "out")
            return analysed(GraphDef.FromString(graph.as_graph_def().SerializeToString()))

    return build


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_of_several_ops_is_one_word_with_its_slope(built: Any, name: str) -> None:
    case, words = ACTIVATIONS[name]
    layers = built(case).layers
    if words:
        assert [describe(layer) for layer in layers] == [f"conv 3x3 3->4 + {words}"]
        assert layers[0].numbers.get("slope", 0) == float(words.rpartition(" ")[2] if "leaky" in words else 0)
    else:
        assert len(layers) > 1


@pytest.mark.parametrize("name", LAYERS)
def test_norms_gates_and_dropout_are_one_layer(built: Any, name: str) -> None:
    case, words = LAYERS[name]
    analysis = built(case)
    assert [describe(layer) for layer in analysis.layers] == words
    variables = sum(variable.size for variable in analysis.variables.values())
    assert sum(layer.parameters for layer in analysis.layers) == variables
    if "norm" in name:
        epsilon = 1e-3 if "hand" in name else 1e-5
        assert analysis.layers[0].epsilon == pytest.approx(epsilon)


def test_an_idiom_whose_inside_others_read_stays_in_parts(built: Any) -> None:
    def case(tf: Any, x: Any) -> Any:
        scaled = 0.3 * x
        return tf.concat([tf.maximum(scaled, x), scaled], 3)

    assert [layer.kind for layer in built(case).layers] == ["conv", "multiply", "maximum", "concat"]


def test_what_only_passes_tensors_on_belongs_to_the_layer_in_front(built: Any) -> None:
    analysis = built(lambda tf, x: tf.nn.relu(_passed(tf, x * tf.sigmoid(x), x)))
    assert [layer.label for layer in analysis.layers] == ["conv 3x3 swish", "relu"]
    assert not any("IdentityN" in name for name in analysis.paths.aside)
    assert sum(name.startswith("IdentityN") for name in analysis.layers[0].nodes) == 2


def test_a_gate_whose_kernel_is_a_vector_is_no_squeeze_excite() -> None:
    make = Maker()
    x = make.placeholder("x", 1, 8, 8, 3)
    pooled = make("Mean", "pool", x, make.ints("axes", 1, 2), keep_dims=True)
    inner = make("Relu", "relu", make("MatMul", "first", pooled, make.weights("w", 3)))
    make("Mul", "out", x, make("Sigmoid", "gate", make("MatMul", "second", inner, make.weights("v", 3))))
    assert "squeeze-excite" not in [layer.kind for layer in analysed(make.graph).layers]


def test_nodes_that_pass_on_each_other_end() -> None:
    make = Maker()
    make.placeholder("x", 1, 8, 8, 3)
    make("IdentityN", "a", "b")
    make("IdentityN", "b", "a")
    make("Add", "sum", "x", "a")
    assert [layer.kind for layer in analysed(make.graph).layers] != []


@pytest.mark.parametrize("shape", [(1,), (1, 1, 1, 1)])
def test_the_bias_of_one_channel_is_a_bias(shape: tuple[int, ...]) -> None:
    """Keras 3 adds a bias as a map of one value; a heat map has one channel, and a scalar is arithmetic."""
    make = Maker()
    conv = make.conv("heat", make.placeholder("x", 1, 8, 8, 3), 3, 3, 3, 1)
    make("Sigmoid", "heat/Sigmoid", make("AddV2", "heat/add", conv, make.weights("heat/bias", *shape)))
    assert [describe(layer) for layer in analysed(make.graph).layers] == ["conv 3x3 3->1 + bias + sigmoid"]
    make.graph.node[3].attr["value"].tensor.tensor_shape.Clear()
    assert make.graph.node[3].name == "heat/bias"
    assert [layer.kind for layer in analysed(make.graph).layers] == ["conv", "add"]


def test_every_pattern_is_a_term_of_the_table() -> None:
    for idiom in IDIOMS:
        for pattern in idiom.patterns:
            assert parse(pattern, RULES).kind in ("op", "any")
    with pytest.raises(ValueError, match="goes on with"):
        parse("Add($x, #1) Mul", RULES)
    with pytest.raises(ValueError, match="outside a rule"):
        parse("Add(@, #1)", RULES)


def test_a_block_says_the_bias_before_the_norm(built: Any) -> None:
    layers = built(lambda tf, x: _affine_norm(tf, tf.nn.bias_add(x, _variable(tf, "b", 4)), [1, 2], 4, "kept")).layers
    assert [layer.label for layer in layers] == ["conv 3x3 bias instance norm"]


# ---- conditions of training
@pytest.fixture(scope="module", params=["Merge", "If"])
def switched(request: pytest.FixtureRequest, tf: Any) -> Analysis:
    """Return a network whose batch norm and dropout a placeholder switches, as slim and tf.layers build them."""
    v1 = tf.compat.v1
    (v1.disable_control_flow_v2 if request.param == "Merge" else v1.enable_control_flow_v2)()
    try:
        with tf.Graph().as_default() as graph:
            x = v1.placeholder(tf.float32, (None, 8, 8, 3), "images")
            training = v1.placeholder(tf.bool, (), "is_training")
            y = _conv(tf, x, 4)
            names = ("gamma", "beta", "moving_mean", "moving_variance")
            gamma, beta, mean, variance = (_variable(tf, f"bn/{name}", 4) for name in names)

            def norm(trains: bool) -> Any:
                moments = {} if trains else {"mean": mean, "variance": variance}
                return v1.nn.fused_batch_norm(y, gamma, beta, epsilon=1e-3, is_training=trains, **moments)[0]

            y = tf.nn.relu(v1.cond(training, lambda: norm(True), lambda: norm(False)))
            y = v1.cond(training, lambda: tf.nn.dropout(y, rate=0.4), lambda: tf.identity(y))
            tf.identity(_conv(tf, y, 5, "head", 1), "out")
            proto = GraphDef.FromString(graph.as_graph_def().SerializeToString())
    finally:
        v1.enable_control_flow_v2()
    assert any(node.op.removeprefix("Stateless") == request.param for node in proto.node)
    return analysed(proto)


def test_a_batch_norm_and_a_dropout_under_a_placeholder_are_those_of_inference(switched: Analysis) -> None:
    words = [describe(layer) for layer in switched.layers]
    assert words == ["conv 3x3 3->4 + batch norm + relu", "dropout 0.4", "conv 1x1 4->5"]
    assert switched.layers[1].numbers == {"rate": 0.4}
    assert switched.layers[0].parameters == 3 * 3 * 3 * 4 + 4 * 4
    assert switched.layers[0].epsilon == pytest.approx(1e-3)
    assert switched.paths.inputs == ("images",)
    assert switched.aside["training's side of a condition"] > 10


# ---- ops that optimizers write
def test_fused_ops_have_their_parts_and_their_work() -> None:
    make = Maker()
    x = make.placeholder("images", -1, 8, 8, 3)
    window = {"strides": [1, 2, 2, 1], "padding": "SAME", "data_format": "NHWC"}
    x = make("_FusedConv2D", "conv", x, make.weights("k", 3, 3, 3, 4), make.weights("b", 4), **window)
    make.graph.node[-1].attr["fused_ops"].list.s.extend([b"BiasAdd", b"Relu"])
    x = make("FusedDepthwiseConv2dNative", "dw", x, make.weights("d", 3, 3, 4, 1), make.weights("e", 4), **window)
    make.graph.node[-1].attr["fused_ops"].list.s.extend([b"BiasAdd", b"Prelu"])
    x = make("Prelu", "act", make("Reshape", "flat", x, make.ints("shape", -1, 16)), make.weights("slope", 16))
    make("_FusedMatMul", "dense", x, make.weights("w", 16, 5), make.weights("c", 5))
    make.graph.node[-1].attr["fused_ops"].list.s.append(b"BiasAdd")
    analysis = analysed(make.graph)
    assert [describe(layer) for layer in analysis.layers if layer.kind != "reshape"] == [
        "conv 3x3 3->4 stride 2 SAME + bias + relu",
        "depthwise 3x3 4->4 stride 2 SAME + bias + prelu",
        "prelu > dense 16->5 + bias",
    ]
    assert analysis.multiply_adds == 4 * 4 * 4 * 27 + 2 * 2 * 4 * 9 + 16 * 5


@pytest.mark.parametrize(("shape", "known"), [((4,), True), ((4, 4), False)])
def test_the_work_of_an_unknown_op_with_a_matrix_of_weights_is_said_to_be_unknown(
    shape: tuple[int, ...], known: bool
) -> None:
    make = Maker()
    x = make.conv("conv", make.placeholder("images", -1, 8, 8, 3), 3, 3, 3, 4)
    make("MyCompany>Attention", "attention", x, make.weights("query", *shape))
    analysis = analysed(make.graph)
    assert (analysis.multiply_adds is not None) == known
    work = dict(graph_facts(analysis))["work"]
    if not known:
        assert work == (
            "6,912 multiply-adds at least: porter does not know what 1 op such as attention (MyCompany>Attention) "
            "computes from its weights"
        )


# ---- pads and constants
def test_a_pad_of_channels_and_a_subtraction_of_means_show_their_numbers() -> None:
    make = Maker()
    x = make.placeholder("images", -1, 8, 8, 3)
    means = make.weights("means", 3)
    make.graph.node[-1].attr["value"].tensor.tensor_content = np.array([123.68, 116.78, 103.94], np.float32).tobytes()
    x = make("Sub", "centred", x, make("Identity", "the_means", means))
    pads = make.ints("pads", 0, 0, 0, 0, 0, 0, 0, 5)
    shape = make.graph.node[-1].attr["value"].tensor.tensor_shape
    shape.dim[0].size = 4
    shape.dim.add(size=2)
    make("Pad", "wider", x, pads)
    analysis = analysed(make.graph)
    assert [describe(layer) for layer in analysis.layers] == [
        "subtract 123.68, 116.78, 103.94",
        "pad channels 0+5",
    ]
