"""Outputs, inputs and loops: what a graph gives and takes, whatever stands beside its network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tensorboard.compat.proto.graph_pb2 import GraphDef

from helpers.graphs import Maker, analysed, analysis_of
from porter.errors import PorterError
from porter.formats.tensorflow.graph_source import Signature, graph_source
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.describe import describe
from porter.graph.analysis.fitting import fits_size
from porter.render.graph_facts import graph_facts
from porter.render.graph_text import show_network
from porter.verbs.inspect_graph import sized


def _with_head(make: Maker) -> str:
    x = make.conv("conv", make.placeholder("images", -1, 8, 8, 3), 3, 3, 3, 4)
    x = make("Reshape", "flat", x, make.ints("flat/shape", -1, 256))
    return make("MatMul", "logits", x, make.weights("w", 256, 5))


def test_a_comparison_with_a_label_is_a_metric_and_one_with_the_networks_own_tensor_is_not() -> None:
    make = Maker()
    logits = _with_head(make)
    likeliest = make("ArgMax", "likeliest", logits, make.ints("axis", 1, rank=0))
    right = make("Equal", "right", likeliest, make.placeholder("labels", -1))
    make("Mean", "accuracy", make("Cast", "as_float", right), make.ints("over", 0))
    analysis = analysed(make.graph)
    assert analysis.paths.outputs == ("logits",)
    assert analysis.paths.inputs == ("images",)
    assert analysis.aside["losses and metrics"] == 4

    make = Maker()  # a detector's peaks: Equal(x, MaxPool(x))
    heat = make.conv("heat", make.placeholder("images", -1, 8, 8, 3), 3, 3, 3, 2)
    pooled = make("MaxPool", "pool", heat, ksize=[1, 3, 3, 1], strides=[1, 1, 1, 1], padding="SAME")
    make("Mul", "peaks", heat, make("Cast", "mask", make("Equal", "is_peak", heat, pooled)))
    assert analysed(make.graph).paths.outputs == ("peaks",)


def test_a_loss_by_plain_arithmetic_makes_its_placeholder_a_label() -> None:
    make = Maker()
    logits = _with_head(make)
    off = make("Square", "square", make("Sub", "off", logits, make.placeholder("wanted", -1, 5)))
    make("Mean", "loss", off, make.ints("over", 0, 1))
    analysis = analysed(make.graph)
    assert (analysis.paths.inputs, analysis.paths.outputs) == (("images",), ("logits",))

    make = Maker()  # a second input that the network reads is none
    both = make("Sub", "both", _with_head(make), make.placeholder("prior", -1, 5))
    make("Softmax", "out", both)
    assert analysed(make.graph).paths.inputs == ("images", "prior")


def test_sizes_and_pieces_of_a_tensor_are_no_outputs() -> None:
    make = Maker()
    x = make.conv("conv", make.placeholder("images", -1, 8, 8, 3), 3, 3, 3, 4)
    marks = [make.ints("begin", 0), make.ints("end", 1), make.ints("step", 1)]
    make("StridedSlice", "height", make("Shape", "shape", x), *marks, shrink_axis_mask=1)
    parts = make("Split", "parts", make.ints("axis", 3, rank=0), x, num_split=2)
    for number in range(2):
        make("Squeeze", f"piece_{number}", f"{parts}:{number}" if number else parts)
    make("Relu", "out", x)
    analysis = analysed(make.graph)
    assert analysis.paths.outputs == ("out",)
    assert analysis.aside == {"not on the way to an output": 9}


# ---- loops
@pytest.fixture(scope="module", params=["Enter and Exit", "While"])
def looped(request: pytest.FixtureRequest, tf: Any) -> dict[str, Analysis]:
    """Return an LSTM in a while loop of TensorFlow 1 and 2, for six steps and for as many as the input has."""
    v1 = tf.compat.v1
    found = {}
    (v1.enable_control_flow_v2 if request.param == "While" else v1.disable_control_flow_v2)()
    try:
        for name, steps in (("six", 6), ("open", None)):
            with tf.Graph().as_default() as graph:
                x = v1.placeholder(tf.float32, (steps, None, 3) if steps else (None, None, 3), "words")
                _unrolled(tf, x)
                proto = GraphDef.FromString(graph.as_graph_def().SerializeToString())
                assert any(node.op.removeprefix("Stateless") == request.param.partition(" ")[0] for node in proto.node)
                found[name] = analysed(proto)
    finally:
        v1.enable_control_flow_v2()
    return found


def _unrolled(tf: Any, x: Any) -> None:
    """Build what tf.nn.dynamic_rnn builds of an LSTM of four units, for an input with the steps first."""
    v1 = tf.compat.v1
    steps, batch = tf.shape(x)[0], tf.shape(x)[1]
    kernel = v1.get_variable("rnn/kernel", (7, 16), use_resource=False)
    with v1.name_scope("rnn"):
        words = tf.TensorArray(tf.float32, steps, element_shape=(None, 3)).unstack(x)
        results = tf.TensorArray(tf.float32, steps, element_shape=(None, 4))
        zeros = tf.zeros((batch, 4))

        def step(at: Any, c: Any, h: Any, results: Any) -> Any:
            product = tf.linalg.matmul(tf.concat([words.read(at), h], 1), kernel)
            i, j, f, o = tf.split(product, 4, 1)
            c = c * tf.sigmoid(f) + tf.sigmoid(i) * tf.tanh(j)
            h = tf.tanh(c) * tf.sigmoid(o)
            return at + 1, c, h, results.write(at, h)

        loop = v1.while_loop(lambda at, *_: at < steps, step, (0, zeros, zeros, results))
        tf.identity(loop[-1].stack(), "out")


def test_a_recurrent_loop_is_one_layer_with_its_cell_and_its_steps(looped: dict[str, Analysis]) -> None:
    analysis = looped["six"]
    (layer,) = analysis.layers
    assert describe(layer) == "rnn LSTM cell of dense 7->16, 6 steps"
    assert layer.shape == (6, 1, 4)
    assert layer.parameters == 7 * 16
    assert analysis.multiply_adds == 6 * 7 * 16
    assert analysis.paths.outputs == ("rnn/out",)
    assert [tuple(analysis.shapes.of(name) or ()) for name in analysis.paths.inputs] == [(6, 1, 3)]


def test_steps_that_the_input_decides_are_unknown(looped: dict[str, Analysis]) -> None:
    analysis = looped["open"]
    (layer,) = analysis.layers
    assert describe(layer) == "rnn LSTM cell of dense 7->16, steps unknown"
    assert layer.shape == (None, 1, 4)
    assert analysis.multiply_adds is None
    work = dict(graph_facts(analysis))["work"]
    assert work == f"multiply-adds unknown: the data decides how many steps {layer.name} takes"
    with pytest.raises(PorterError, match="takes no pictures, so that `size` has no effect"):
        sized(Analysis(analysis.source, 224))


# ---- names and sizes
def test_a_signatures_own_names_stand_beside_the_tensors() -> None:
    make = Maker()
    _with_head(make)
    source = graph_source(Path("made.pb"), make.graph)
    named = Signature("serving_default", {"picture": "images:0"}, {"contour": "logits:0"})
    analysis = Analysis(type(source)(**{**vars(source), "signatures": (named,)}))
    facts = dict(graph_facts(analysis))
    assert facts["input"] == "images  float32 1x8x8x3  (Placeholder picture)"
    assert facts["output"] == "logits  1x5  (MatMul contour)"


@pytest.mark.parametrize(("side", "size"), [(7, 224), (4, 128)])
def test_the_size_of_a_graph_follows_from_its_last_pool(side: int, size: int) -> None:
    make = Maker()
    x = make.placeholder("images", -1, -1, -1, 3)
    for number in range(5):
        x = make.conv(f"conv_{number}", x, 3, 3, 3, 3, stride=2)
    make("AvgPool", "pool", x, ksize=[1, side, side, 1], strides=[1, 1, 1, 1], padding="VALID")
    analysis = analysed(make.graph)
    assert [fitting for fitting in (224, 192, 160, 128) if fits_size(analysis, fitting)] == [size]


# ---- blocks
def test_a_repeated_block_says_its_layers_its_strides_and_its_dilations() -> None:
    make = Maker()
    x = make.placeholder("images", -1, 32, 32, 4)
    for number, dilation in enumerate((1, 1, 2, 4)):
        shortcut = x
        x = make("Relu", f"net/block_{number}/a/Relu", make.conv(f"net/block_{number}/a", x, 3, 3, 4, 4))
        make.graph.node[-2].attr["dilations"].list.i.extend((1, dilation, dilation, 1))
        x = make("AddV2", f"net/block_{number}/add", make.conv(f"net/block_{number}/b", x, 1, 1, 4, 4), shortcut)
    (group,) = analysed(make.graph).groups
    assert group.what == "residual: conv 3x3 relu, conv 1x1, add"
    assert group.differences == ["block_2 has dilation 2, block_3 has dilation 4"]
    (pairs,) = [group for group in analysis_of("mobilenet_v1_0.25_128").groups if group.times > 1]
    assert pairs.what == "depthwise 3x3 bn relu6, conv 1x1 bn relu6"


def test_residual_blocks_whose_scopes_keep_convolutions_and_additions_apart_are_found() -> None:
    make = Maker()
    x = make.conv("g/n64/first", make.placeholder("images", -1, 16, 16, 4), 3, 3, 4, 4)
    for number in range(4):
        y = make("Relu", f"g/n64/c1/{number}/Relu", make.conv(f"g/n64/c1/{number}", x, 3, 3, 4, 4))
        x = make("Add", f"g/added/{number}", make.conv(f"g/n64/c2/{number}", y, 3, 3, 4, 4), x)
    make.conv("g/last", x, 3, 3, 4, 3)
    groups = analysed(make.graph).groups
    assert [(group.times, group.what) for group in groups if group.times > 1] == [
        (4, "residual: conv 3x3 relu, conv 3x3, add")
    ]


def test_a_loop_that_only_counts_has_its_steps_and_its_end() -> None:
    """The graph of onnx/tensorflow-onnx#153: a while loop without an input or a weight."""
    make = Maker()
    frame = {"frame_name": "count/while_context"}
    start = make("Enter", "count/Enter", make.ints("i", 0, rank=0), **frame)
    merge = make("Merge", "count/Merge", start, "count/NextIteration")
    going = make("Less", "count/Less", merge, make.ints("count/Less/y", 10, rank=0))
    switch = make("Switch", "count/Switch", merge, make("LoopCond", "count/LoopCond", going))
    add = make("Add", "count/add", f"{switch}:1", make.ints("count/add/y", 1, rank=0))
    make("NextIteration", "count/NextIteration", add)
    make("Exit", "count/Exit", switch)
    analysis = analysed(make.graph)
    assert analysis.paths.outputs == ("count/Exit",)
    assert [describe(layer) for layer in analysis.layers] == ["while loop 10 steps"]
    assert analysis.multiply_adds == 0


def test_the_usual_repeat_is_the_one_nearest_to_all() -> None:
    """Of three ResNet V2 units that all differ, the first has a projection and the last a pool."""
    make = Maker()
    x = make.placeholder("images", -1, 16, 16, 4)
    for number in range(3):
        unit = f"net/unit_{number}"
        y = make("Relu", f"{unit}/a/Relu", make.conv(f"{unit}/a", x, 3, 3, 4, 4))
        shortcut = make.conv(f"{unit}/shortcut", x, 1, 1, 4, 4) if number == 0 else x
        if number == 2:
            shortcut = make("MaxPool", f"{unit}/pool", x, ksize=[1, 1, 1, 1], strides=[1, 1, 1, 1], padding="SAME")
        x = make("AddV2", f"{unit}/add", make.conv(f"{unit}/b", y, 3, 3, 4, 4), shortcut)
    (group,) = analysed(make.graph).groups
    assert group.what == "residual: conv 3x3 relu, conv 3x3, add"
    assert group.differences == ["unit_0 has conv 1x1", "unit_2 has max pool 1x1"]


def test_branches_beside_each_other_and_what_a_sum_joins_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    """DeepLab's four dilations read one tensor; VDSR adds its input to what it computes."""
    make = Maker()
    start = make.conv("start", make.placeholder("images", -1, 16, 16, 4), 5, 5, 4, 4)
    parts = [make.conv(f"part_{number}", start, 3, 3, 4, 4) for number in range(4)]
    total = make("AddN", "total", *parts, N=4)
    make("AddV2", "out", make.conv("last", total, 3, 3, 4, 4), start)
    analysis = analysed(make.graph)
    assert [(group.times, group.in_series) for group in analysis.groups] == [(1, True), (4, False), *[(1, True)] * 3]
    show_network(Console(width=200), analysis)
    shown = capsys.readouterr().out
    for words in ("the same block 4 times side by side (4 channels)", "add of 4", "add of last and start"):
        assert words in shown


def test_a_scope_with_nearly_all_parameters_is_the_network() -> None:
    make = Maker()
    words = make.placeholder("words", -1, 8)
    x = make("Relu", "before/clean", make("Abs", "before/abs", words))
    for number in range(2):
        x = make("Relu", f"net/part_{number}/Relu", make("MatMul", f"net/part_{number}/w_x", x,
                 make.weights(f"net/part_{number}/w", 8, 8)))  # fmt: skip
    for number, op in enumerate(("Exp", "Log", "Sqrt", "Square")):
        x = make(op, f"behind_{number}/out", x)
    names = [group.name for group in analysed(make.graph).groups]
    assert [name for name in names if name.startswith("net")] == ["net/part_0", "net/part_1"]


def test_the_work_of_weights_that_a_graph_computes_counts() -> None:
    """SPADE's spectral norm multiplies each kernel with a vector at each run."""
    make = Maker()
    kernel = make.weights("kernel", 4, 4)
    norm = make("MatMul", "norm", make.weights("u", 1, 4), kernel)
    scaled = make("RealDiv", "scaled", kernel, make("Max", "largest", norm, make.ints("axes", 0, 1)))
    make("MatMul", "out", make.placeholder("words", -1, 4), scaled)
    assert analysed(make.graph).multiply_adds == 4 * 4 + 1 * 4 * 4


def test_a_bias_of_one_value_for_all_channels_is_a_bias() -> None:
    """SRCNN's last layer adds one variable to its three channels; a constant is arithmetic."""
    for op, words in (("VariableV2", ["conv 3x3 3->3 + bias + tanh"]), ("Const", ["conv 3x3 3->3", "add 0 + tanh"])):
        make = Maker()
        x = make.conv("conv", make.placeholder("images", -1, 8, 8, 3), 3, 3, 3, 3)
        one = make.weights("one", 1)
        if op == "VariableV2":
            make.graph.node[-1].op = op
            make.graph.node[-1].attr["shape"].shape.dim.add(size=1)
        make("Tanh", "out", make("Add", "add", x, make("Identity", "one/read", one)))
        assert [describe(layer) for layer in analysed(make.graph).layers] == words
