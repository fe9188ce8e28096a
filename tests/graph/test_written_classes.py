"""Classes of written networks: their parameters, their cases, and the values that they hand on."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.graphs import Maker, analysed
from helpers.steps import analysis_of, variable
from helpers.written import built, complaints, values_of, write_files, written_graph
from porter.graph.codegen import classes
from porter.graph.codegen.forward_text import filled
from porter.graph.codegen.lower import LOWERINGS
from porter.graph.codegen.merge_templates import merged
from porter.graph.codegen.templates import Template
from porter.graph.rewrite.safety import CHECKS, PURE_OPS


def unet() -> Any:
    """Return a graph that goes down three times, and up again beside what each level keeps."""
    make = Maker()
    x = make.placeholder("input", -1, 16, 16, 4)
    kept = []
    for level in range(3):
        x = make("Relu", f"down{level}/Relu", make.conv(f"down{level}", x, 3, 3, 4, 4))
        kept.append(x)
        x = make("MaxPool", f"down{level}/MaxPool", x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID")
    for level in reversed(range(3)):
        size = make.ints(f"up{level}/size", 16 >> level, 16 >> level)
        x = make("ResizeNearestNeighbor", f"up{level}/resize", x, size)
        x = make("AddV2", f"up{level}/add", x, kept[level])
        x = make("Relu", f"up{level}/Relu", make.conv(f"up{level}", x, 3, 3, 4, 4))
    return make.graph


def residual(blocks: int) -> Any:
    """Return equal blocks of two layers beside a path that passes them."""
    make = Maker()
    x = make.placeholder("input", -1, 8, 8, 4)
    for block in range(blocks):
        before = x
        for part in ("a", "b"):
            scope = f"stage/block_{block}/{part}"
            x = make("Relu", f"{scope}/Relu", make.conv(scope, x, 3, 3, 4, 4))
        x = make("AddV2", f"stage/block_{block}/add", x, before)
    return make.graph


def widening(widths: list[int]) -> Any:
    """Return blocks whose layers have 2, 4 and 1 times the channels that each block ends with."""
    make = Maker()
    x, before = make.placeholder("input", -1, 8, 8, 4), 4
    for at, width in enumerate(widths):
        sizes = [before, 2 * width, 4 * width, width]
        for layer, (ins, outs) in enumerate(itertools.pairwise(sizes)):
            x = make.conv(f"block_{at}/conv_{layer}", x, 1, 1, ins, outs)
            x = make("Relu", f"block_{at}/conv_{layer}/Relu", x)
        before = width
    return make.graph


def two_paddings() -> Any:
    """Return convolutions of two kinds, in layers that are otherwise alike, of many widths."""
    make = Maker()
    x, before = make.placeholder("input", -1, 32, 32, 3), 3
    for at, (side, stride, padding, width) in enumerate(
        [(3, 2, "SAME", 4), (3, 1, "VALID", 6), (3, 2, "SAME", 8), (3, 1, "VALID", 4), (3, 2, "SAME", 2)]
    ):
        x = make.conv(f"layer_{at}", x, side, side, before, width, stride=stride, padding=padding)
        x, before = make("Relu", f"layer_{at}/Relu", x), width
    return make.graph


def projected(name: str) -> Any:
    """Return residual blocks; every second one widens its input by a layer called ``name``."""
    make = Maker()
    x, before = make.placeholder("input", -1, 8, 8, 4), 4
    for block, width in enumerate([8, 8, 16, 16, 32, 32]):
        scope, beside = f"block_{block}", x
        if width != before:
            beside = make.conv(f"{scope}/{name}", x, 1, 3, before, width)
        for part, ins in (("a", before), ("b", width), ("c", width)):
            x = make("Relu", f"{scope}/{part}/Relu", make.conv(f"{scope}/{part}", x, 3, 3, ins, width))
        x, before = make("AddV2", f"{scope}/add", x, beside), width
    return make.graph


@pytest.mark.parametrize(
    ("graph", "given", "returned"),
    [
        (projected("shortcut"), (4, 8, 8), (32, 8, 8)),
        (projected("projection_of_the_input_to_the_channels_of_the_sum" * 2), (4, 8, 8), (32, 8, 8)),
        (unet(), (4, 16, 16), (4, 16, 16)),
        (widening([2, 3, 5, 7]), (4, 8, 8), (7, 8, 8)),
        (two_paddings(), (3, 32, 32), (2, 3, 3)),
    ],
    ids=["projected", "projected, long", "unet", "widening", "paddings"],
)
def test_a_written_network_loads_and_runs(
    graph: Any, given: tuple[int, ...], returned: tuple[int, ...], tmp_path: Path
) -> None:
    analysis = analysed(graph)
    _, network = written_graph(analysis)
    assert complaints(network.source, tmp_path) == ""
    module = built(write_files(tmp_path, network, values_of(analysis)))
    assert module(torch.zeros(2, *given)).shape == (2, *returned)


def test_a_class_has_one_parameter_for_what_it_builds_in_each_case() -> None:
    source = written_graph(analysed(two_paddings()))[1].source
    assert 'def __init__(self, in_channels: int, out_channels: int, conv: str = "same_conv2d")' in source


def test_the_values_of_a_call_have_names_of_their_own() -> None:
    source = written_graph(analysed(unet()))[1].source
    tuples = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Tuple)]
    targets = [node for node in tuples if isinstance(node.ctx, ast.Store)]
    assert targets
    for target in targets:
        names = [name.id for name in target.elts if isinstance(name, ast.Name)]
        assert len(names) == len(set(names))


def scaled_row(read_again: bool = False) -> Any:
    """Return twelve convolutions in a row, of images that are scaled first; something else may read the sixth."""
    make = Maker()
    x = make("Sub", "minus", make.placeholder("input", -1, 8, 8, 2), make.scalar("half", 0.5))
    layers = [make("Mul", "scaled", x, make.scalar("two", 2.0))]
    for at in range(12):
        layers.append(make.conv(f"conv{at}", layers[-1], 3, 3, 2, 2))
    if read_again:
        make("AddV2", "sum", layers[6], layers[-1])
    return make.graph


@pytest.mark.parametrize("read_again", [False, True])
def test_a_row_between_expressions_is_called_as_one_unless_its_inside_is_read(read_again: bool, tmp_path: Path) -> None:
    analysis = analysed(scaled_row(read_again))
    _, network = written_graph(analysis)
    assert complaints(network.source, tmp_path) == ""
    row = "        x = (x - 0.5) * 2.0\n        return super().forward(x)\n"
    assert (row in network.source) is not read_again
    assert ("(nn.Sequential)" in network.source) is not read_again
    module = built(write_files(tmp_path, network, values_of(analysis)))
    images = torch.linspace(-1, 1, 2 * 2 * 64 * 64).reshape(2, 2, 64, 64)
    assert torch.equal(torch.fx.symbolic_trace(module)(images), module(images))
    assert torch.equal(torch.export.export(module, (images,)).module()(images), module(images))


@pytest.mark.parametrize(
    ("expression", "texts", "want"),
    [
        ("{0} * 2.0", ["x - 0.5"], "(x - 0.5) * 2.0"),
        ("{0} - 0.5", ["x / 255.0"], "x / 255.0 - 0.5"),
        ("{0} - {1}", ["x - y", "x - z"], "x - y - (x - z)"),
        ("{0} * {1}", ["x", "y / z"], "x * (y / z)"),
        ("{0}.mean((2, 3))", ["x + y"], "(x + y).mean((2, 3))"),
        ("torch.cat([{0}, {1}], {axis})", ["x if self.left else y", "x + y"],
         "torch.cat([x if self.left else y, x + y], 1)"),
        ("{0} + {1}", ["x if self.left else y", "x"], "(x if self.left else y) + x"),
        ("-{0}", ["x + y"], "-(x + y)"),
    ],
)  # fmt: skip
def test_an_expression_inside_another_has_parentheses_only_where_they_count(
    expression: str, texts: list[str], want: str
) -> None:
    assert filled(expression, texts, {"axis": "1"}) == want


def test_porter_lets_tensorflow_run_each_op_that_it_translates() -> None:
    assert set(LOWERINGS) <= PURE_OPS | CHECKS


def test_norms_have_the_arguments_that_people_write(tf: Any, tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        y = tf.nn.conv2d(x, variable(tf, 3, 3, 3, 4, name="conv"), 1, "SAME")
        for name, axes, epsilon in (("group", [1, 2, 3], 1e-5), ("instance", [1, 2], 1e-3), ("layer", [3], 1e-5)):
            mean, spread = tf.nn.moments(y, axes, keepdims=True)
            scale, shift = (variable(tf, 4, name=f"{name}/{leaf}") for leaf in ("gamma", "beta"))
            y = tf.nn.relu(tf.nn.batch_normalization(y, mean, spread, shift, scale, epsilon, name=name))
        y = tf.nn.conv2d_transpose(y, variable(tf, 4, 4, 3, 4, name="up"), [2, 12, 12, 3], 2, "SAME")
        return tf.nn.leaky_relu(y, 0.01)

    analysis = analysis_of(tf, build, (None, 6, 6, 3))
    _, network = written_graph(analysis)
    for text in (
        "nn.GroupNorm(1, 4)", "nn.InstanceNorm2d(4, eps=0.001, affine=True)", "nn.LayerNorm(4)",
        "nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1, bias=False)", "nn.LeakyReLU()",
    ):  # fmt: skip
        assert text in network.source, text
    assert complaints(network.source, tmp_path) == ""
    assert built(write_files(tmp_path, network, values_of(analysis)))(torch.ones(2, 3, 6, 6)).shape == (2, 3, 12, 12)


def test_equal_blocks_cost_no_more_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that repeats another follows it: its region is compared with no class."""
    calls: list[int] = []

    def counted(first: Template, second: Template) -> tuple[float, Template] | None:
        calls[-1] += 1
        return merged(first, second)

    monkeypatch.setattr(classes, "merged", counted)
    for count in (8, 40):
        calls.append(0)
        written_graph(analysed(residual(count)))
    assert 0 < calls[0] == calls[1]
