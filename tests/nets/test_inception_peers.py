"""The Inception networks beside timm and keras.applications: names by strict loading, and by how much they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from helpers import torchvision_stand_in
from porter import load
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.parity.compare import compare
from porter.runners.golden import GoldenRunner, golden_images
from porter.runners.runner import Runner, run_all
from porter.runners.torch import TorchRunner

pytestmark = pytest.mark.usefixtures("drawn_once")
V3, V4, RESNET = "inception_v3@150", "inception_v4@150", "inception_resnet_v2@139"


@pytest.fixture(scope="module")
def timm() -> Any:
    torchvision_stand_in.install()
    return pytest.importorskip("timm")


def ported(golden: str, framework: str) -> Checkpoint:
    seeds = seeded_checkpoint(recorded(golden))
    return translate(seeds, find_arch(recorded(golden).model), "tf", framework).as_checkpoint(seeds)


def timms(timm: Any, golden: str) -> nn.Module:
    """Return timm's network with the port of ``golden``, loaded strictly but for PyTorch's counters of batches."""
    model: nn.Module = timm.create_model(recorded(golden).model, num_classes=1001)
    state = {name: value for name, value in model.state_dict().items() if name.endswith("num_batches_tracked")}
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in ported(golden, "torch").items()}
    model.load_state_dict(state | tensors)
    return model.eval()


def assert_the_same(golden: str, runner: Runner, table: Table, endpoints: int) -> None:
    pictures, reference = golden_images(recorded(golden).input_size), GoldenRunner(recorded(golden), table)
    got = {p: reference.probes.reduce(run) for p, run in run_all(runner, pictures).items()}
    report = compare(got, run_all(reference, pictures), table.logits)
    assert all(row.ok for row in report.rows), str(report)
    assert set(report.missing) <= {"AuxLogits", "PreLogits", "PreLogitsFlatten"}  # dropout has another name, or none
    assert len(report.rows) == endpoints


def divergence(golden: str, model: nn.Module) -> float:
    """Return the largest difference of the logits, in standard deviations of the original's."""
    images = torch.from_numpy(golden_images(recorded(golden).input_size).transpose(0, 3, 1, 2).astype(np.float64))
    want = recorded(golden).values()["logits_float64"]
    with torch.inference_mode():
        return float(np.abs(model.double()(images).numpy() - want).max() / want.std())


@pytest.mark.parametrize(
    ("name", "options"),
    [("inception_v3", {"aux_logits": True}), ("inception_v4", {}), ("inception_resnet_v2", {})],
)
def test_timm_has_the_ports_names_and_shapes(timm: Any, name: str, options: dict[str, bool]) -> None:
    with torch.device("meta"):
        want = timm.create_model(name, num_classes=1001, **options).state_dict()
        ours = load(name, "torch", aux=bool(options)).state_dict()
    assert {name: value.shape for name, value in want.items()} == {name: value.shape for name, value in ours.items()}


def test_timms_v3_counts_the_padding_of_its_average_pools(timm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """microsoft/MMdnn#628. docs/zoo.md has this number."""
    model, pool = timms(timm, V3), F.avg_pool2d
    assert round(divergence(V3, model), 3) == 0.953
    monkeypatch.setattr(F, "avg_pool2d", lambda *a, **options: pool(*a, **options, count_include_pad=False))
    assert divergence(V3, model) < 1e-12


@pytest.mark.slow
def test_timms_resnet_computes_the_same(timm: Any) -> None:
    assert divergence(RESNET, timms(timm, RESNET)) < 1e-12


@pytest.mark.parametrize("golden", [V3, pytest.param(RESNET, marks=pytest.mark.slow)])
def test_keras_applications_computes_the_same(golden: str) -> None:
    keras: Any = pytest.importorskip("keras")
    from porter.nets.build_keras import fill
    from porter.runners.keras import KerasRunner

    keras.utils.clear_session()  # so that it counts its layers from the first one
    arch, size = find_arch(recorded(golden).model), recorded(golden).input_size
    builder = {V3: keras.applications.InceptionV3, RESNET: keras.applications.InceptionResNetV2}[golden]
    model = builder(weights=None, classes=1001, classifier_activation=None, input_shape=(size, size, 3))
    table = Table.load(arch.table)
    fill(model, table, ported(golden, "keras"))
    assert_the_same(golden, KerasRunner(model, table), table, {V3: 21, RESNET: 15}[golden])


@pytest.mark.slow
def test_timms_v4_computes_the_same_at_every_endpoint(timm: Any) -> None:
    table = Table.load("inception_v4")
    assert_the_same(V4, TorchRunner(timms(timm, V4), table), table, 25)
