"""Layers, repeated blocks, the inference path, scopes, search and differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensorboard.compat.proto.graph_pb2 import GraphDef

from helpers.graphs import Maker, analysed, analysis_of, path_of, renamed
from porter.errors import PorterError
from porter.formats.tensorflow.source import load_graph
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.describe import describe
from porter.graph.analysis.difference import compare_graphs
from porter.graph.analysis.scope import scope_view
from porter.graph.analysis.search import find_nodes


def blocks(analysis: Analysis) -> list[tuple[str, int]]:
    return [(group.name, group.times) for group in analysis.groups]


# ---- repetition
NASNET = [
    ("conv0", 1),
    ("cell_stem_0 … cell_stem_1", 2),
    ("cell_0 … cell_5", 6),
    ("reduction_cell_0", 1),
    ("cell_6 … cell_11", 6),
    ("reduction_cell_1", 1),
    ("cell_12 … cell_17", 6),
    ("final_layer", 1),
]


def test_nasnet_large_is_a_stem_three_stages_two_reductions_and_a_head() -> None:
    analysis = analysis_of("nasnet_large")
    assert len(analysis.graph.nodes) == 13_450
    assert blocks(analysis) == NASNET
    first = analysis.groups[2]
    assert [repeat.width for repeat in first.repeats()] == [168] * 6
    assert first.differences == [
        "cell_0 has relu, 2 avg pool 1x1, 2 conv 1x1, pad, slice, concat, batch norm and lacks relu > conv 1x1 bn",
        "cell_0 has stride 2",
    ]


def test_repeats_are_found_by_structure_not_by_name() -> None:
    """Every scope gets a new, meaningless name; the tree of scopes stays."""
    known: dict[str, str] = {}

    def rename(name: str) -> str:
        parts = name.split("/")
        return "/".join(known.setdefault("/".join(parts[: at + 1]), f"q{len(known):05d}z") for at in range(len(parts)))

    analysis = analysed(renamed(load_graph(path_of("nasnet_mobile")), rename))
    assert [group.times for group in analysis.groups] == [1, 2, 4, 1, 4, 1, 4, 1]


def test_repeats_are_found_without_any_scopes() -> None:
    known: dict[str, str] = {}
    graph = load_graph(path_of("nasnet_large"))
    analysis = analysed(renamed(graph, lambda name: known.setdefault(name, f"n{len(known)}")))
    repeated = [group for group in analysis.groups if group.times > 2 and group.period > 10]
    # The first cell of each stage halves its input, so it does not count as a repeat.
    assert [group.times for group in repeated] == [5, 5, 5]
    assert {group.period for group in repeated} == {21}
    whole = analysis_of("nasnet_large").groups[2].repeats()[1]
    assert [layer.label for layer in repeated[0].repeats()[0].layers] == [layer.label for layer in whole.layers]


def test_a_layer_with_the_name_of_a_scope_is_one_of_its_blocks() -> None:
    """No TensorFlow writes `net` beside `net/a`, but a tool that renames nodes may."""
    make = Maker()
    x = make.conv("net/a", make.placeholder("input", -1, 8, 8, 3), 3, 3, 3, 3)
    x = make("MaxPool", "net", x, ksize=[1, 2, 2, 1], strides=[1, 1, 1, 1], padding="SAME")
    x = make.conv("net/b", x, 3, 3, 3, 3)
    make("AddV2", "net/a/add", make.conv("net/c", x, 3, 3, 3, 3), x)
    analysis = analysed(make.graph)
    shown = [layer.name for group in analysis.groups for layer in group.layers]
    assert "net" in shown
    assert sorted(shown) == sorted(layer.name for layer in analysis.layers)


def test_mobilenets_pairs_and_resnets_units_are_found() -> None:
    (_, pairs, *_) = analysis_of("mobilenet_v1_1.0_224").groups
    assert (pairs.times, pairs.period) == (13, 2)
    assert pairs.repeats()[0].name == "MobilenetV1/MobilenetV1/Conv2d_1"
    assert pairs.differences == ["Conv2d_2, Conv2d_4, Conv2d_6, Conv2d_12 have stride 2"]
    units = [(name.split("/", 1)[1], times) for name, times in blocks(analysis_of("resnet_v1_50")) if times > 1]
    assert units == [
        ("block1/unit_1 … unit_3", 3),
        ("block2/unit_1 … unit_4", 4),
        ("block3/unit_1 … unit_6", 6),
        ("block4/unit_1 … unit_3", 3),
    ]
    mixed = [times for _, times in blocks(analysis_of("inception_v1")) if times > 1]
    assert mixed == [2, 5, 2]


def test_flat_names_like_those_of_keras_are_separated() -> None:
    make = Maker()
    x = make.placeholder("input", -1, 8, 8, 4)
    for number in range(1, 6):
        x = make.conv(f"net/conv_dw_{number}", x, 3, 3, 4, 1, op="DepthwiseConv2dNative")
        x = make("Relu6", f"net/conv_dw_{number}_relu/Relu6", x)
        x = make("Relu6", f"net/conv_pw_{number}_relu/Relu6", make.conv(f"net/conv_pw_{number}", x, 1, 1, 4, 4))
    (group,) = analysed(make.graph).groups
    assert (group.times, group.period) == (5, 2)
    assert group.name == "net/conv_dw_1 + conv_pw_1 … conv_dw_5 + conv_pw_5"


# ---- layers
def flat(*layers: str) -> list[tuple[str, int]]:
    """Return the blocks of a chain without scopes: `c3:name` is a 3x3 convolution, `+:name` adds the third last."""
    make = Maker()
    found = [make.placeholder("x", 1, 32, 32, 4)] * 3
    for layer in layers:
        op, _, name = layer.partition(":")
        if op == "+":
            found.append(make("AddV2", name, found[-1], found[-3]))
        elif op == "p":
            found.append(make("MaxPool", name, found[-1], ksize=[1, 2, 2, 1], strides=[1, 1, 1, 1], padding="SAME"))
        else:
            side = int(op[1:])
            kernel = make.weights(f"{name}/weights", side, side, 4, 4)
            found.append(make("Conv2D", name, found[-1], kernel, strides=[1] * 4, padding="SAME"))
    return blocks(analysed(make.graph))


def test_numbers_in_names_make_blocks_where_there_are_no_scopes() -> None:
    """Keras' MobileNet V2, of whose blocks some add and some do not, its ResNet with stages, and its VGG."""
    mobile = [[f"c1:block_{at}_expand", f"c3:block_{at}_depthwise", f"c1:block_{at}_project"] for at in range(1, 7)]
    for at in (2, 5, 6):
        mobile[at - 1].append(f"+:block_{at}_add")
    layers = [layer for block in mobile for layer in block]
    assert flat("c7:stem", *layers, "c1:head") == [("stem", 1), ("block_1 … block_6", 6), ("head", 1)]
    resnet = [
        f"{layer}:conv{stage}_block{at}_{name}"
        for stage in (2, 3)
        for at in (1, 2, 3)
        for layer, name in (*((("c5", "0_conv"),) if at == 1 else ()), ("c1", "1_conv"), ("c3", "2_conv"), ("+", "add"))
    ]
    found = flat("c7:conv1_conv", "p:pool1_pool", *resnet)
    assert found[2:] == [("conv2_block1 … conv2_block3", 3), ("conv3_block1 … conv3_block3", 3)]
    vgg = [
        f"{layer}:block{stage}_{name}"
        for stage in (1, 2, 3)
        for layer, name in (("c3", "conv1"), ("c3", "conv2"), ("c3", "conv3"), ("p", "pool"))
    ]
    assert flat(*vgg, "c1:head") == [("block1 … block3", 3), ("head", 1)]


def test_numbers_in_names_hide_no_layer_that_does_not_repeat() -> None:
    """PSPNet's pyramid stands in the last of its numbered scopes; a kernel's size does not number a block."""
    body = [
        f"{layer}:conv5_{at}{name}"
        for at in (1, 2, 3)
        for layer, name in (("c1", "_reduce"), ("c3", "_3x3"), ("+", ""))
    ]
    pyramid = [f"{layer}:conv5_3_pool{at}{name}" for at in (1, 2) for layer, name in (("p", ""), ("c1", "_conv"))]
    found = flat(*body, *pyramid, "c3:conv5_4", "c1:conv6")
    assert found[0][1] == 3
    assert found[-2:] == [("conv5_4", 1), ("conv6", 1)]
    assert len(found) > 3
    kernels = flat("c3:bn_sep_3x3_1", "c3:bn_sep_3x3_2", "c5:bn_sep_5x5_1", "c5:bn_sep_5x5_2")
    assert not any("3x3 …" in name for name, _ in kernels)


def test_a_block_that_does_not_repeat_says_what_it_is_made_of() -> None:
    """SPADE's residual block has three norms, each of convolutions of the segmentation map."""
    make = Maker()
    image = make.placeholder("x", 1, 16, 16, 4)
    stem = x = make.conv("stem", image, 7, 7, 4, 4)
    ends = []
    for at in (1, 2, 3):
        scope = f"resblock/spade_{at}"
        shared = make("Relu", f"{scope}/relu", make.conv(f"{scope}/shared", image, 5, 5, 4, 4))
        gamma, beta = (make.conv(f"{scope}/{name}", shared, 5, 5, 4, 4) for name in ("gamma", "beta"))
        ends.append(make("AddV2", f"{scope}/add", make("Mul", f"{scope}/mul", stem, gamma), beta))
    x = make.conv("resblock/conv", make("AddN", "resblock/sum", *ends), 3, 3, 4, 4)
    for at, side in enumerate((1, 2, 4, 6, 7, 8, 9, 10, 11)):  # the block is no whole network
        x = make.conv(f"tail_{'abcdefghi'[at]}", x, side, side, 4, 4)
    (group,) = [group for group in analysed(make.graph).groups if group.name == "resblock"]
    assert group.differences == [
        "made of 3 blocks like spade_1 (conv 5x5 relu, 2 conv 5x5, multiply, add), add, conv 3x3",
    ]


def test_a_frozen_five_piece_batch_norm_is_folded_with_its_epsilon() -> None:
    make = Maker()
    x = make.conv("conv", make.placeholder("input", -1, 8, 8, 3), 3, 3, 3, 4, stride=2)
    for name in ("gamma", "beta", "mean", "variance"):
        make.weights(f"bn/{name}", 4)
    make.graph.node.add(name="bn/eps", op="Const").attr["value"].tensor.dtype = 1
    make.graph.node[-1].attr["value"].tensor.float_val.append(0.001)
    make("Add", "bn/add", "bn/variance", "bn/eps")
    make("Mul", "bn/mul", make("Rsqrt", "bn/Rsqrt", "bn/add"), "bn/gamma")
    make("Sub", "bn/sub", "bn/beta", make("Mul", "bn/mul_2", "bn/mean", "bn/mul"))
    make("Relu6", "act", make("Add", "bn/add_1", make("Mul", "bn/mul_1", x, "bn/mul"), "bn/sub"))
    (layer,) = analysed(make.graph).layers
    assert describe(layer) == "conv 3x3 3->4 stride 2 SAME + batch norm + relu6"
    assert layer.epsilon == pytest.approx(0.001)
    assert layer.parameters == 3 * 3 * 3 * 4 + 4 * 4


def test_fused_and_five_piece_batch_norms_fold_to_the_same_layers() -> None:
    labels = [layer.label for layer in analysis_of("mobilenet_v1_1.0_224").layers]
    assert labels[1:5] == ["depthwise 3x3 bn relu6", "conv 1x1 bn relu6"] * 2
    assert len(labels) == 33


def test_swish_hard_swish_atrous_and_explicit_pads_are_one_layer_each() -> None:
    labels = [layer.label for layer in analysis_of("mobilenet_v3_large").layers]
    assert labels[0] == "conv 3x3 bn hard swish"
    make = Maker()
    x = make.placeholder("input", -1, 16, 16, 8)
    make.ints("block", 2, 2)
    make.ints("pads", 2, 2, 2, 2)
    make.graph.node[-1].attr["value"].tensor.tensor_shape.dim[0].size = 2
    make.graph.node[-1].attr["value"].tensor.tensor_shape.dim.add(size=2)
    split = make("SpaceToBatchND", "split", x, "block", "pads")
    conv = make.conv("conv", split, 3, 3, 8, 8, padding="VALID")
    make.ints("crops", 0, 0, 0, 0)
    make.graph.node[-1].attr["value"].tensor.tensor_shape.dim[0].size = 2
    make.graph.node[-1].attr["value"].tensor.tensor_shape.dim.add(size=2)
    join = make("BatchToSpaceND", "join", conv, "block", "crops")
    make("Mul", "swish", join, make("Sigmoid", "sigmoid", join))
    analysis = analysed(make.graph)
    (layer,) = analysis.layers
    assert describe(layer) == "conv 3x3 8->8 dilation 2 + swish"
    assert layer.shape == (1, 16, 16, 8)
    assert layer.multiply_adds == 16 * 16 * 8 * 72


def test_resnets_pads_belong_to_their_convolutions() -> None:
    (view,) = [scope_view(analysis_of("resnet_v1_50"), "resnet_v1_50/conv1")]
    assert [describe(layer) for layer in view.layers] == [
        "conv 7x7 3->64 stride 2 explicit 3+3, 3+3 + batch norm + relu"
    ]


# ---- the inference path
def test_a_training_graph_is_split_into_path_and_aside(tf: Any) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        images = tf.constant(0.0, shape=(64, 8, 8, 3))
        queue = tf.queue.FIFOQueue(10, [tf.float32, tf.int64], [(8, 8, 3), ()])
        enqueue = queue.enqueue_many([images, tf.zeros(64, tf.int64)])
        x, labels = queue.dequeue_many(4)
        kernel = v1.get_variable("conv/weights", (3, 3, 3, 4), use_resource=False)
        y = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME", name="conv/Conv2D"), name="conv/Relu")
        matrix = v1.get_variable("fc/weights", (64, 5), use_resource=True)
        logits = tf.linalg.matmul(tf.reshape(y, (-1, 64)), matrix, name="fc/MatMul")
        loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
        v1.summary.scalar("loss", loss)
        v1.summary.histogram("activations", y)
        tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), labels), tf.float32), name="accuracy")
        v1.train.MomentumOptimizer(0.1, 0.9).minimize(loss, global_step=v1.train.get_or_create_global_step())
        v1.train.Saver()
        assert enqueue is not None
        proto = GraphDef.FromString(graph.as_graph_def().SerializeToString())
    analysis = analysed(proto)
    assert analysis.paths.outputs == ("fc/MatMul",)
    assert [analysis.graph.nodes[name].op for name in analysis.paths.inputs] == ["QueueDequeueManyV2"]
    assert sorted(analysis.variables) == ["conv/weights", "fc/weights"]
    assert [layer.label for layer in analysis.layers] == ["conv 3x3 relu", "reshape", "dense"]
    assert set(analysis.roles.values()) == {"variable", "optimizer slot", "step counter"}
    assert {
        "gradients",
        "optimizer",
        "saving and restoring",
        "summaries",
        "queues and input pipeline",
        "losses and metrics",
        "initial values and reads of variables",
    } <= analysis.aside.keys()


# ---- one scope
def test_a_scope_is_its_layers_and_their_wiring() -> None:
    view = scope_view(analysis_of("nasnet_large"), "cell_3")
    assert [source if isinstance(source, str) else source.name for source in view.inputs] == [
        "cell_1/cell_output",
        "cell_2/cell_output",
    ]
    assert len(view.layers) == 21  # 2 projections, 10 separable convolutions, 3 pools, 5 adds, 1 concat
    assert describe(view.layers[2]) == "relu > separable 5x5 168->168 + batch norm + relu"
    assert describe(view.layers[-1]) == "concat of 6"
    assert [layer.name for layer, _ in view.outputs] == ["cell_3/cell_output"]
    assert view.totals == (654_864, 1_140_955_200)
    assert view.as_dict()["repeats"] == [f"cell_{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("cell_33", "has no scope cell_33: did you mean cell_3"),
        ("left", r"nasnet_large.pb.gz has \d+ scopes that end in left: name one of them"),
        ("cell_3/prev_1x1/weights", "has no layer on the way to the outputs"),
    ],
)
def test_an_unknown_or_ambiguous_scope_is_refused_with_suggestions(scope: str, message: str) -> None:
    with pytest.raises(PorterError, match=message):
        scope_view(analysis_of("nasnet_large"), scope)


def test_the_end_of_a_scopes_name_is_enough() -> None:
    assert scope_view(analysis_of("mobilenet_v1_1.0_224"), "Conv2d_1").name == "MobilenetV1/MobilenetV1/Conv2d_1"
    assert scope_view(analysis_of("resnet_v1_50"), "block2/unit_3").layers[0].channels == 128


# ---- search
def test_found_nodes_have_shapes_attributes_and_neighbours() -> None:
    found = find_nodes(analysis_of("nasnet_large"), "cell_3/.*5x5_1/separable_conv2d/depthwise$")
    assert len(found) == 2
    first = found[0].as_dict()
    assert first["op"] == "DepthwiseConv2dNative"
    assert first["shape"] == (1, 42, 42, 168)
    assert first["attributes"]["strides"] == "[1, 1, 1, 1]"
    assert first["inputs"][0] == {"tensor": "cell_3/comb_iter_0/left/Relu", "shape": (1, 42, 42, 168)}
    assert first["outputs"][0]["node"] == "cell_3/comb_iter_0/left/separable_5x5_1/separable_conv2d"
    assert len(find_nodes(analysis_of("nasnet_large"), "^MaxPool$")) == 8
    with pytest.raises(PorterError, match="is not a regular expression"):
        find_nodes(analysis_of("nasnet_large"), "(")


# ---- differences
def test_a_graph_does_not_differ_from_itself() -> None:
    a = analysis_of("inception_v1")
    result = compare_graphs(a, analysis_of("inception_v1"))
    assert result
    assert result.same == len(a.graph.nodes)


def test_planted_differences_are_named() -> None:
    graph = load_graph(path_of("mobilenet_v1_0.25_128"))
    other = GraphDef.FromString(graph.SerializeToString())
    nodes = {node.name: node for node in other.node}
    nodes["MobilenetV1/MobilenetV1/Conv2d_3_depthwise/depthwise"].attr["strides"].list.i[1:3] = [2, 2]
    nodes["MobilenetV1/MobilenetV1/Conv2d_0/Relu6"].op = "Relu"
    other.node.add(name="new", op="NoOp")
    result = compare_graphs(analysed(graph), analysed(other))
    assert result.only_second == (("new", "NoOp"),)
    parts = {change.name.rsplit("/", 2)[-2]: change.parts for change in result.changed if not change.follows}
    assert parts["Conv2d_0"] == (("op", "Relu6", "Relu"),)
    assert parts["Conv2d_3_depthwise"][0] == ("strides", "[1, 1, 1, 1]", "[1, 2, 2, 1]")
    assert len(parts) == 2
    assert any(change.follows for change in result.changed)
    assert not result.alike


def test_changed_weights_are_reported_with_their_largest_difference() -> None:
    make, other = Maker(), Maker()
    for maker in (make, other):
        maker.conv("conv", maker.placeholder("input", -1, 8, 8, 3), 3, 3, 3, 4)
    values = np.zeros((3, 3, 3, 4), np.float32)
    values[0, 0, 0, :2] = (0.5, -0.25)
    other.graph.node[1].attr["value"].tensor.tensor_content = values.tobytes()
    (change,) = compare_graphs(analysed(make.graph), analysed(other.graph)).changed
    assert change.parts[0][2].endswith("(2 of 108 values differ, by at most 0.5)")


def test_equal_values_stored_differently_are_equal() -> None:
    make, other = Maker(), Maker()
    for maker in (make, other):
        maker.conv("conv", maker.placeholder("input", -1, 8, 8, 3), 3, 3, 3, 4)
    tensor = other.graph.node[1].attr["value"].tensor
    tensor.tensor_content = b""
    tensor.float_val.append(0.0)
    assert compare_graphs(analysed(make.graph), analysed(other.graph))
