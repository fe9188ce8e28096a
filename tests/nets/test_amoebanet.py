"""AmoebaNet: numbers of cells and filters that follow a file, operations beside TensorFlow's, and training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers.activations import nchw, nhwc
from porter import inspect, load, port
from porter.catalog.goldens import recorded
from porter.catalog.models import Arch, find_arch
from porter.errors import PorterError
from porter.graph.rewrite.prune import prune
from porter.mapping.follow import following
from porter.mapping.original_graph import original_graph
from porter.mapping.recognise import recognise
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table
from porter.nets.amoebanet import design
from porter.nets.amoebanet.torch import AMOEBANETS
from porter.nets.nasnet.torch import Cell
from porter.verbs.seed import seed

D, SMALL, A = "amoebanet_d_6x256_224", "amoebanet_d_3x64_99", "amoebanet_a_4x36_99"


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


# ---- what follows from the numbers of cells and filters, against variables and graphs of the original code


@pytest.mark.parametrize("name", [D, SMALL, "amoebanet_a_6x256_224", A])
def test_the_design_has_the_originals_channels(name: str) -> None:
    variables = recorded(name).all_variables
    sizes = design.sizes(**find_arch(name).options)
    assert {each.rpartition("/")[0] for each in variables if each != "global_step"} == set(sizes)
    for variable, shape in variables.items():
        if variable == "global_step":
            continue
        layer, _, leaf = variable.rpartition("/")
        read, wrote = sizes[layer]
        if leaf == "depthwise_weights":
            assert shape[2:] == (read, 1)
        elif len(shape) > 1:
            assert shape[-2] == read
        assert leaf == "depthwise_weights" or shape[-1] == (wrote or 1001)


@pytest.mark.parametrize("name", [SMALL, A])
def test_a_table_with_other_cells_names_the_originals_variables(name: str) -> None:
    table, golden = Table.of(find_arch(name)), recorded(name)
    assert {pair.source for pair in table.pairs("tf", "torch")} == set(golden.variables)
    every = {pair.source: pair.trainable for pair in table.pairs("tf", "torch", table.parts)}
    assert set(every) == set(golden.all_variables) - {"global_step"}
    assert {variable for variable, trained in every.items() if trained} == set(golden.recipe["trainable"])
    assert [endpoint.name for endpoint in table.endpoints] == list(golden.endpoint_shapes)


@pytest.mark.parametrize("letter", ["a", "d"])
def test_the_tables_list_the_axes_of_the_design(letter: str) -> None:
    arch = find_arch(f"amoebanet_{letter}")
    other = replace(arch, base=arch.name, base_options={**arch.options, "num_cells": 1})  # so that the design counts
    assert Table.of(other) == Table.load(arch.table)
    assert other.axes
    assert not arch.axes


def as_from(arch: Arch, base: str) -> Arch:
    """Return ``arch`` as if it had no golden of its own, but that of ``base``."""
    return replace(arch, base=base, base_options=find_arch(base).options)


@pytest.mark.parametrize(("name", "base"), [(SMALL, D), (A, "amoebanet_a_6x256_224")])
def test_graph_and_shapes_of_other_cells_are_those_of_the_original_code(name: str, base: str) -> None:
    made, golden = as_from(find_arch(name), base), recorded(name)
    outputs = [golden.recipe["logits_tensor"], "predictions"]
    ours, theirs = (
        {node.name: node for node in prune(graph, outputs, "graph").node}
        for graph in (original_graph(made), golden.load_graph())
    )
    assert ours.keys() == theirs.keys()
    for node, want in theirs.items():
        found = ours[node]
        assert (found.op, list(found.input)) == (want.op, list(want.input)), node
        # A reader's values bring shapes.
        assert [key for key in want.attr if want.attr[key] != found.attr[key] and key != "shape"] == [], node
    shapes, table = expected_shapes(made, Table.of(made), "tf"), Table.of(made)
    sized = {pair.source for pair in table.pairs("tf", "tf", table.parts) if pair.sized}
    assert {k: v for k, v in shapes.items() if k not in sized} == {
        k: v for k, v in golden.all_variables.items() if k in shapes and k not in sized
    }


@pytest.mark.parametrize(("cells", "filters"), [(1, 64), (2, 64), (4, 128), (7, 16), (12, 448), (36, 512)])
def test_torch_has_the_shapes_of_any_number_of_cells_and_filters(cells: int, filters: int) -> None:
    arch = find_arch(f"amoebanet_d_{cells}x{filters}_224")
    with torch.device("meta"):
        network = arch.builder("torch")(num_classes=1001, **arch.options)
    wanted = {k: tuple(v.shape) for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    table = Table.of(arch)
    shapes = expected_shapes(arch, table, "torch")
    assert {pair.source: shapes[pair.source] for pair in table.pairs("torch", "torch")} == wanted
    for dialect in table.dialects:
        found = following(find_arch("amoebanet_d"), expected_shapes(arch, table, dialect))
        assert found.name == arch.name


# ---- files


def test_cells_filters_and_classes_follow_a_checkpoint(tmp_path: Path) -> None:
    checkpoint = seed("amoebanet_d", tmp_path / "m.ckpt", training=True, cells=4, filters=16).out
    result = port("amoebanet_d", checkpoint=checkpoint, out=tmp_path / "m.safetensors", verify=True)
    assert result.model == "amoebanet_d_4x16_224"
    assert result
    assert result.verification is not None
    roles = result.translation.roles
    assert roles["step counter"] == 1
    assert roles["EMA shadow"] == roles["variable"] + roles["auxiliary head variable"]
    network = load("amoebanet_d", weights=tmp_path / "m.safetensors")
    assert (network.config.num_cells, network.config.num_conv_filters) == (4, 16)
    for file in (checkpoint, tmp_path / "m.safetensors"):
        found = inspect(file).recognised
        assert found is not None
        assert found.models == ("amoebanet_d_4x16_224",)


def test_the_numbers_of_tensorflow_hubs_module_follow_its_variables() -> None:
    """tensorflow/tpu#356: the one public AmoebaNet is amoebanet_a_n18_f448, whose variables a module's scope holds."""
    arch = find_arch("amoebanet_a_18x448_224")
    module = {f"module/{name}": shape for name, shape in expected_shapes(arch, Table.of(arch), "tf").items()}
    best, *_ = recognise(module)
    assert (best.arch.name, best.prefix, best.exact, best.unknown) == (arch.name, "module/", True, ())


def test_features_are_those_of_the_files_cells() -> None:
    """With 3 cells, cell_0 is the last one of its stride; with 6 it is cell_1."""
    for cells, modules in ((3, ["conv0", "cell_stem_0", "cell_0", "cell_1", "cell_2"]), (6, ["cell_1", "cell_3"])):
        network = load("amoebanet_d", num_cells=cells, reduction_size=16, features_only=True)
        found = network.feature_info.module_name()
        assert found == modules or found[2:4] == modules
        maps = network(torch.zeros(1, 3, 224, 224))
        assert [each.shape[1] for each in maps] == network.feature_info.channels()


def test_what_no_network_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PorterError, match="a multiple of 4 from 16 on, got 6 cells and 190 filters"):
        seed("amoebanet_d", tmp_path / "m.ckpt", filters=190)
    with pytest.raises(PorterError, match="nasnet_mobile has no number of cells to choose"):
        seed("nasnet_mobile", tmp_path / "m.ckpt", cells=3)
    assert not list(tmp_path.iterdir())


# ---- operations that neither cell has, composed of TensorFlow's own ops by network_utils.py


def tensorflows(tf: Any, operation: str, x: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Return an operation without batch norm, whose statistics are those of a new layer in both frameworks."""
    scale, weights = 1 / np.sqrt(1 + 1e-3), [value.astype(x.dtype) for value in weights]
    if operation == "minimum_3x3":
        return (-tf.nn.max_pool2d(-x, 3, 2, "SAME")).numpy()
    rate = int(operation[-1]) if "rate" in operation else 1
    for number, kernel in enumerate(weights):
        inside = 0 < number < len(weights) - 1
        x = tf.nn.conv2d(tf.nn.relu(x), kernel, 1, "SAME", dilations=rate if inside else 1) * scale
    return x.numpy()


@pytest.mark.parametrize(
    "operation", ["minimum_3x3", "convolution_1x3_3x1", *(f"convolution_dilated_3x3_rate_{r}" for r in (2, 4, 6))]
)
def test_an_operation_without_a_golden_computes_what_tensorflow_does(tf: Any, operation: str) -> None:
    torch.manual_seed(0)
    module = AMOEBANETS[operation](16, 16, norm, 2 if operation.startswith("minimum") else 1).double().eval()
    x = np.random.default_rng(0).standard_normal((2, 13, 13, 16)).astype(np.float32).astype(np.float64)  # pools round
    kernels = [
        each.weight.detach().numpy().transpose(2, 3, 1, 0) for each in module.modules() if hasattr(each, "groups")
    ]
    assert [kernel.shape[-1] for kernel in kernels[:1]] == ([6] if "1x3" in operation else [4] if kernels else [])
    with torch.no_grad():
        found = nhwc(module(nchw(x)))
    np.testing.assert_allclose(found, tensorflows(tf, operation, x, kernels), rtol=0, atol=1e-13)


def test_a_cell_halves_an_unused_input_of_its_output(tf: Any) -> None:
    """AmoebaNet-C's reduction outputs its first input: _combine_unused_states halves it, without a ReLU."""
    spec = design.cell_of("reduction", ["max_pool_3x3"] * 10, [0] * 10, (0, 1, 0, 0, 0, 0, 0))
    torch.manual_seed(0)
    cell = Cell(spec, 8, 8, 8, False, norm, operations=AMOEBANETS).double().eval()
    x = torch.randn(2, 8, 9, 9, dtype=torch.float64)
    with torch.no_grad():
        found, state = nhwc(cell(x, x))[..., :8], nhwc(cell.conv_1x1(x))
    moved = np.pad(state, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
    paths = (cell.path_current.path_1, cell.path_current.path_2)
    kernels = [path.conv.weight.detach().numpy().transpose(2, 3, 1, 0) for path in paths]
    halves = [
        tf.nn.conv2d(each[:, ::2, ::2], kernel, 1, "VALID")
        for each, kernel in zip((state, moved), kernels, strict=True)
    ]
    np.testing.assert_allclose(found, np.concatenate(halves, -1) / np.sqrt(1 + 1e-3), rtol=0, atol=1e-13)


# ---- training


def test_training_drops_paths_alike_in_every_cell_and_returns_both_logits() -> None:
    network = load("amoebanet_d", num_cells=3, reduction_size=16, num_classes=5, aux=True, input_size=99)
    logits, aux = network(torch.zeros(2, 3, 99, 99))
    assert logits.shape == aux.shape == (2, 5)
    assert {step.keep_prob for step in network.steps.values()} == {0.7}  # 'v1' of _apply_drop_path
    assert (network.aux.proj.out_channels, network.aux.conv.out_channels) == (51, 307)  # aux_scaling 0.4
    network.train().set_step(network.config.total_training_steps)
    first, second = (network(torch.ones(2, 3, 99, 99))[0] for _ in range(2))
    assert not torch.equal(first, second)
    assert network.dropout.p == 0.5


def test_epsilon_of_the_trainers_command_line_is_an_argument() -> None:
    network = load("amoebanet_d", num_cells=3, reduction_size=16, batch_norm_epsilon=1e-5)
    assert {each.eps for each in network.modules() if isinstance(each, nn.BatchNorm2d)} == {1e-5}
