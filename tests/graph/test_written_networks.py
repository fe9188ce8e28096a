"""Networks written as source: exact, short, in one style, traceable, and safe whatever a graph's names are."""

from __future__ import annotations

import ast
import keyword
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers.graphs import Maker, analysed, renamed
from helpers.places import ROOT, TESTS
from helpers.written import built, complaints, imported, values_of, write_files, written_golden, written_graph
from porter.graph.codegen.helper_text import helper_names, helper_text
from porter.graph.codegen.names import RESERVED, identifier
from porter.mapping.table import Table
from porter.mapping.written_table import written_table
from porter.runners.decompiled import DecompiledRunner
from porter.runners.golden import golden_images
from porter.runners.softmax import softmax

LIMITS = {
    "mobilenet_v1_1.0_224": 120,
    "mobilenet_v2_1.0_224": 150,
    "mobilenet_v3_small_1.0_224": 230,
    "inception_v1": 170,
    "resnet_v2_50": 150,
    "vgg_16": 60,
    "nasnet_mobile": 450,
    "pnasnet_mobile": 420,
}
SMALL = "mobilenet_v1_0.25_128"


@pytest.mark.parametrize("name", LIMITS)
def test_a_source_is_short_and_passes_ruff(name: str, tmp_path: Path) -> None:
    _, _, _, network = written_golden(name)
    assert network.lines <= LIMITS[name]
    assert complaints(network.source, tmp_path) == ""


@pytest.mark.parametrize("name", ["mobilenet_v2_1.0_224", "resnet_v2_50"])
def test_a_source_is_the_kept_one(name: str) -> None:
    kept = (TESTS / f"outputs/written_{name}.txt").read_text(encoding="utf-8")
    assert written_golden(name)[3].source == kept


@pytest.mark.parametrize(
    "name",
    [
        SMALL,
        "mobilenet_v2_0.35_96",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("inception_v1", "resnet_v2_50", "nasnet_mobile", "pnasnet_mobile", "mobilenet_v1_0.25_128@129")
        ),
    ],
)
def test_a_written_network_computes_the_authors_logits(name: str, tmp_path: Path) -> None:
    golden, analysis, program, network = written_golden(name)
    module = built(write_files(tmp_path, network, values_of(analysis, golden)))
    run = DecompiledRunner(
        module, dict.fromkeys(program.inputs, ()), (), {port.source: port for port in program.outputs}
    )
    images = golden_images(golden.input_size)[:1].astype(np.float64)
    (got,) = run(images).values()
    logits = golden.values()["logits_float64"]
    want = softmax(logits[:1]) if program.steps[-1].what == "softmax" else logits[:1]
    assert np.abs(got - want).max() <= 1e-9 * want.std()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A small network's parts, and its source on disk."""
    parts = written_golden(SMALL)
    golden, analysis, _, network = parts
    return parts, write_files(tmp_path_factory.mktemp("written"), network, values_of(analysis, golden))


def test_each_definition_that_reads_sizes_is_wrapped_by_itself() -> None:
    source = (ROOT / "porter/graph/codegen/helpers.py").read_text(encoding="utf-8")
    for name in helper_names():
        text = "\n".join(helper_text([name]))
        wrapped = set(re.findall(r'torch\.fx\.wrap\("(\w+)"\)', text))
        assert wrapped <= set(re.findall(r"^def (\w+)", text, re.MULTILINE)), name
        assert (name in wrapped) is (f'torch.fx.wrap("{name}")' in source)


def test_a_source_needs_torch_and_safetensors_alone(small: tuple[Any, Path]) -> None:
    tree = ast.parse(small[1].read_text(encoding="utf-8"))
    modules = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in modules} <= {"torch", "safetensors", "pathlib", "collections", "math"}


def test_a_written_network_traces_exports_and_trains(small: tuple[Any, Path]) -> None:
    network = built(small[1])
    images = torch.from_numpy(golden_images(128)[:2].transpose(0, 3, 1, 2).copy())
    want = network(images)
    assert torch.equal(torch.fx.symbolic_trace(network)(images), want)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(network, (images,), dynamic_shapes=({0: batch},)).module()
    assert torch.allclose(exported(images[:1]), want[:1])
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network(images).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    moved = [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]
    assert {name.rpartition(".")[2] for name in moved} == {"running_mean", "running_var", "num_batches_tracked"}


def test_a_source_is_the_same_each_time() -> None:
    assert written_golden(SMALL)[3].source == written_golden(SMALL)[3].source


def test_the_mapping_table_names_each_weight_once(small: tuple[Any, Path], tmp_path: Path) -> None:
    (golden, _, _, network), source = small
    text, unfit = written_table(network, dict(zip(golden.variables, golden.variables, strict=True)), "graph.pb")
    (tmp_path / "mapping.toml").write_text(text, encoding="utf-8")
    table = Table.read(tmp_path / "mapping.toml")
    assert unfit == []
    pairs = {pair.source: pair.target for pair in table.pairs("tf", "torch")}
    assert set(pairs) == set(golden.variables) - {"global_step"}
    assert set(pairs.values()) <= set(built(source).state_dict())
    modules = dict(built(source).named_modules())
    assert all(endpoint.where["torch"] in modules for endpoint in table.endpoints[:-1])


# ---- hostile names
HOSTILE = [
    "__import__('os').system('touch hacked')",
    'x"""\nimport os\nos.abort()\n"""',
    "class",
    "self",
    "forward",
    "nn",
    "F",
    "train",
    "add_module",
    "\N{GREEK SMALL LETTER ALPHA}",
    "a" * 10_000,
    "{0}{x}",
    "",
    "\\N{BULLET}",
    "1",
]


def blocks(scopes: list[str]) -> Any:
    """Return a graph of equal convolutions, each in a scope of its own."""
    make = Maker()
    x = make.placeholder("input", -1, 8, 8, 4)
    for at, scope in enumerate(scopes):
        x = make.conv(f"{scope}/{at}", x, 3, 3, 4, 4)
        x = make("Relu", f"{scope}/{at}/Relu", x)
    return make.graph


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_no_code(name: str, tmp_path: Path) -> None:
    analysis = analysed(blocks([name] * 4))
    _, network = written_graph(analysis, name)
    assert complaints(network.source, tmp_path) == ""
    plain = written_graph(analysed(blocks(["conv"] * 4)), "conv")[1].source
    assert words_of(network.source) - words_of(plain) <= {network.name} | own_words(network.source)
    assert max(map(len, network.source.split("\n"))) <= 120
    module = built(write_files(tmp_path, network, values_of(analysis)))
    assert module(torch.zeros(1, 4, 8, 8)).shape == (1, 4, 8, 8)


def words_of(source: str) -> set[str]:
    """Return the names that a source uses."""
    found = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    return found | {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}


def own_words(source: str) -> set[str]:
    """Return the names that a source gives to its classes, tables and layers."""
    tree = ast.parse(source)
    classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    stored = {node.id for node in tree.body if isinstance(node, ast.Assign) for node in node.targets}  # type: ignore[attr-defined]
    layers = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    return classes | stored | layers


def test_every_node_of_a_network_may_have_a_hostile_name(tmp_path: Path) -> None:
    graph = renamed(blocks(["block_1", "block_2", "block_3"]), lambda name: f"eval('{name}')\n#{name}")
    analysis = analysed(graph)
    _, network = written_graph(analysis, "eval('1')")
    assert complaints(network.source, tmp_path) == ""
    calls = [node.func for node in ast.walk(ast.parse(network.source)) if isinstance(node, ast.Call)]
    assert "eval" not in {call.id for call in calls if isinstance(call, ast.Name)}
    imported(write_files(tmp_path, network, values_of(analysis)))


def test_no_layer_is_called_as_a_word_of_python_or_of_a_module() -> None:
    for kind in (nn.Module, nn.Sequential):
        # Libraries of other tests add methods to torch's modules.
        own = [
            name
            for name in dir(kind)
            if (getattr(getattr(kind, name), "__module__", "") or "torch").startswith("torch")
        ]
        assert len(own) > 50
        assert not [name for name in own if identifier(name) == name and name[:1] != "_"]
    assert not [name for name in keyword.kwlist if identifier(name.lower()) == name]
    assert "forward" in RESERVED


@pytest.mark.parametrize("name", ["nasnet_mobile", "pnasnet_mobile"])
def test_cells_that_read_the_two_before_are_rows(name: str) -> None:
    source = written_golden(name)[3].source
    assert '    "cell_1": (Prev1xCell, ' in source
    assert "nn.ModuleDict({name: cell(*row) for name, (cell, *row) in CELLS.items()})" in source
    assert "        for cell in self.cells.values():\n            x, y = y, cell(x, y)\n" in source


def cells(skip_to: str = "") -> Any:
    """Return a graph of cells that each add what the two before compute; ``skip_to`` reads one of them again."""
    make = Maker()
    x, y = make.conv("stem_0", make.placeholder("input", -1, 8, 8, 4), 3, 3, 4, 4), ""
    y = make.conv("stem_1", x, 3, 3, 4, 4)
    for at in range(6):
        a = make("Relu", f"cell_{at}/a/Relu", make.conv(f"cell_{at}/a", x, 3, 3, 4, 4))
        b = make("Relu", f"cell_{at}/b/Relu", make.conv(f"cell_{at}/b", y, 1, 1, 4, 4))
        x, y = y, make("AddV2", f"cell_{at}/add", a, b)
    if skip_to:
        y = make("Mul", "last", y, skip_to)
    return make.graph


@pytest.mark.parametrize(
    ("skip_to", "rows"),
    [("", 6), ("cell_5/add", 6), ("cell_4/add", 6), ("cell_3/add", 5), ("cell_2/add", 4), ("cell_1/add", 4)],
)
def test_only_the_last_two_rows_of_cells_are_read_elsewhere(skip_to: str, rows: int, tmp_path: Path) -> None:
    analysis = analysed(cells(skip_to))
    program, network = written_graph(analysis, "cells")
    assert complaints(network.source, tmp_path) == ""
    assert network.source.count('"cell_') == rows
    module = built(write_files(tmp_path, network, values_of(analysis)))
    random = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=random)
    images = torch.randn(2, 4, 8, 8, generator=random)
    assert torch.equal(torch.fx.symbolic_trace(module)(images), module(images))
    weights = {placed.path: placed.weight.name for placed in network.weights}
    state = {weights[name]: value for name, value in module.state_dict().items()}

    def conv(x: torch.Tensor, name: str) -> torch.Tensor:
        return torch.nn.functional.conv2d(x, state[f"{name}/weights"], padding="same")

    known = {}
    x = conv(images, "stem_0")
    y = conv(x, "stem_1")
    for at in range(6):
        x, y = y, conv(x, f"cell_{at}/a").relu() + conv(y, f"cell_{at}/b").relu()
        known[f"cell_{at}/add"] = y
    assert torch.allclose(module(images), y * known[skip_to] if skip_to else y, rtol=1e-4)
    assert len(program.outputs) == 1
