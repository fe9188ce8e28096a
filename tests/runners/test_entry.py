"""A user's graph is entered at its network, and what lies before it is judged apart.

The graphs are those of public reports: a prefetch queue (onnx/tensorflow-onnx#773), encoded JPEG bytes, uint8 and
scaled inputs (Microsoft/MMdnn#22), a fixed batch, channels first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import seeded_variables
from helpers.graphs import renamed
from porter import inspect, port, verify
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.errors import FormatError, MappingError, PorterError
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.source import load_graph
from porter.graph.rewrite.freeze import freeze
from porter.mapping.table import Table
from porter.parity.compare_runs import Settings
from porter.parity.graph_preprocessing import graph_preprocessing
from porter.runners.context import Context
from porter.runners.golden import golden_images
from porter.runners.images import PreparedImages, sample_paths
from porter.runners.original import original_side
from porter.runners.tensorflow import TFRunner

MODEL = "mobilenet_v1_0.25_128"
ARCH = find_arch(MODEL)
TABLE = Table.load("mobilenet_v1")
STEM = "MobilenetV1/MobilenetV1/Conv2d_0/Conv2D"
MEANS = (123.68, 116.78, 103.94)
Make = Callable[[Any], Any]


def frozen() -> Any:
    return freeze(load_graph(recorded(MODEL).graph), seeded_variables())


@pytest.fixture(scope="module")
def want(tf: Any) -> dict[str, np.ndarray]:
    """What the network alone computes of the golden's images in float64."""
    return TFRunner(frozen(), TABLE, "frozen.pb")(golden_images(128).astype(np.float64))


def behind(tf: Any, make: Make) -> Any:
    """Return the frozen network behind the tensor that ``make`` builds."""
    with tf.Graph().as_default() as graph:
        images = make(tf)
        network = tf.compat.v1.GraphDef.FromString(frozen().SerializeToString())
        tf.graph_util.import_graph_def(network, {"input:0": images}, name="")
    return type(frozen()).FromString(graph.as_graph_def().SerializeToString())


def side(graph: Any, folder: Path, checkpoint: Any = None, **options: Any) -> Any:
    """Return the runner of ``graph``, as verify opens it."""
    path = folder / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    context = Context(ARCH, TABLE, 128, checkpoint or open_checkpoint(path), **options)
    return original_side(context, path).runner


def check(runner: Any, want: dict[str, np.ndarray]) -> None:
    """Every endpoint of the network alone is there, with its values."""
    got = runner(golden_images(128).astype(np.float64))
    assert list(got) == list(want)
    for name, values in want.items():
        assert got[name].shape == values.shape
        np.testing.assert_allclose(got[name], values, rtol=0, atol=1e-11)


def placeholder(tf: Any, shape: list[int | None] | None, dtype: str = "float32") -> Any:
    return tf.compat.v1.placeholder(dtype, shape, "images")


def scaled(tf: Any) -> Any:
    return (placeholder(tf, [None, 128, 128, 3]) - 127.5) * (1 / 127.5)


def unit(tf: Any) -> Any:
    return (placeholder(tf, [None, 128, 128, 3]) - 0.5) * 2.0


def uint8(tf: Any) -> Any:
    return tf.cast(placeholder(tf, [None, 128, 128, 3], "uint8"), tf.float32) / 127.5 - 1.0


def one_image(tf: Any) -> Any:
    return tf.expand_dims(tf.cast(placeholder(tf, [128, 128, 3], "uint8"), tf.float32) / 127.5 - 1.0, 0)


def raw(tf: Any) -> Any:
    return tf.cast(placeholder(tf, [None, None, None, 3], "uint8"), tf.float32)


def in_unit(tf: Any) -> Any:
    return tf.image.convert_image_dtype(placeholder(tf, [1, 128, 128, 3], "uint8"), tf.float32)


def reversed_channels(tf: Any) -> Any:
    return tf.reverse(placeholder(tf, [None, 128, 128, 3]), [-1])


def caffe(tf: Any) -> Any:
    red, green, blue = tf.split(tf.cast(placeholder(tf, [None, 128, 128, 3], "uint8"), tf.float32), 3, 3)
    return tf.concat([blue - MEANS[2], green - MEANS[1], red - MEANS[0]], 3)


def channels_first(tf: Any) -> Any:
    return tf.transpose(placeholder(tf, [None, 3, 128, 128]), [0, 2, 3, 1])


def channels_first_pixels(tf: Any) -> Any:
    return tf.transpose(tf.cast(placeholder(tf, [32, 3, 128, 128], "uint8"), tf.float32), [0, 2, 3, 1]) / 127.5 - 1.0


def decoded(tf: Any) -> Any:
    return tf.image.convert_image_dtype(tf.image.decode_jpeg(placeholder(tf, [], "string"), 3), tf.float32)


def whole_jpeg(tf: Any) -> Any:
    return (tf.compat.v1.image.resize_bilinear(decoded(tf)[None], [128, 128]) - 0.5) * 2.0


def inception_jpeg(tf: Any) -> Any:
    return (tf.compat.v1.image.resize_bilinear(tf.image.central_crop(decoded(tf), 0.875)[None], [128, 128]) - 0.5) * 2.0


def bilinear_of_centres(tf: Any) -> Any:
    return tf.image.resize(tf.image.central_crop(decoded(tf), 0.875)[None], [128, 128]) * 2.0 - 1.0


def queue(tf: Any) -> Any:
    return tf.compat.v1.FIFOQueue(4, [tf.float32], shapes=[[32, 128, 128, 3]]).dequeue()


def behind_queue(tf: Any) -> Any:
    images = tf.compat.v1.FIFOQueue(4, [tf.uint8, tf.int64], shapes=[[4, 128, 128, 3], [4]]).dequeue()[0]
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def shuffled(tf: Any) -> Any:
    images = tf.compat.v1.RandomShuffleQueue(9, 1, [tf.uint8], shapes=[[128, 128, 3]]).dequeue_many(8)
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def one_shot(tf: Any) -> Any:
    stored = tf.data.Dataset.from_tensors(np.zeros((1, 128, 128, 3), np.float32))
    return tf.compat.v1.data.make_one_shot_iterator(stored).get_next()


def iterator(tf: Any) -> Any:
    made = tf.compat.v1.data.Iterator.from_structure(tf.float32, tf.TensorShape([1, 128, 128, 3]))
    return made.get_next()


def from_file(tf: Any) -> Any:
    image = tf.image.decode_jpeg(tf.io.read_file("cat.jpg"), 3)
    return tf.image.resize(image, [128, 128])[None]


def augmented(tf: Any) -> Any:
    return tf.stack([tf.image.random_flip_left_right(image) for image in tf.unstack(placeholder(tf, [2, 128, 128, 3]))])


def mapped(tf: Any) -> Any:
    encoded = placeholder(tf, [None], "string")
    return tf.map_fn(lambda one: tf.image.resize(tf.image.decode_jpeg(one, 3), [128, 128]), encoded, tf.float32)


def padded_to_square(tf: Any) -> Any:
    return tf.pad(placeholder(tf, [None, 96, 128, 3]), [[0, 0], [16, 16], [0, 0], [0, 0]])


def two_inputs(tf: Any) -> Any:
    return placeholder(tf, [None, 128, 128, 3]) * placeholder(tf, [])


def called(tf: Any) -> Any:
    return tf.function(lambda images: images / 127.5 - 1.0)(placeholder(tf, [None, 128, 128, 3]))


def checked(tf: Any) -> Any:
    images = placeholder(tf, [None, None, None, 3])
    with tf.control_dependencies([tf.debugging.assert_greater(tf.shape(images)[1], 64)]):
        return tf.identity(images) / 127.5 - 1.0


CASES: dict[Make, str] = {
    scaled: r"agrees with inception to \de-8, given pixels in \[0, 255\]",
    unit: r"agrees with inception (to \de-\d+|bit for bit), given pixels in \[0, 1\]",
    uint8: r"agrees with inception to 1e-7",
    one_image: r"agrees with inception to 1e-7",
    raw: r"differs from inception: it leaves pixels in \[0, 255\], where inception gives \[-1, 1\]; moves logits by .*",
    in_unit: r"differs from inception: it maps pixels in \[0, 255\] to \[0, 1\], where inception gives .*",
    reversed_channels: r"differs from inception: it swaps RGB to BGR, given prepared images; moves logits by .*",
    caffe: r"differs from inception: it swaps RGB to BGR and maps pixels in \[0, 255\] to \[-103.94, 151.06\], "
    r"\[-116.78, 138.22\], \[-123.68, 131.32\] for the three channels, where .*",
    channels_first: r"agrees with inception bit for bit, given prepared images",
    channels_first_pixels: r"agrees with inception to 1e-7",
    whole_jpeg: r"differs from inception: it resizes the whole image, without a crop; moves logits by .*",
    inception_jpeg: r"agrees with inception to 2e-7",
    bilinear_of_centres: r"differs from inception by at most 1.1, 0.037 on average; moves logits by .*",
    queue: r"not run: nothing stands between QueueDequeueV2 and the network",
    behind_queue: r"agrees with inception to 1e-7",
    shuffled: r"agrees with inception to 1e-7",
    one_shot: r"not run: nothing stands between IteratorGetNext and the network",
    iterator: r"not run: nothing stands between IteratorGetNext and the network",
    from_file: r"not run: some ops read or write files \(ReadFile\)",
    augmented: r"not run: some ops draw random numbers \(RandomUniform\)",
    mapped: r"not run: some ops loop \(.*\)",
    two_inputs: r"not run: it has several inputs \(images_?1?, images_?1?\)",
    called: r"agrees with inception to 1e-7, given pixels in \[0, 255\]",
    checked: r"agrees with inception to 1e-7, given pixels in \[0, 255\]",
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_the_network_is_entered_behind_the_graphs_own_preprocessing(
    tf: Any, want: dict[str, np.ndarray], tmp_path: Path, make: Make
) -> None:
    runner = side(behind(tf, make), tmp_path)
    check(runner, want)
    images = PreparedImages(sample_paths()[:2], "inception", 128)
    found = str(graph_preprocessing(images, runner, "Logits"))
    op = {behind_queue: " behind QueueDequeueV2", shuffled: " behind QueueDequeueManyV2"}.get(make, "")
    begin = f"the graph's own preprocessing (graph.pb{op}): "
    assert found.startswith(begin)
    assert re.fullmatch(CASES[make], found.removeprefix(begin)), found


@pytest.mark.parametrize("shape", [[None, 128, 128, 3], [1, 128, 128, 3], [32, 128, 128, 3], [None, None, None, 3]])
def test_a_network_without_preprocessing_says_nothing_of_it(
    tf: Any, want: dict[str, np.ndarray], tmp_path: Path, shape: list[int | None]
) -> None:
    runner = side(behind(tf, lambda tf: placeholder(tf, shape)), tmp_path)
    check(runner, want)
    assert runner.preprocessing is None


def add_padding(graph: Any) -> None:
    """Pad before the stem, which then is VALID, as networks with explicit padding do."""
    stem = next(node for node in graph.node if node.name == STEM)
    pads = graph.node.add(name="pads", op="Const")
    pads.attr["dtype"].type = pads.attr["value"].tensor.dtype = 3
    for size in (4, 2):
        pads.attr["value"].tensor.tensor_shape.dim.add(size=size)
    pads.attr["value"].tensor.int_val.extend([0, 0, 0, 1, 0, 1, 0, 0])
    pad = graph.node.add(name="pad", op="Pad", input=[stem.input[0], pads.name])
    pad.attr["T"].type, pad.attr["Tpaddings"].type = 1, 3
    stem.attr["padding"].s = b"VALID"
    stem.input[0] = pad.name


@pytest.mark.parametrize("make", [unit, padded_to_square], ids=lambda make: make.__name__)
def test_a_pad_of_the_networks_stays_inside_and_another_one_outside(
    tf: Any, want: dict[str, np.ndarray], tmp_path: Path, make: Make
) -> None:
    graph = behind(tf, make)
    plain = side(graph, tmp_path)
    check(plain, want)
    assert plain.preprocessing is not None
    add_padding(graph)
    runner = side(graph, tmp_path)
    check(runner, want)
    assert "pad" in {node.name for node in runner.graph.node}
    assert runner.preprocessing is not None


def last_to_first(tf: Any) -> Any:
    return tf.transpose(placeholder(tf, [None, 128, 128, 3], "float32") / 127.5 - 1.0, [0, 3, 1, 2])


def frozen_network_in_nchw(tf: Any, make: Make | None) -> Any:
    """Return the network itself in NCHW, as it is trained on GPUs, behind the tensor that ``make`` builds."""
    graph = frozen()
    for node in graph.node:
        if node.name == "input":
            sizes = [-1, 3, 128, 128]
            for dim, size in zip(node.attr["shape"].shape.dim, sizes, strict=True):
                dim.size = size
        if "data_format" in node.attr:
            node.attr["data_format"].s = b"NCHW"
            for name in ("strides", "ksize", "dilations"):
                if name in node.attr:
                    numbers = list(node.attr[name].list.i)
                    node.attr[name].list.i[:] = [numbers[axis] for axis in (0, 3, 1, 2)]
        if node.op == "Squeeze":
            node.attr["squeeze_dims"].list.i[:] = [2, 3]
    if make is None:
        return graph
    with tf.Graph().as_default() as whole:
        network = tf.compat.v1.GraphDef.FromString(graph.SerializeToString())
        tf.graph_util.import_graph_def(network, {"input:0": make(tf)}, name="")
    return type(graph).FromString(whole.as_graph_def().SerializeToString())


@pytest.mark.parametrize("make", [None, last_to_first])
def test_a_network_in_nchw_runs_and_its_endpoints_are_nhwc(
    tf: Any, want: dict[str, np.ndarray], tmp_path: Path, make: Make | None
) -> None:
    runner = side(frozen_network_in_nchw(tf, make), tmp_path)
    check(runner, want)
    assert (runner.preprocessing is None) == (make is None)


def test_nodes_of_other_names_are_found_by_their_place(tf: Any, want: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Nothing keeps its name: not the variables, not the endpoints, not the input."""
    graph = behind(tf, scaled)
    numbers = {node.name: f"n{number}" for number, node in enumerate(graph.node)}
    seeds = seeded_checkpoint(recorded(MODEL))
    check(side(renamed(graph, lambda name: numbers[name]), tmp_path, seeds), want)


def test_endpoints_that_are_gone_are_counted_and_the_others_compared(tf: Any, tmp_path: Path) -> None:
    """A ReLU6 as a Minimum has no place in the recorded graph; the softmax is computed from the logits."""
    graph = behind(tf, unit)
    nodes = {node.name: node for node in graph.node}
    relu = nodes["MobilenetV1/MobilenetV1/Conv2d_13_pointwise/Relu6"]
    with tf.Graph().as_default() as made:
        tf.constant(6.0, name="six")
    graph.node.append(type(relu).FromString(made.as_graph_def().node[0].SerializeToString()))
    plain = graph.node.add(name="plain", op="Relu", input=relu.input)
    plain.attr["T"].type = 1
    low = graph.node.add(name="low", op="Minimum", input=["plain", "six"])
    low.attr["T"].type = 1
    for node in graph.node:
        node.input[:] = ["low" if name == relu.name else name for name in node.input]
    for gone in (relu, nodes["MobilenetV1/Predictions/Reshape_1"]):
        graph.node.remove(gone)
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.SerializeToString())
    result = verify(MODEL, graph=path, images=sample_paths()[:1], settings=Settings(precision="float64"))
    report = result.ports["torch"]
    assert result, str(report)
    assert len(report.rows) == 29
    assert "graph.pb lacks 1 of 30 endpoints: Conv2d_13_pointwise" in report.notes
    assert result.as_dict()["preprocessing"][-1].endswith("given pixels in [0, 1]")


def test_folded_batch_norms_run_in_float64(tf: Any, want: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Rounded to float32 when they were folded, the kernels differ; their names are gone, and the stem is found."""
    from tensorflow.python.tools.optimize_for_inference_lib import optimize_for_inference

    definition = tf.compat.v1.GraphDef.FromString(behind(tf, scaled).SerializeToString())
    folded = optimize_for_inference(definition, ["images"], ["MobilenetV1/Predictions/Reshape_1"], 1)
    graph = type(frozen()).FromString(folded.SerializeToString())
    assert not [node.name for node in graph.node if node.op.startswith("FusedBatchNorm")]
    runner = side(graph, tmp_path, seeded_checkpoint(recorded(MODEL)))
    got = runner(golden_images(128).astype(np.float64))
    for name, values in want.items():
        np.testing.assert_allclose(got[name], values, rtol=0, atol=1e-4 * values.std())
    assert runner.preprocessing is not None


def test_quantized_weights_run_in_float64(tf: Any, tmp_path: Path) -> None:
    """Dequantize has no float64: it gives its own float32 values, as the constants in its place would."""
    quantized, plain = frozen(), frozen()
    name = "MobilenetV1/Conv2d_3_pointwise/weights"
    for graph in (quantized, plain):
        graph.node.remove(next(node for node in graph.node if node.name == name))
    values = np.random.default_rng(0).integers(0, 256, (1, 1, 32, 32), np.uint8)
    with tf.Graph().as_default() as made:
        stored = tf.constant(values.view(np.uint8))
        tf.raw_ops.Dequantize(
            input=tf.bitcast(stored, tf.quint8), min_range=-0.7, max_range=0.31, mode="MIN_FIRST", name=name
        )
        with tf.compat.v1.Session() as session:
            wanted = session.run(f"{name}:0")
    quantized.MergeFrom(type(plain).FromString(made.as_graph_def().SerializeToString()))
    from porter.graph.rewrite.freeze import constant

    plain.node.append(constant(name, wanted))
    images = golden_images(128)[:1].astype(np.float64)
    got, want = (TFRunner(graph, TABLE, "q.pb")(images) for graph in (quantized, plain))
    for endpoint, value in want.items():
        assert np.array_equal(got[endpoint], value)


def test_an_input_with_a_default_keeps_it_and_is_said(tf: Any, want: dict[str, np.ndarray], tmp_path: Path) -> None:
    graph = behind(tf, unit)
    with tf.Graph().as_default() as made:
        tf.compat.v1.placeholder_with_default(tf.constant(1.0), [], name="keep_prob")
    graph.node.MergeFrom(type(graph).FromString(made.as_graph_def().SerializeToString()).node)
    pool = next(node for node in graph.node if node.op == "AvgPool")
    scaled_pool = graph.node.add(name="kept", op="Mul", input=[pool.name, "keep_prob"])
    scaled_pool.attr["T"].type = 1
    for node in graph.node:
        if node is not scaled_pool and node.name != "kept":
            node.input[:] = ["kept" if name == pool.name else name for name in node.input]
    runner = side(graph, tmp_path)
    check(runner, want)
    assert "graph.pb runs with the defaults of inputs: keep_prob" in runner.notes


def test_an_input_without_a_value_is_named(tf: Any, tmp_path: Path) -> None:
    graph = behind(tf, unit)
    rate = graph.node.add(name="rate", op="Placeholder")
    rate.attr["dtype"].type = 1
    rate.attr["shape"].shape.SetInParent()
    relu = next(node for node in graph.node if node.op == "AvgPool")
    relu.input.append("^rate")
    with pytest.raises(FormatError, match=r"must have one input for its logits, but has network_input, rate"):
        side(graph, tmp_path)


def test_an_open_image_size_is_what_the_shapes_prove(tf: Any, tmp_path: Path) -> None:
    """slim builds a 7x7 pool where it does not know the size: the graph takes 224 only."""
    graph = behind(tf, lambda tf: placeholder(tf, [None, None, None, 3]))
    next(node for node in graph.node if node.op == "AvgPool").attr["ksize"].list.i[1:3] = [7, 7]
    with pytest.raises(
        MappingError, match=r"graph.pb takes images of 224x224, as its shapes prove, not 128x128"
    ) as error:
        side(graph, tmp_path)
    assert error.value.ways == ({"model": "mobilenet_v1_0.25_224"},)


def test_a_graph_of_another_fixed_size_says_its_size(tf: Any, tmp_path: Path) -> None:
    runner = side(behind(tf, lambda tf: tf.image.resize(placeholder(tf, [None, None, None, 3]), [128, 128])), tmp_path)
    with pytest.raises(FormatError, match=r"graph.pb takes images of 128x128, not 160x160"):
        runner(np.zeros((1, 160, 160, 3), np.float32))


def test_a_stem_in_float16_is_refused_before_anything_is_fed(tf: Any, tmp_path: Path) -> None:
    graph = frozen()
    next(node for node in graph.node if node.name == STEM).attr["T"].type = 19
    with pytest.raises(FormatError, match=r"its first layer .*Conv2D does not compute in float32: freeze the float32"):
        side(graph, tmp_path)


def test_a_graph_that_tensorflow_refuses_is_one_sentence(tf: Any, tmp_path: Path) -> None:
    """tensorflow/tensorflow#15034: optimize_for_inference leaves an NHWC BiasAdd behind an NCHW convolution."""
    graph = frozen_network_in_nchw(tf, None)
    next(node for node in graph.node if node.op == "BiasAdd").attr["data_format"].s = b"NHWC"
    with pytest.raises(
        FormatError, match=r"cannot import .*graph.pb: Dimensions must be equal, but are 1 and 1001 for 'Mob"
    ):
        side(graph, tmp_path)(golden_images(128)[:1].astype(np.float64))


def test_the_users_code_cannot_end_the_program(tmp_path: Path) -> None:
    path = tmp_path / "quits.py"
    path.write_text("import sys\n\n\ndef build():\n    sys.exit(0)\n\n\ndef run(images):\n    sys.exit()\n")
    for function in ("build", "run"):
        with pytest.raises(
            PorterError, match=rf"quits.py: {function} ends the program \(sys.exit\): return the network"
        ):
            verify(MODEL, candidate=f"{path}:{function}")


def test_a_thousand_classes_beside_a_golden_have_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(
        "import numpy as np\n\n\ndef run(images):\n    return {'Logits': np.zeros((len(images), 1000))}\n\n\n"
        "def five(images):\n    return {'Logits': np.zeros((len(images), 5))}\n"
    )
    with pytest.raises(PorterError, match=r"1000 values .* 1001 in .*: return all 1001 classes, .* give `checkpoint`"):
        verify(MODEL, candidate=f"{path}:run")
    with pytest.raises(PorterError, match=rf"build the network of {MODEL} with 1001 classes"):
        verify(MODEL, candidate=f"{path}:five")


def test_arguments_without_effect_are_refused(small: Path, tmp_path: Path) -> None:
    """What is not used is not accepted in silence."""
    mapped: dict[str, Any] = {"endpoint_map": {"Logits": "x"}}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"trust_graph": True}, "no graph of yours runs here: leave `trust_graph` out"),
        ({"trust_graph": True, "checkpoint": small}, "no graph of yours runs here: leave `trust_graph` out"),
        (mapped | {"reference": "golden"}, "`endpoint_map` needs a network of yours"),
        (
            {"endpoint_map": {"Logits": "x"}, "reference": f"torch:{tmp_path}"},
            "`endpoint_map` needs a network of yours",
        ),
        (
            {"ignore": ["x"], "reference": "golden", "candidate": "golden"},
            "without a checkpoint `ignore` has no effect",
        ),
        ({"prefix": "x/"}, "without a checkpoint `prefix` has no effect: give `checkpoint`"),
        ({"ignore": ["nothing/*"], "checkpoint": small}, "`ignore='nothing/\\*'` matches nothing in .*: leave it out"),
    ]
    for options, message in cases:
        with pytest.raises(PorterError, match=message):
            verify(MODEL, **options)


def test_a_port_to_tensorflow_is_verified(tf: Any, small: Path) -> None:
    assert port(MODEL, target="tf", checkpoint=small, verify=True).verification


def test_a_circle_before_the_network_is_left_out(tf: Any, want: dict[str, np.ndarray], tmp_path: Path) -> None:
    graph = frozen()
    for name, other in (("round", "about"), ("about", "round")):
        graph.node.add(name=name, op="Identity", input=[other]).attr["T"].type = 1
    next(node for node in graph.node if node.name == STEM).input[0] = "round"
    runner = side(graph, tmp_path)
    check(runner, want)
    assert runner.preprocessing.refused == "it has no input that images could be fed to"


@pytest.mark.slow
def test_another_network_and_another_preset(tf: Any, tmp_path: Path) -> None:
    """NASNet for CIFAR: its preset standardizes each image, which no fixed scale does."""
    golden = recorded("nasnet_cifar")
    table, arch = Table.load("nasnet_cifar"), find_arch("nasnet_cifar")
    network = freeze(golden.load_graph(), seeded_variables("nasnet_cifar"))
    with tf.Graph().as_default() as graph:
        pixels = tf.cast(placeholder(tf, [1, 32, 32, 3], "uint8"), tf.float32)
        images = tf.stack([tf.image.per_image_standardization(pixels[0])])
        definition = tf.compat.v1.GraphDef.FromString(network.SerializeToString())
        tf.graph_util.import_graph_def(definition, {"input:0": images}, name="tower_0")
    path = tmp_path / "graph.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    runner = original_side(Context(arch, table, 32, open_checkpoint(path)), path).runner
    batch = golden_images(32)[:1]
    want = TFRunner(network, table, "frozen.pb")(batch)
    got = runner(batch)
    assert list(got) == list(want)
    assert all(np.array_equal(got[name], values) for name, values in want.items())
    found = str(graph_preprocessing(PreparedImages(sample_paths()[:1], "cifar", 32), runner, "Logits"))
    assert re.search(r"agrees with cifar to \de-\d", found), found


def test_inspect_names_the_size_that_a_graph_resizes_to(tf: Any, tmp_path: Path) -> None:
    path = tmp_path / "graph.pb"
    path.write_bytes(behind(tf, whole_jpeg).SerializeToString())
    known = inspect(path).recognised
    assert known.sentence == "MobileNet V1 0.25 at 128"
    assert f"port {MODEL} " in known.command
