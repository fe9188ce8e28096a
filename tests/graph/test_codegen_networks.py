"""Whole networks as PyTorch steps, step by step against TensorFlow in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from helpers.steps import compare, program_of
from porter.files import package_data
from porter.formats.tensorflow.source import read_graph
from porter.graph.analysis.analysis import Analysis


def network(name: str, opened: bool = False) -> Analysis:
    """Return the analysis of a recorded graph, with open heights and widths if ``opened``."""
    source = read_graph(package_data.folder("golden") / name / "graph.pb.gz")
    graph = type(source.graph).FromString(source.graph.SerializeToString())
    for node in graph.node:
        if node.op == "Placeholder" and opened:
            for dim in node.attr["shape"].shape.dim[1:3]:
                dim.size = -1
    return Analysis(replace(source, graph=graph))


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("mobilenet_v2_0.35_96", 0),
        pytest.param("resnet_v2_50", 49, marks=pytest.mark.slow),
        pytest.param("mobilenet_v1_0.25_128", 0, marks=pytest.mark.slow),
        pytest.param("mobilenet_v3_small_0.75_224", 0, marks=pytest.mark.slow),
        pytest.param("inception_v1", 0, marks=pytest.mark.slow),
        pytest.param("nasnet_mobile", 65, marks=pytest.mark.slow),
        pytest.param("pnasnet_mobile", 65, marks=pytest.mark.slow),
        pytest.param("vgg_16", 0, marks=pytest.mark.slow),
    ],
)
def test_every_step_of_a_network_computes_what_tensorflow_computes(tf: Any, name: str, side: int) -> None:
    program = compare(tf, network(name, opened=bool(side)), side=side)
    assert [port.channels_first for port in program.inputs] == [True]
    assert all(port.shape[0] is None for port in (*program.inputs, *program.outputs))


@pytest.mark.parametrize("name", ["inception_v1", "vgg_16", "nasnet_mobile", "pnasnet_mobile"])
def test_a_network_has_no_steps_that_only_move_axes(name: str) -> None:
    program = program_of(network(name))
    assert not [step.node for step in program.steps if "movedim" in step.expression or "permute" in step.expression]
    assert all(step.channels_first for step in program.steps if step.module.endswith("2d"))
