"""What a block's concats and an output read: skip connections, lone joins, auxiliary heads, open sizes."""

from __future__ import annotations

import pytest

from helpers.graphs import Maker, analysed, analysis_of
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.describe import describe
from porter.render.graph_facts import graph_facts
from porter.verbs.inspect_graph import inspect_graph


def u_net(levels: int = 4) -> Analysis:
    """Return a U-Net of ``levels``: each concat reads the encoder's level of its size."""
    make = Maker()
    x = make.placeholder("images", -1, 64, 64, 8)
    skips = []
    for level in range(1, levels + 1):
        for part in ("a", "b"):
            x = make("Relu", f"down{level}/{part}/Relu", make.conv(f"down{level}/{part}", x, 3, 3, 8, 8))
        skips.append(x)
        x = make("MaxPool", f"down{level}/pool", x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID")
    make.ints("axis", 3, rank=0)
    for level in range(levels, 0, -1):
        scope, side = f"up{levels + 1 - level}", 64 >> level - 1
        x = make("Relu", f"{scope}/a/Relu", make.conv(f"{scope}/a", x, 3, 3, 8 if level == levels else 16, 8))
        make.ints(f"{scope}/size", side, side)
        x = make("ResizeNearestNeighbor", f"{scope}/resize", x, f"{scope}/size")
        x = make("ConcatV2", f"{scope}/concat", x, skips[level - 1], "axis", N=2)
    make("Relu", "last/Relu", make.conv("last", x, 1, 1, 16, 3))
    return analysed(make.graph)


def test_the_concats_of_a_u_net_name_their_skip_connections() -> None:
    (up,) = [group for group in u_net().groups if group.name == "up1 … up4"]
    assert up.differences[-1] == "concat also reads down4/b, concat down3/b, concat down2/b, concat down1/b"


def test_a_blocks_own_input_is_no_skip_connection() -> None:
    for name in ("inception_v3", "nasnet_mobile"):
        assert not any("also reads" in said for group in analysis_of(name).groups for said in group.differences)


def test_a_lone_join_of_many_names_them() -> None:
    make = Maker()
    x = make.conv("stem", make.placeholder("images", -1, 8, 8, 3), 3, 3, 3, 4)
    branches = [make.conv(name, x, side, side, 4, 4) for name, side in (("one", 1), ("three", 3), ("five", 5))]
    make.ints("axis", 3, rank=0)
    make("Relu", "head/Relu", make.conv("head", make("ConcatV2", "join", *branches, "axis", N=3), 1, 1, 12, 2))
    (join,) = [group for group in analysed(make.graph).groups if group.name == "join"]
    assert join.differences == ["of one, three and five"]


def classifier(make: Maker, name: str, x: str) -> str:
    pooled = make("Mean", f"{name}/pool", x, make.ints(f"{name}/axes", 1, 2))
    return make("MatMul", f"{name}/logits", pooled, make.weights(f"{name}/weights", 4, 5))


@pytest.mark.parametrize(("behind", "said"), [(6, "; an auxiliary head behind conv1"), (1, "")])
def test_an_auxiliary_head_leaves_the_network_early(behind: int, said: str) -> None:
    make = Maker()
    x = make("Relu", "conv1/Relu", make.conv("conv1", make.placeholder("images", -1, 8, 8, 3), 3, 3, 3, 4))
    classifier(make, "aux", x)
    for at in range(2, 2 + behind):
        x = make("Relu", f"conv{at}/Relu", make.conv(f"conv{at}", x, 3, 3, 4, 4))
    classifier(make, "main", x)
    shown = [value for label, value in graph_facts(analysed(make.graph)) if label == "output"]
    assert shown == [
        f"aux/logits  1x5  (MatMul, which nothing reads{said})",
        "main/logits  1x5  (MatMul, which nothing reads)",
    ]


def test_an_output_on_the_way_to_another_says_so() -> None:
    make = Maker()
    logits = classifier(make, "main", make.conv("stem", make.placeholder("images", -1, 8, 8, 3), 3, 3, 3, 4))
    make("Identity", "output", logits)
    make("Softmax", "predictions", logits)
    shown = [value for label, value in graph_facts(analysed(make.graph)) if label == "output"]
    assert shown[0] == "output  1x5  (Identity, which nothing reads; on the way to predictions)"
    assert shown[1].endswith("(Softmax, which nothing reads)")


def test_a_pad_before_an_atrous_convolution_folds_at_an_open_size() -> None:
    make = Maker()
    x = make.placeholder("images", -1, -1, -1, 8)
    pads = make.ints("pads", 0, 0, 2, 2, 2, 2, 0, 0)
    del make.graph.node[-1].attr["value"].tensor.tensor_shape.dim[:]
    for side in (4, 2):
        make.graph.node[-1].attr["value"].tensor.tensor_shape.dim.add(size=side)
    x = make("Pad", "pad", x, pads)
    sides = [make.ints(f"at{n}", n) for n in (1, 2)]
    height = make("StridedSlice", "height", make("Shape", "shape", x), *sides, make.ints("by", 1), shrink_axis_mask=1)
    rest = make("FloorMod", "rest", height, make.ints("two", 2, rank=0))
    row = make("Pack", "row", make.ints("zero", 0, rank=0), rest, axis=0, N=2)
    ends = make("Pack", "ends", row, row, axis=0, N=2)
    block = make.ints("block", 2, 2)
    conv = make.conv("conv", make("SpaceToBatchND", "split", x, block, ends), 3, 3, 8, 8, padding="VALID")
    make("Relu", "relu", make("BatchToSpaceND", "join", conv, block, ends))
    assert [describe(layer) for layer in analysed(make.graph).layers] == [
        "conv 3x3 8->8 dilation 2 explicit 2+2, 2+2 + relu"
    ]


def test_the_command_that_gives_open_images_a_size_names_the_models() -> None:
    known = inspect_graph(analysis_of("mobilenet_v1_0.25_128")).recognised
    assert known is not None
    assert known.size == 128
    make = Maker()
    make("Relu", "relu", make.conv("conv", make.placeholder("images", -1, -1, -1, 3), 3, 3, 3, 4))
    analysis = analysed(make.graph)
    assert dict(graph_facts(analysis, known))["work"].endswith("--size 128` sets the images' height and width")
    assert dict(graph_facts(analysis))["work"].endswith("--size N` sets the images' height and width to N pixels")


def test_a_loop_whose_condition_reads_itself_has_unknown_steps() -> None:
    make = Maker()
    x = make.conv("conv", make.placeholder("images", -1, 8, 8, 3), 3, 3, 3, 4)
    enter = make("Enter", "loop/Enter", x, frame_name="loop")
    merge = make("Merge", "loop/Merge", enter, "loop/Next")
    going = make("LoopCond", "loop/LoopCond", make("LogicalAnd", "loop/and", "loop/and", "loop/and"))
    make("Switch", "loop/Switch", merge, going)
    make("NextIteration", "loop/Next", make("Tanh", "loop/tanh", "loop/Switch:1"))
    make("Exit", "loop/Exit", "loop/Switch")
    assert "steps unknown" in describe(analysed(make.graph).layers[-1])
