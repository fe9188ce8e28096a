"""NASNet-A in PyTorch, compared piece by piece with slim's own code, which TensorFlow runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers.activations import nchw, nhwc
from helpers.checkpoints import Saver, training_checkpoint
from helpers.slims_nasnet import (
    CASES,
    Case,
    distance,
    slims_cell,
    slims_factorized_reduction,
    slims_numbers,
    slims_plan,
)
from porter import port
from porter.catalog.goldens import recorded
from porter.formats.roles import SHADOW_SUFFIX
from porter.mapping.relayout import relayout
from porter.mapping.table import Table
from porter.nets.layers_torch import AvgPool2dSame
from porter.nets.nasnet import design
from porter.nets.nasnet.design import CURRENT, NORMAL, PREVIOUS, REDUCTION, Branch, Wiring, plan
from porter.nets.nasnet.torch import Cell, NASNet, cell_name

# tf-slim's, of tf-keras.
pytestmark = pytest.mark.filterwarnings("ignore:`.*` is deprecated and will be removed:UserWarning")

CONFIGS = {"large": design.LARGE, "mobile": design.MOBILE, "cifar": design.CIFAR}
WIRINGS = {"normal": NORMAL, "reduction": REDUCTION}
EPSILON = design.LARGE.batch_norm_epsilon


# ---- one cell


def our_cell(case: Case, variables: dict[str, np.ndarray], epsilon: float = EPSILON) -> Cell:
    """Return our cell, filled strictly with slim's variables by the table."""
    previous_channels = None if case.previous == "none" else case.previous_channels

    def norm(channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=epsilon)

    cell = Cell(WIRINGS[case.kind], case.channels, previous_channels, case.filters, case.previous == "larger", norm)
    pairs = {pair.source: pair for pair in Table.load(case.table).pairs("tf", "torch")}
    state = {name: value for name, value in cell.state_dict().items() if name.endswith("num_batches_tracked")}
    for name, value in variables.items():
        pair = pairs[name]
        own = pair.target.removeprefix(f"{case.scope}.")
        state[own] = torch.from_numpy(relayout(value, pair.source_axes, pair.target_axes).copy())
    cell.load_state_dict(state)
    return cell.double().eval()


def run_ours(cell: Cell, case: Case, size: tuple[int, int]) -> np.ndarray:
    x, previous = case.maps(size)
    with torch.inference_mode():
        return nhwc(cell(nchw(x), None if previous is None else nchw(previous)))


@pytest.mark.parametrize("size", [(12, 13), (13, 12)], ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_cell_is_slims_cell(slim: SimpleNamespace, case: Case, size: tuple[int, int]) -> None:
    want, variables = slims_cell(slim, case, size)
    assert distance(run_ours(our_cell(case, variables), case, size), want) < 1e-13


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_drop_path_spares_is_what_slim_spares(slim: SimpleNamespace, case: Case) -> None:
    """Triple every path that drop path may drop: the identities stay as they are."""
    want, variables = slims_cell(slim, case, (12, 13), drop=lambda net, keep_prob: net * 3)
    cell = our_cell(case, variables)
    plain = run_ours(cell, case, (12, 13))
    cell.drop_path.forward = lambda x: x * 3  # type: ignore[method-assign]
    assert distance(run_ours(cell, case, (12, 13)), want) < 1e-13
    assert min(distance(plain, want), distance(3 * plain, want)) > 1e-3


def swapped(wiring: Wiring) -> Wiring:
    """Return the wiring with the two inputs of its first combination swapped."""
    (left, right), *others = wiring.combinations
    swap = {CURRENT: PREVIOUS, PREVIOUS: CURRENT}
    first = Branch(left.operation, swap[left.state]), Branch(right.operation, swap[right.state])
    return wiring._replace(combinations=(first, *others))


def counted(self: AvgPool2dSame, x: torch.Tensor) -> torch.Tensor:
    return nn.functional.avg_pool2d(x, 3, self.stride, 1, count_include_pad=True)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_mistake_in_a_cell_is_caught(slim: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    size = (13, 12)
    want, variables = slims_cell(slim, case, size)
    assert distance(run_ours(our_cell(case, variables, epsilon=1e-5), case, size), want) > 1e-3
    cell = our_cell(case, variables)
    if case.previous != "none":  # there the two inputs differ in channels
        cell.wiring = swapped(WIRINGS[case.kind])
        assert distance(run_ours(cell, case, size), want) > 1e-3
        cell.wiring = WIRINGS[case.kind]
    monkeypatch.setattr(AvgPool2dSame, "forward", counted)
    assert distance(run_ours(cell, case, size), want) > 1e-3


@pytest.mark.parametrize("filters", [6, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (6, 7), (7, 6), (9, 9)], ids=str)
def test_factorized_reduction_is_slims(slim: SimpleNamespace, size: tuple[int, int], filters: int) -> None:
    x, want, variables = slims_factorized_reduction(slim, size, filters)
    cell = Cell(NORMAL, 3, 5, filters, True, lambda channels: nn.BatchNorm2d(channels, eps=EPSILON)).double().eval()
    pairs = {pair.source: pair for pair in Table.load("nasnet_large").pairs("tf", "torch")}
    state = cell.state_dict()
    for name, value in variables.items():
        layout = pairs[name].source_axes, pairs[name].target_axes
        state[pairs[name].target.removeprefix("cell_0.")].copy_(torch.from_numpy(relayout(value, *layout).copy()))
    with torch.inference_mode():
        assert distance(nhwc(cell.fit_previous(nchw(x))), want) < 1e-13


# ---- the network around the cells


@pytest.mark.parametrize("name", CONFIGS)
def test_the_numbers_are_slims(slim: SimpleNamespace, name: str) -> None:
    numbers, own = slims_numbers(slim, name), dataclasses.asdict(CONFIGS[name])
    del own["stem"]
    assert own.pop("aux_scaling") == 1  # AmoebaNet's
    assert own == {key: numbers[key] for key in own}
    assert (numbers["num_reduction_layers"], numbers["use_bounded_activation"]) == (2, False)


@pytest.mark.parametrize("name", CONFIGS)
def test_cells_follow_each_other_as_in_slim(slim: SimpleNamespace, name: str) -> None:
    """slim stacks the same cells, and its drop path has the same schedule. A map of its shape replaces each cell."""
    config, (calls, keeps) = CONFIGS[name], slims_plan(slim, name)
    table = Table.load(f"nasnet_{name}")
    torch_names = {e.where["tf"].split("/")[0]: e.where["torch"] for e in table.endpoints if "torch" in e.where}
    with torch.device("meta"):
        model = NASNet(config, 10)
    outputs: list[str | None] = [None, "conv0"]
    for slims, ours in zip(calls, plan(config), strict=True):
        scope, stride, filters, previous, _ = slims
        name = cell_name(ours, config)
        assert torch_names.get(scope, scope) == name
        assert (stride, filters) == (ours.wiring.stride, ours.filters)
        # What slim calls the stem's output is its batch norm.
        previous = (
            "conv0" if previous is not None and previous.split("/")[0] in ("conv0_bn", "l1_stem_bn") else previous
        )
        assert (previous and torch_names.get(previous, previous)) == outputs[ours.previous]
        outputs.append(name)
    for at, probabilities in keeps.items():
        model.set_step(at)
        paths = [model.get_submodule(name).drop_path for name in model.steps]
        assert [1 - path.progress * (1 - path.keep_prob) for path in paths] == pytest.approx(probabilities, rel=1e-6)


def test_training_drops_and_eval_is_deterministic() -> None:
    torch.manual_seed(0)
    model = NASNet(dataclasses.replace(design.CIFAR, num_cells=6, num_conv_filters=8), 10).eval()
    x = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(model(x), model(x))
        model.set_step(model.config.total_training_steps)
        assert torch.equal(model(x), model(x))
        for module in model.train().modules():  # batch norm's own noise aside
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        assert not torch.equal(model(x), model(x))
    model.train()
    model(x).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_network_of_other_numbers_is_built_from_the_same_parts() -> None:
    config = dataclasses.replace(design.MOBILE, num_cells=24, num_conv_filters=8, drop_path_keep_prob=0.9)
    model = NASNet(config, 3).eval()
    names = [cell_name(step, config) for step in plan(config)]
    assert len(names) == len(set(names)) == 24 + 4
    assert model(torch.zeros(1, 3, 65, 70)).shape == (1, 3)


# ---- a checkpoint


@pytest.mark.slow
def test_a_training_checkpoint_is_ported_and_verified_against_tensorflow(tf: Any, save: Saver, tmp_path: Path) -> None:
    tensors = training_checkpoint("nasnet_cifar")
    for name, shape in recorded("nasnet_cifar").training_variables.items():
        if name != "global_step":
            tensors[name] = tensors[name + SHADOW_SUFFIX] = np.zeros(shape, np.float32)
    out = tmp_path / "cifar.safetensors"
    result = port("nasnet_cifar", checkpoint=save(tensors), out=out, verify=True)
    assert result.verification, str(result.verification and result.verification.report)
    assert result.translation.average == "ema"
    assert result.translation.left_out == {"aux": 12}
