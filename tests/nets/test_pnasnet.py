"""PNASNet-5 in both frameworks, compared piece by piece with slim's own code; timm's network; training."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import torchvision_stand_in
from helpers.activations import nchw, nhwc
from helpers.checkpoints import Saver, seeded_variables
from helpers.places import ROOT
from helpers.slims_nasnet import PNASNETS_CASES, Case, distance, slims_cell, slims_numbers, slims_plan
from porter import load, port
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.errors import PorterError
from porter.files import package_data
from porter.mapping.relayout import relayout
from porter.mapping.stored_names import layer_name
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.nets.layers_torch import Conv2dSame, MaxPool2dSame
from porter.nets.nasnet.design import Wiring
from porter.nets.nasnet.torch import Cell
from porter.nets.pnasnet import design
from porter.nets.pnasnet.design import CELL, plan
from porter.nets.pnasnet.torch import PNASNet, cell_name
from porter.runners.golden import golden_images

# tf-slim's, of tf-keras.
pytestmark = pytest.mark.filterwarnings("ignore:`.*` is deprecated and will be removed:UserWarning")

CONFIGS = {"large": design.LARGE, "mobile": design.MOBILE}
EPSILON = design.LARGE.batch_norm_epsilon
GOLDENS = sorted(path.name for path in package_data.folder("golden").glob("pnasnet_*"))
SMALL = dataclasses.replace(design.MOBILE, num_cells=3, num_conv_filters=8)


# ---- one cell


def wiring(case: Case) -> Wiring:
    return CELL._replace(stride=2 if case.kind == "reduction" else 1)


def relaid(case: Case, framework: str, variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return slim's variables of a cell under the framework's names, in its layout."""
    pairs = {pair.source: pair for pair in Table.load(case.table).pairs("tf", framework)}
    found = {pairs[name].target: (pairs[name], value) for name, value in variables.items()}
    return {name: relayout(value, pair.source_axes, pair.target_axes) for name, (pair, value) in found.items()}


def torch_cell(case: Case, variables: dict[str, np.ndarray], epsilon: float = EPSILON) -> Cell:
    """Return our cell, filled strictly with slim's variables by the table."""
    previous_channels = None if case.previous == "none" else case.previous_channels

    def norm(channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=epsilon)

    halve = case.previous == "larger"
    cell = Cell(wiring(case), case.channels, previous_channels, case.filters, halve, norm, nested=True)
    state = {name: value for name, value in cell.state_dict().items() if name.endswith("num_batches_tracked")}
    for name, value in relaid(case, "torch", variables).items():
        state[name.removeprefix(f"{case.scope}.")] = torch.from_numpy(value.copy())
    cell.load_state_dict(state)
    return cell.double().eval()


def run_torch(cell: Cell, case: Case, size: tuple[int, int]) -> np.ndarray:
    x, previous = case.maps(size)
    with torch.inference_mode():
        return nhwc(cell(nchw(x), None if previous is None else nchw(previous)))


@pytest.mark.parametrize("case", PNASNETS_CASES.values(), ids=PNASNETS_CASES)
def test_pytorchs_cell_is_slims_cell(slim: SimpleNamespace, case: Case) -> None:
    """Drop path triples every path that it may drop: the identities stay as they are."""
    want, variables = slims_cell(slim, case, (12, 13), drop=lambda net, keep_prob: net * 3)
    cell = torch_cell(case, variables)
    plain = run_torch(cell, case, (12, 13))
    cell.drop_path.forward = lambda x: x * 3  # type: ignore[method-assign]
    assert distance(run_torch(cell, case, (12, 13)), want) < 1e-13
    assert min(distance(plain, want), distance(3 * plain, want)) > 1e-3
    wrong = torch_cell(case, variables, epsilon=1e-5)
    wrong.drop_path.forward = lambda x: x * 3  # type: ignore[method-assign]
    assert distance(run_torch(wrong, case, (12, 13)), want) > 1e-3


@pytest.mark.parametrize("case", PNASNETS_CASES.values(), ids=PNASNETS_CASES)
def test_kerass_cell_is_slims_cell(slim: SimpleNamespace, case: Case) -> None:
    keras: Any = pytest.importorskip("keras")
    from porter.nets.nasnet.keras import Cell as KerasCell
    from porter.nets.nasnet.keras import Layers

    want, variables = slims_cell(slim, case, (13, 12))
    id = {"cell_stem_0": "stem_1", "cell_stem_1": "stem_2"}.get(case.scope, case.scope.removeprefix("cell_"))
    maps = {name: values for name, values in zip("xp", case.maps((13, 12)), strict=True) if values is not None}
    inputs = {name: keras.Input(values.shape[1:], dtype="float64", name=name) for name, values in maps.items()}
    cell = KerasCell(Layers(design.LARGE, "float64"), wiring(case), id, case.filters, letter="P")
    model = keras.Model(inputs, cell(*inputs.values()))
    own, values = {variable.path: variable for variable in model.weights}, relaid(case, "keras", variables)
    assert values.keys() == own.keys()
    for name, value in values.items():
        own[name].assign(value)
    assert distance(keras.ops.convert_to_numpy(model(maps)), want) < 1e-13


# ---- the network around the cells


@pytest.mark.parametrize("name", CONFIGS)
def test_the_numbers_are_slims(slim: SimpleNamespace, name: str) -> None:
    numbers, own = slims_numbers(slim, name, "pnasnet"), dataclasses.asdict(CONFIGS[name])
    del own["stem"]
    assert own.pop("aux_scaling") == 1  # AmoebaNet's
    assert own == {key: numbers[key] for key in own}
    assert (numbers["num_reduction_layers"], numbers["use_bounded_activation"]) == (2, False)


@pytest.mark.parametrize("name", CONFIGS)
def test_cells_follow_each_other_as_in_slim(slim: SimpleNamespace, name: str) -> None:
    """slim stacks the same cells, and its drop path has the same schedule. A map of its shape replaces each cell."""
    config, (calls, keeps) = CONFIGS[name], slims_plan(slim, name, "pnasnet")
    with torch.device("meta"):
        model = PNASNet(config, 10, aux=False, input_size=0, in_channels=3)
    outputs: list[str | None] = [None, "conv0_bn"]
    for (scope, stride, filters, previous, _), ours in zip(calls, plan(config), strict=True):
        assert scope == cell_name(ours)
        assert (stride, filters) == (ours.wiring.stride, ours.filters)
        assert (previous and previous.split("/")[0]) == outputs[ours.previous]
        outputs.append(scope)
    for at, probabilities in keeps.items():
        model.set_step(at)
        paths = [model.get_submodule(name).drop_path for name in model.steps]
        assert [1 - path.progress * (1 - path.keep_prob) for path in paths] == pytest.approx(probabilities, rel=1e-6)


def test_keras_names_are_the_tables() -> None:
    model, table = load("pnasnet_mobile", "keras"), Table.load("pnasnet_mobile")
    paths = {variable.path for variable in model.variables if not table.ignored("keras", variable.path)}
    assert paths == {pair.source for pair in table.pairs("keras", "keras")}
    places = [endpoint.where["keras"] for endpoint in table.endpoints if "keras" in endpoint.where]
    assert {layer_name(place) for place in places} <= {layer.name for layer in model.layers}
    assert {type(layer).__module__.split(".")[0] for layer in model.layers} == {"keras"}


# ---- training


def test_training_drops_and_eval_is_deterministic() -> None:
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL, drop_path_keep_prob=0.6, dense_dropout_keep_prob=1.0)
    model, x = PNASNet(config, 10, aux=False, input_size=0, in_channels=3), torch.randn(4, 3, 65, 65)
    for module in model.train().modules():  # batch norm's own noise aside
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    with torch.no_grad():
        assert torch.equal(model(x), model(x))  # training has not begun
        model.set_step(config.total_training_steps)
        assert not torch.equal(model(x), model(x))
        assert torch.equal(model.eval()(x), model(x))
    drops = PNASNet(SMALL, 10, aux=False, input_size=0, in_channels=3).train()
    assert drops.dropout.p == 0.5


def test_the_auxiliary_head_trains_the_cells_before_it_alone() -> None:
    model = PNASNet(SMALL, 10, aux=True, input_size=97, in_channels=3).train()
    logits, aux_logits = model(torch.zeros(2, 3, 97, 97))
    assert logits.shape == aux_logits.shape == (2, 10)
    aux_logits.sum().backward()
    reached = {name.split(".")[0] for name, value in model.named_parameters() if value.grad is not None}
    assert {"conv_0", "cell_stem_0", "cell_1", "aux"} <= reached
    assert not reached & {"cell_2", "last_linear"}


def test_a_release_without_an_auxiliary_head_is_ported_without_one(save: Saver) -> None:
    """slim's own fine-tuning stops there: key aux_7/aux_logits/aux_bn0/beta not found (tensorflow/models#8643)."""
    checkpoint = save(seeded_variables("pnasnet_mobile"))
    assert port("pnasnet_mobile", checkpoint=checkpoint).translation.left_out == {}
    with pytest.raises(PorterError, match=r"(?s)lacks 12 of the 945 tensors.*12 x aux_5.*leave `aux` out"):
        port("pnasnet_mobile", checkpoint=checkpoint, aux=True)


# ---- other libraries: docs/zoo.md has the numbers

PAGE = (ROOT / "docs/zoo.md").read_text(encoding="utf-8")


def stated(network: str) -> list[float]:
    """Return the numbers of the network's row in docs/zoo.md."""
    row, *_ = re.findall(rf"^\| {re.escape(network)} \| .*? \| .*? \| (.*?) \|", PAGE, re.MULTILINE)
    return [float(number) for number in re.findall(r"\d\.\d+", row)]


def filled(model: nn.Module, golden: str) -> nn.Module:
    """Load the port of the golden's seeded weights strictly; PyTorch's counters of batches stay."""
    seeds = seeded_checkpoint(recorded(golden))
    tensors = translate(seeds, find_arch(recorded(golden).model), "tf", "torch").as_checkpoint(seeds)
    counters = {name: value for name, value in model.state_dict().items() if name.endswith("num_batches_tracked")}
    state = {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}
    model.load_state_dict(counters | state, strict=True)
    return model.double().eval()


def divergence(model: nn.Module, golden: str) -> float:
    """Return the largest difference of the logits, in standard deviations of the original's."""
    images = golden_images(recorded(golden).input_size).astype(np.float64)
    with torch.inference_mode():
        return distance(model(nchw(images)).numpy(), recorded(golden).values()["logits_float64"])


def symmetric(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Compute a layer with the padding kernel // 2 on both sides."""
    if isinstance(self, MaxPool2dSame):
        return F.max_pool2d(x, self.kernel, self.stride, self.kernel // 2)
    return F.conv2d(x, self.weight, None, self.stride, self.kernel_size[0] // 2, groups=self.groups)


def test_mobile_with_symmetric_padding_is_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """PNASNet.pytorch pads both sides equally: 71.0 % instead of 74.2 % (chenxi116/PNASNet.pytorch#5)."""
    golden = "pnasnet_mobile"
    model = filled(load(golden, "torch"), golden)
    assert divergence(model, golden) < 1e-13
    monkeypatch.setattr(MaxPool2dSame, "forward", symmetric)
    monkeypatch.setattr(Conv2dSame, "forward", symmetric)
    assert [round(divergence(model, golden), 2)] == stated("PNASNet-5 Mobile")


@pytest.fixture(scope="module")
def timm() -> Any:
    torchvision_stand_in.install()
    return pytest.importorskip("timm")


def test_timms_large_has_the_ports_names_and_shapes(timm: Any) -> None:
    with torch.device("meta"):
        want = timm.create_model("pnasnet5large", num_classes=1001).state_dict()
        ours = load("pnasnet_large", "torch").state_dict()
    assert {name: value.shape for name, value in want.items()} == {name: value.shape for name, value in ours.items()}


@pytest.mark.slow
@pytest.mark.parametrize("golden", [name for name in GOLDENS if name.startswith("pnasnet_large")])
def test_timms_large_takes_the_port_strictly_and_computes_the_same(timm: Any, golden: str) -> None:
    theirs = filled(timm.create_model("pnasnet5large", num_classes=1001), golden)
    assert divergence(theirs, golden) < 1e-12
    assert stated("PNASNet-5 Large") == []
