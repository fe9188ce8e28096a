"""Graphs that compute as in training are recognised in every form that TensorFlow and its users write them in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.compat.proto.graph_pb2 import GraphDef

from helpers.graphs import FOLDER, Maker, analysed
from porter.files import package_data
from porter.formats.tensorflow.source import read_graph
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.training import Training, find_training

GRAPHS = sorted([*FOLDER.glob("*.pb.gz"), *package_data.folder("golden").glob("*/graph.pb.gz")])
Build = Callable[..., Any]


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_an_inference_graph_is_no_training_graph(path: Path) -> None:
    analysis = Analysis(read_graph(path))
    found = find_training(analysis)
    assert not found
    assert found.batch_norms == sum(name.endswith("/moving_mean") for name in analysis.variables)


@pytest.fixture(params=["Switch and Merge", "If"])
def control(request: pytest.FixtureRequest, tf: Any) -> Iterator[str]:
    """Both forms of TensorFlow's conditions."""
    v1 = tf.compat.v1
    (v1.disable_control_flow_v2 if request.param == "Switch and Merge" else v1.enable_control_flow_v2)()
    yield request.param
    v1.enable_control_flow_v2()


def found_in(tf: Any, build: Callable[[Any], Any]) -> Training:
    """Return what is found in a network that ``build`` makes of a placeholder of images."""
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, (None, 8, 8, 3), "image")
        build(tf.nn.conv2d(x, variable(tf, "kernel", 3, 3, 3, 4), 1, "SAME"))
        return find_training(analysed(GraphDef.FromString(graph.as_graph_def().SerializeToString())))


def variable(tf: Any, name: str, *shape: int) -> Any:
    return tf.compat.v1.get_variable(name, shape, use_resource=True)


def fused(tf: Any, x: Any, training: bool) -> Any:
    vectors = [np.zeros(4, np.float32)] * 2
    moments = [] if training else vectors
    return tf.compat.v1.nn.fused_batch_norm(x, *vectors, *moments, is_training=training)[0]


def switch(tf: Any, kind: str) -> Any:
    """Return an is_training of one kind."""
    v1 = tf.compat.v1
    match kind:
        case "placeholder":
            return v1.placeholder(tf.bool, (), "is_training")
        case "without a shape":
            return v1.placeholder(tf.bool, name="is_training")
        case "Keras' phase":
            return v1.placeholder_with_default(False, (), "keras_learning_phase")
        case "true by default":
            return v1.placeholder_with_default(True, (), "is_training")
        case "a number":
            return tf.equal(v1.placeholder(tf.int32, (), "is_training"), 1)
        case "another's opposite":
            return tf.logical_not(v1.placeholder(tf.bool, (), "is_training"))
        case "a variable":
            return v1.get_variable("is_training", initializer=True, use_resource=False)
        case _:
            return tf.constant(kind == "frozen as true", name="is_training")


SWITCHES = {
    "placeholder": "is_training switches 1 batch norm",
    "without a shape": "is_training switches 1 batch norm",
    "a number": "is_training switches 1 batch norm",
    "another's opposite": "is_training switches 1 batch norm",
    "a variable": "is_training switches 1 batch norm",
    "Keras' phase": "",
    "true by default": "1 batch norm uses the batch's statistics",
    "frozen as true": "1 batch norm uses the batch's statistics",
    "frozen as false": "",
}


def sentence(part: str) -> str:
    """Return the whole sentence that ends in ``part``."""
    if not part:
        return ""
    return f"a training graph{' and an inference graph in one' if 'switch' in part else ''}: {part}"


def said(found: Training) -> str:
    return found.sentence if found else ""


@pytest.mark.parametrize("kind", SWITCHES)
def test_a_fused_norm_in_a_branch(tf: Any, control: str, kind: str) -> None:
    def build(x: Any) -> Any:
        return tf.nn.relu(tf.cond(switch(tf, kind), lambda: fused(tf, x, True), lambda: fused(tf, x, False)))

    assert said(found_in(tf, build)) == sentence(SWITCHES[kind])


@pytest.mark.parametrize("kind", SWITCHES)
def test_moments_that_a_branch_selects(tf: Any, control: str, kind: str) -> None:
    """The batch norm that many write by hand."""

    def build(x: Any) -> Any:
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        kept = variable(tf, "mean", 4), variable(tf, "variance", 4)
        chosen = tf.cond(
            switch(tf, kind), lambda: (tf.identity(mean), tf.identity(variance)), lambda: tuple(map(tf.identity, kept))
        )
        return tf.nn.relu(tf.nn.batch_normalization(x, *chosen, variable(tf, "beta", 4), None, 1e-3))

    assert said(found_in(tf, build)) == sentence(SWITCHES[kind])


def test_a_whole_network_in_a_branch_and_a_norm_of_each_kind(tf: Any, control: str) -> None:
    def network(x: Any, training: bool) -> Any:
        x = tf.nn.relu(fused(tf, x, training))
        return tf.nn.dropout(x, rate=0.5) if training else x

    def build(x: Any) -> Any:
        training = switch(tf, "placeholder")
        x = tf.cond(training, lambda: network(x, True), lambda: network(x, False))
        return tf.nn.relu(fused(tf, fused(tf, x, True), False))

    found = found_in(tf, build)
    assert found.sentence == (
        "a training graph: 1 of 2 batch norms uses the batch's statistics; "
        "is_training switches 1 batch norm and dropout"
    )
    assert found.remedy == "freeze the inference graph"


def test_what_switches_is_named_in_the_remedy(tf: Any) -> None:
    def build(x: Any) -> Any:
        rate = tf.compat.v1.placeholder(tf.float32, name="rate")
        x = tf.cond(switch(tf, "placeholder"), lambda: fused(tf, x, True), lambda: fused(tf, x, False))
        return tf.nn.dropout(x, rate=rate)

    found = found_in(tf, build)
    assert not found.active
    assert found.remedy == "freeze the graph with is_training and rate set for inference"
    assert found.as_dict()["switches"] == ["is_training", "rate"]


# ---- Dropout
def old_dropout(tf: Any, x: Any, keep: Any) -> Any:
    """Return dropout as TensorFlow up to 1.12 wrote it (tensorflow/python/ops/nn_ops.py)."""
    noise = keep + tf.random.uniform(tf.shape(x), seed=1)
    return (x / keep) * tf.floor(noise)


DROPOUTS: dict[str, tuple[Build, str]] = {
    "rate": (lambda tf, x: tf.nn.dropout(x, rate=0.3), "dropout"),
    "keep_prob": (lambda tf, x: tf.compat.v1.nn.dropout(x, keep_prob=tf.constant(0.7)), "dropout"),
    "stateless": (lambda tf, x: tf.nn.experimental.stateless_dropout(x, 0.3, (1, 2)), "dropout"),
    "whole channels": (lambda tf, x: tf.nn.dropout(x, rate=0.3, noise_shape=(1, 1, 1, 4)), "dropout"),
    "two": (lambda tf, x: tf.nn.dropout(tf.nn.dropout(x, rate=0.3), rate=0.5), "dropout at 2 places"),
    "old": (lambda tf, x: old_dropout(tf, x, 0.7), "dropout"),
    "old, keeps all": (lambda tf, x: old_dropout(tf, x, 1.0), ""),
    "keeps all": (lambda tf, x: tf.nn.dropout(x, rate=tf.constant(0.0)), ""),
    "less than": (lambda tf, x: x * tf.cast(tf.random.uniform((8, 8, 4)) < 0.5, tf.float32), "dropout"),
    "whole": (lambda tf, x: x * tf.cast(tf.random.uniform((8, 8, 4)) < 1.0, tf.float32), ""),
    "placeholder": (
        lambda tf, x: tf.nn.dropout(x, rate=1 - tf.compat.v1.placeholder(tf.float32, name="keep_prob")),
        "keep_prob switches dropout",
    ),
    "old, placeholder": (
        lambda tf, x: old_dropout(tf, x, tf.compat.v1.placeholder(tf.float32, (), name="keep_prob")),
        "keep_prob switches dropout",
    ),
    "one by default": (
        lambda tf, x: old_dropout(tf, x, tf.compat.v1.placeholder_with_default(1.0, (), name="keep_prob")),
        "",
    ),
    "a half by default": (
        lambda tf, x: old_dropout(tf, x, tf.compat.v1.placeholder_with_default(0.5, (), name="keep_prob")),
        "dropout",
    ),
}


@pytest.mark.parametrize("kind", DROPOUTS)
def test_dropout(tf: Any, kind: str) -> None:
    build, part = DROPOUTS[kind]
    assert said(found_in(tf, lambda x: tf.nn.relu(build(tf, x)))) == sentence(part)


def test_an_augmented_input_is_no_dropout(tf: Any) -> None:
    def build(_: Any) -> Any:
        x = tf.compat.v1.get_default_graph().get_tensor_by_name("image:0")
        flip = tf.random.uniform(()) < 0.5
        return tf.nn.conv2d(tf.where(flip, x[:, :, ::-1], x), variable(tf, "k", 3, 3, 3, 4), 1, "SAME")

    assert not found_in(tf, build)


# ---- norms that use no batch statistics
def test_norms_of_single_images_and_of_kernels_are_no_batch_norms(tf: Any) -> None:
    def build(x: Any) -> Any:
        mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)  # an instance norm
        x = (x - mean) * tf.math.rsqrt(variance + 1e-3)
        mean, variance = tf.nn.moments(x, [3], keepdims=True)  # a layer norm
        x = (x - mean) * tf.math.rsqrt(variance + 1e-3)
        kernel = variable(tf, "standardized", 3, 3, 4, 4)  # weight standardization
        mean, variance = tf.nn.moments(kernel, [0, 1, 2])
        return tf.nn.conv2d(x, (kernel - mean) * tf.math.rsqrt(variance + 1e-10), 1, "SAME")

    assert not found_in(tf, build)


def test_kerass_layer_norm_is_no_batch_norm_although_its_op_is_one(tf: Any) -> None:
    from tf_keras.layers import LayerNormalization

    found = found_in(tf, lambda x: LayerNormalization(epsilon=1e-3)(tf.reshape(x, (-1, 64, 4))))
    assert not found


@pytest.mark.parametrize("training", [True, False])
def test_keras_3(tf: Any, training: bool) -> None:
    import keras

    layers = [keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.Dropout(0.2)]
    net = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), *layers])
    call = tf.function(lambda x: net(x, training=training)).get_concrete_function(tf.TensorSpec((None, 8, 8, 3)))
    found = find_training(analysed(GraphDef.FromString(call.graph.as_graph_def().SerializeToString())))
    part = "1 batch norm uses the batch's statistics; dropout"
    assert said(found) == (sentence(part) if training else "")


def test_an_attribute_that_the_file_leaves_out_has_the_ops_default() -> None:
    """strip_default_attrs, which exporters set, removes is_training=True."""
    make = Maker()
    x = make.conv("conv", make.placeholder("input", -1, 8, 8, 3), 3, 3, 3, 4)
    vectors = [make.weights(f"norm/{name}", 4) for name in ("gamma", "beta", "mean", "variance")]
    make("FusedBatchNormV3", "norm/fused", x, *vectors, epsilon=1e-3)
    make("Relu", "relu", "norm/fused")
    assert find_training(analysed(make.graph)).norms == ("norm/fused",)


def test_the_outputs_decide_in_a_graph_that_trains_and_evaluates(tf: Any) -> None:
    def build(x: Any) -> None:
        tf.nn.relu(fused(tf, x, True), name="train")
        tf.nn.relu(fused(tf, x, False), name="test")

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        build(tf.nn.conv2d(v1.placeholder(tf.float32, (None, 8, 8, 3)), variable(tf, "kernel", 3, 3, 3, 4), 1, "SAME"))
        proto = GraphDef.FromString(graph.as_graph_def().SerializeToString())
    assert find_training(analysed(proto)).sentence.endswith("1 of 2 batch norms uses the batch's statistics")
    assert find_training(analysed(proto), ["train"]).sentence.endswith(": 1 batch norm uses the batch's statistics")
    assert not find_training(analysed(proto), ["test"])


def test_a_circle_and_a_tower_of_conditions_end() -> None:
    make = Maker()
    make("LogicalAnd", "a", "b", "b")
    make("LogicalAnd", "b", "a", "a")
    x = make.conv("conv", make.placeholder("input", -1, 8, 8, 3), 3, 3, 3, 4)
    flag = "a"
    for number in range(300):
        flag = make("LogicalAnd", f"and{number}", flag, flag)
        x = make("SelectV2", f"select{number}", flag, x, x)
    assert not find_training(analysed(make.graph))
