"""What a graph does to images before its first weight tells the range that its input expects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porter.formats.tensorflow.graph_source import graph_source
from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.first_steps import FirstSteps, first_steps
from porter.graph.foreign.builder import GraphBuilder

Steps = list[tuple[str, Any]]
MEANS = np.array([123.68, 116.78, 103.94], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def read(steps: Steps, dtype: int = 1, change: Callable[[GraphBuilder], None] = lambda _: None) -> FirstSteps:
    """Return what is read of a graph with these steps, ops with one constant each, before a convolution."""
    builder = GraphBuilder()
    at = builder.placeholder("image", (None, 8, 8, 3), dtype)
    change(builder)
    for op, operand in steps:
        more = [] if operand is None else [builder.constant(f"{op}/operand", operand)]
        at = builder.add(op, op, [at, *more])
    conv = builder.add("conv", "Conv2D", [at, builder.variable("w", (3, 3, 3, 4))], strides=[1] * 4, padding="SAME")
    builder.add("prob", "Softmax", [conv])
    found = first_steps(Analysis(graph_source(Path("m.pb"), builder.graph)))
    assert found is not None
    return found


F = np.float32


@pytest.mark.parametrize(("steps", "said"), [
    ([("RealDiv", F(127.5)), ("Sub", F(1))],
     "in [0, 255], which the graph takes to [-1, 1]: it divides by 127.5, subtracts 1"),
    ([("Sub", F(128)), ("Mul", F(1 / 128))],
     "in [0, 255], which the graph takes to [-1, 0.99]: it subtracts 128, multiplies by 0.0078125"),
    ([("Sub", F(0.5)), ("Mul", F(2))],
     "in [0, 1], which the graph takes to [-1, 1]: it subtracts 0.5, multiplies by 2"),
    ([("Sub", MEANS)],
     "in [0, 255], which the graph takes to [-123.68, 151.06]: it subtracts 123.68, 116.78, 103.94"),
    ([("Mul", F(1 / 255)), ("AddV2", F(0))],
     "in [0, 255], which the graph takes to [0, 1]: it multiplies by 0.00392157"),
    ([("Sub", F([0.485, 0.456, 0.406])), ("RealDiv", STD)],
     "in [0, 1], which the graph takes to [-2.12, 2.64]: it subtracts 0.485, 0.456, 0.406, divides by 0.229, 0.224, "
     "0.225"),
    ([("Mul", F(3))], "the graph multiplies by 3; which range it expects is unknown"),
    ([], ""),
])  # fmt: skip
def test_the_range_follows_from_the_steps(steps: Steps, said: str) -> None:
    assert read(steps).sentence == said


def test_a_divisor_may_be_the_root_of_a_variance() -> None:
    """Keras' Normalization stores variances."""
    builder = GraphBuilder()
    centred = builder.add("sub", "Sub", [builder.placeholder("image", (1, 8, 8, 3)), builder.constant("mean", MEANS)])
    root = builder.add("root", "Sqrt", [builder.constant("variance", (255 * STD) ** 2)])
    at = builder.add("div", "RealDiv", [centred, root])
    builder.add("conv", "Conv2D", [at, builder.variable("w", (3, 3, 3, 4))], strides=[1] * 4, padding="SAME")
    found = first_steps(Analysis(graph_source(Path("m.pb"), builder.graph)))
    assert found is not None
    assert found.gives == pytest.approx((-2.12, 2.64), abs=0.01)


def test_integers_are_pixels() -> None:
    assert read([("Cast", None)], dtype=4).expects == (0, 255)


def test_scaled_integers_state_their_range() -> None:
    def scaled(builder: GraphBuilder) -> None:
        builder.graph.node[0].attr["scale"].f = 1 / 128
        builder.graph.node[0].attr["zero_point"].i = 0

    assert read([], dtype=6, change=scaled).sentence == "in [-1, 0.99]"


def test_words_and_the_steps_of_a_sequence_are_no_images() -> None:
    for shape, dtype in (((None, 20, 300), 1), ((None,), 7)):
        builder = GraphBuilder()
        words = builder.placeholder("words", shape, dtype)
        builder.add("out", "Softmax", [builder.add("lookup", "Mul", [words, builder.variable("w", (300,))])])
        assert first_steps(Analysis(graph_source(Path("m.pb"), builder.graph))) is None


def test_a_weight_is_no_step() -> None:
    """A batch norm right behind the input scales images too, by weights that porter does not read."""
    builder = GraphBuilder()
    image = builder.placeholder("image", (None, 8, 8, 3))
    scaled = builder.add("scaled", "Mul", [image, builder.variable("gamma", (3,))])
    builder.add("prob", "Softmax", [scaled])
    found = first_steps(Analysis(graph_source(Path("m.pb"), builder.graph)))
    assert found == FirstSteps("image", (), None, None)
