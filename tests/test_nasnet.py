"""NASNet-A piece by piece against slim's own code, run by TensorFlow; and names and arithmetic of other ports."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

import torchvision_stand_in
from conftest import Saver, training_checkpoint
from porter import data, port
from porter.archs import find_arch
from porter.layout import relayout
from porter.mapping import Table
from porter.nets.torch import nasnet
from porter.nets.torch.layers import AvgPool2dSame
from porter.nets.torch.nasnet import CURRENT, NORMAL, PREVIOUS, REDUCTION, Branch, Cell, Wiring, plan
from porter.recorded import recorded
from porter.roles import SHADOW_SUFFIX
from porter.runners.golden import GoldenRunner, golden_pictures
from porter.runners.torch import TorchRunner
from porter.translate import translate
from porter.verify import seeded_checkpoint
from porter.weights import seeded
from test_layers import nchw, nhwc

# tf-slim's, of tf-keras.
pytestmark = pytest.mark.filterwarnings("ignore:`.*` is deprecated and will be removed:UserWarning")

CONFIGS = {"large": nasnet.LARGE, "mobile": nasnet.MOBILE, "cifar": nasnet.CIFAR}
EPSILON = nasnet.LARGE.batch_norm_epsilon


def module_of(path: Path, name: str) -> Any:
    """Import the file ``path`` alone, as the module ``name``."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def slim(tf: Any) -> SimpleNamespace:
    """slim's NASNet, importable through the recorder's stand-ins."""
    pytest.importorskip("tf_slim", reason="needs golden/requirements.txt")
    record = module_of(data.folder("golden") / "record.py", "golden_record")
    record.nets_factory()
    return SimpleNamespace(
        tf=tf.compat.v1,
        layers=importlib.import_module("tf_slim"),
        nasnet=importlib.import_module("nets.nasnet.nasnet"),
        utils=importlib.import_module("nets.nasnet.nasnet_utils"),
        unfused_batch_norm=record.unfused_batch_norm,
    )


# ---- one cell


class Case:
    """A cell of a table, on random maps of another width: ``size`` is that of the larger map."""

    filters, channels, previous_channels = 7, 10, 6

    def __init__(self, table: str, scope: str, wiring: Wiring, previous: str) -> None:
        self.table, self.scope, self.wiring, self.previous = table, scope, wiring, previous

    def maps(self, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
        random = np.random.default_rng(3)
        here = tuple(-(-side // 2) for side in size) if self.previous == "larger" else size
        x = random.standard_normal((2, *here, self.channels))
        if self.previous == "none":
            return x, None
        return x, random.standard_normal((2, *size, self.previous_channels))


CASES = {
    "normal behind a reduction": Case("nasnet_large", "cell_0", NORMAL, "larger"),
    "normal": Case("nasnet_large", "cell_1", NORMAL, "same"),
    "normal behind a stem": Case("nasnet_cifar", "cell_0", NORMAL, "none"),
    "reduction behind a stem": Case("nasnet_large", "cell_stem_0", REDUCTION, "none"),
    "reduction behind a reduction": Case("nasnet_large", "cell_stem_1", REDUCTION, "larger"),
    "reduction": Case("nasnet_large", "reduction_cell_0", REDUCTION, "same"),
}


def slims_cell(
    slim: SimpleNamespace, case: Case, size: tuple[int, int], drop: Any = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return what slim's cell computes in float64, and its name-seeded variables. ``drop`` stands in for drop_path."""
    tf, x = slim.tf, case.maps(size)
    kind = slim.utils.NasNetAReductionCell if case.wiring is REDUCTION else slim.utils.NasNetANormalCell
    cell = kind(case.filters, 1.0 if drop is None else 0.5, total_num_cells=4, total_training_steps=100)
    channels_last = [
        *(slim.layers.avg_pool2d, slim.layers.max_pool2d, slim.layers.conv2d),
        *(slim.layers.batch_norm, slim.layers.separable_conv2d),
        *(slim.utils.factorized_reduction, slim.utils.get_channel_index, slim.utils.get_channel_dim),
    ]
    with (
        tf.Graph().as_default(),
        slim.unfused_batch_norm(),
        mock.patch.object(slim.utils, "drop_path", drop or slim.utils.drop_path),
        slim.layers.arg_scope(slim.nasnet.nasnet_large_arg_scope()),
        slim.layers.arg_scope([slim.layers.batch_norm], is_training=False),
        slim.layers.arg_scope(channels_last, data_format="NHWC"),
    ):
        net, previous = (None if values is None else tf.constant(values) for values in x)
        output = cell(net, case.scope, stride=case.wiring.stride, prev_layer=previous, cell_num=1, current_step=50)
        variables = {v.op.name: seeded(v.op.name, v.shape.as_list()) for v in tf.global_variables()}
        feed = {v.initial_value: variables[v.op.name] for v in tf.global_variables()}
        with tf.Session() as session:
            session.run(tf.global_variables_initializer(), feed)
            return session.run(output), variables


def our_cell(case: Case, variables: dict[str, np.ndarray], epsilon: float = EPSILON) -> Cell:
    """Return our cell, filled strictly with slim's variables by the table."""
    previous_channels = None if case.previous == "none" else case.previous_channels

    def norm(channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=epsilon)

    cell = Cell(case.wiring, case.channels, previous_channels, case.filters, case.previous == "larger", norm)
    pairs = {pair.source: pair for pair in Table.load(case.table).pairs("tf", "torch")}
    state = {name: value for name, value in cell.state_dict().items() if name.endswith("num_batches_tracked")}
    for name, value in variables.items():
        pair = pairs[name]
        own = pair.target.removeprefix(f"{case.scope}.")
        state[own] = torch.from_numpy(relayout(value, pair.source_axes, pair.target_axes).copy())
    cell.load_state_dict(state)
    return cell.double().eval()


def distance(got: np.ndarray, want: np.ndarray) -> float:
    """Return the largest difference in standard deviations of ``want``."""
    assert got.shape == want.shape
    return float(np.abs(got - want).max() / want.std())


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
    """With every path that can be dropped tripled instead, the identities must not be."""
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
        cell.wiring = swapped(case.wiring)
        assert distance(run_ours(cell, case, size), want) > 1e-3
        cell.wiring = case.wiring
    monkeypatch.setattr(AvgPool2dSame, "forward", counted)
    assert distance(run_ours(cell, case, size), want) > 1e-3


@pytest.mark.parametrize("filters", [6, 7])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (6, 7), (7, 6), (9, 9)], ids=str)
def test_factorized_reduction_is_slims(slim: SimpleNamespace, size: tuple[int, int], filters: int) -> None:
    tf, x = slim.tf, np.random.default_rng(4).standard_normal((2, *size, 5))
    with (
        tf.Graph().as_default(),
        slim.unfused_batch_norm(),
        slim.layers.arg_scope(slim.nasnet.nasnet_large_arg_scope()),
        slim.layers.arg_scope([slim.layers.batch_norm], is_training=False),
        slim.layers.arg_scope([slim.layers.conv2d, slim.utils.factorized_reduction], data_format="NHWC"),
        tf.variable_scope("cell_0"),
        tf.Session() as session,
    ):
        output = slim.utils.factorized_reduction(tf.nn.relu(tf.constant(x)), filters, 2)
        variables = {v.op.name: seeded(v.op.name, v.shape.as_list()) for v in tf.global_variables()}
        session.run(
            tf.global_variables_initializer(), {v.initial_value: variables[v.op.name] for v in tf.global_variables()}
        )
        want = session.run(output)

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
    config = dataclasses.asdict(CONFIGS[name])
    slims = vars(getattr(slim.nasnet, f"{name}_config" if name == "cifar" else f"{name}_imagenet_config")())
    scope = inspect.signature(inspect.unwrap(getattr(slim.nasnet, f"nasnet_{name}_arg_scope"))).parameters
    for key, value in config.items():
        if key == "stem":
            continue
        assert value == (scope[key].default if key.startswith("batch_norm_") else slims[key]), key
    assert (slims["num_reduction_layers"], slims["use_bounded_activation"]) == (2, False)


@pytest.mark.parametrize("name", CONFIGS)
def test_cells_follow_each_other_as_in_slim(slim: SimpleNamespace, name: str) -> None:
    """Slim stacks its cells, each replaced by a map of its shape; ours are the same, drop path's schedule included."""
    tf, config = slim.tf, CONFIGS[name]
    calls: list[tuple[str, int, int, str | None, Any]] = []

    def call(self: Any, net: Any, scope: str, **how: Any) -> Any:
        self._cell_num = how["cell_num"]
        with mock.patch.object(slim.utils, "drop_path", lambda net, keep_prob: keep_prob):
            keep = self._apply_drop_path(net, current_step=step)
        previous = how["prev_layer"]
        filters = int(self._num_conv_filters * how["filter_scaling"])
        keep = 1.0 if keep is net else keep
        calls.append((scope, how["stride"], filters, None if previous is None else previous.op.name, keep))
        blocks = 4 if isinstance(self, slim.utils.NasNetAReductionCell) else 6
        sides = [-(-side // how["stride"]) for side in net.shape.as_list()[1:3]]
        return tf.zeros([1, *sides, blocks * filters], name=scope)

    with tf.Graph().as_default(), mock.patch.object(slim.utils.NasNetABaseCell, "__call__", call):
        step, size = tf.placeholder(tf.float32), recorded(f"nasnet_{name}").input_size
        with slim.layers.arg_scope(getattr(slim.nasnet, f"nasnet_{name}_arg_scope")()):
            getattr(slim.nasnet, f"build_nasnet_{name}")(tf.zeros([1, size, size, 3]), 10)
        with tf.Session() as session:
            tensors = [tf.convert_to_tensor(keep) for *_, keep in calls]
            keeps = {at: session.run(tensors, {step: at}) for at in (0, 1000, 200_000, 2_000_000)}

    table = Table.load(f"nasnet_{name}")
    torch_names = {e.where["tf"].split("/")[0]: e.where["torch"] for e in table.endpoints if "torch" in e.where}
    with torch.device("meta"):
        model = nasnet.NASNet(config, 10)
    outputs: list[str | None] = [None, "conv0"]
    for slims, ours in zip(calls, plan(config), strict=True):
        scope, stride, filters, previous, _ = slims
        assert torch_names.get(scope, scope) == ours.name
        assert (stride, filters) == (ours.wiring.stride, ours.filters)
        # What slim calls the stem's output is its batch norm.
        previous = (
            "conv0" if previous is not None and previous.split("/")[0] in ("conv0_bn", "l1_stem_bn") else previous
        )
        assert (previous and torch_names.get(previous, previous)) == outputs[ours.previous]
        outputs.append(ours.name)
    for at, probabilities in keeps.items():
        model.set_step(at)
        paths = [model.get_submodule(ours.name).drop_path for ours in plan(config)]
        assert [1 - path.progress * (1 - path.keep_prob) for path in paths] == pytest.approx(probabilities, rel=1e-6)


def test_training_drops_and_eval_is_deterministic() -> None:
    torch.manual_seed(0)
    model = nasnet.NASNet(dataclasses.replace(nasnet.CIFAR, num_cells=6, num_conv_filters=8), 10).eval()
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
    config = dataclasses.replace(nasnet.MOBILE, num_cells=24, num_conv_filters=8, drop_path_keep_prob=0.9)
    model = nasnet.NASNet(config, 3).eval()
    names = [step.name for step in plan(config)]
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
    assert result.translation.weights == "ema"
    assert result.translation.left_out == {"aux": 12}


# ---- other ports: the names are the same, the arithmetic is not always


def peer(name: str) -> Any:
    """Import one file of Cadene's pretrainedmodels, whose package imports torchvision and more for other networks."""
    package = importlib.util.find_spec("pretrainedmodels")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs tests/peers.txt")
    return module_of(Path(package.submodule_search_locations[0]) / "models" / f"{name}.py", f"cadene_{name}")


def fill(model: nn.Module, name: str) -> nn.Module:
    """Load the port of the golden's seeded weights strictly."""
    entries = translate(seeded_checkpoint(recorded(name)), find_arch(name), "tf", "torch").entries
    state = {key: torch.from_numpy(entry.load()) for key, entry in entries.items()}
    # Counters of steps, which TensorFlow does not have.
    counters = {key: value for key, value in model.state_dict().items() if key.endswith("num_batches_tracked")}
    model.load_state_dict(state | counters, strict=True)
    return model.eval()


def departures(model: nn.Module, name: str, without: str = "") -> dict[str, float]:
    """Return each endpoint's distance from the golden in float64, in the deviations of the original's values."""
    golden, table = recorded(name), Table.load(name)
    table = dataclasses.replace(table, endpoints=tuple(e for e in table.endpoints if e.name != without))
    reference, pictures = GoldenRunner(golden, table), golden_pictures(golden.input_size).astype(np.float64)
    got, want = reference.probe(TorchRunner(model, table)(pictures)), reference(pictures)
    return {key: distance(value, want[key]) for key, value in got.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("file", "builder"), [("nasnet", "NASNetALarge"), ("nasnet_mobile", "NASNetAMobile")])
def test_cadenes_take_the_port_strictly_and_compute_the_same(file: str, builder: str) -> None:
    name = {"NASNetALarge": "nasnet_large", "NASNetAMobile": "nasnet_mobile"}[builder]
    model = fill(getattr(peer(file), builder)(num_classes=1001), name)
    assert max(departures(model, name, without="global_pool").values()) < 1e-12  # not flattened there


@pytest.mark.slow
def test_timms_large_takes_the_port_strictly_but_counts_padding() -> None:
    torchvision_stand_in.install()
    timm = pytest.importorskip("timm")
    model = fill(timm.create_model("nasnetalarge", num_classes=1001), "nasnet_large")
    before = departures(model, "nasnet_large")
    assert before["Logits"] == pytest.approx(0.040, abs=0.0005)
    assert next(name for name, apart in before.items() if apart > 1e-9) == "Stem"

    # Its stride-2 average pools pad first, so that zeros are counted.
    for parent in list(model.modules()):
        for key, pool in parent.named_children():
            if type(pool).__name__ == "AvgPool2dSame":
                setattr(parent, key, AvgPool2dSame(3, stride=2))
    assert max(departures(model, "nasnet_large").values()) < 1e-12
