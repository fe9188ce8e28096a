"""Where float32 alone exceeds its bound, plain kernels decide: a processor's own may round more than the original's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from porter import load
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.nets.build import build
from porter.parity.compare_runs import Subject, compare_runs
from porter.runners.golden import GoldenRunner, golden_images
from porter.runners.runner import Runner
from porter.runners.torch import TorchRunner

NAME = "mobilenet_v1_0.25_128"
ARCH, TABLE, GOLDEN = find_arch(NAME), Table.load("mobilenet_v1"), recorded(NAME)


@pytest.fixture(scope="module")
def network() -> Any:
    seeds = seeded_checkpoint(GOLDEN)
    return build(ARCH, "torch", translate(seeds, ARCH, "tf", "torch").as_checkpoint(seeds))


class Rough(TorchRunner):
    """Adds ``times`` the original's own rounding to the float32 logits, but not on plain kernels."""

    times = 0.0

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = super().__call__(images)
        if images.dtype == np.float32:
            stored = GOLDEN.values()
            rounding = stored["logits_float32"] - stored["logits_float64"]
            outputs["Logits"] = outputs["Logits"] + self.times * rounding.reshape(outputs["Logits"].shape)
        return outputs


def report_of(runner: Runner) -> Any:
    images = golden_images(ARCH.input_size)
    return compare_runs({"torch": runner}, GoldenRunner(GOLDEN, TABLE), images, Subject(ARCH, TABLE))["torch"]


def test_plain_kernels_decide_and_the_report_says_so(network: Any) -> None:
    rough = Rough(network, TABLE)
    rough.times = 6.0
    report = report_of(rough)
    assert report, str(report)
    (note,) = (note for note in report.notes if "plain kernels" in note)
    assert "times as much as the original at Logits (bound 4)" in note
    assert 1 < max(row.rounding_rms for row in report.rows) <= 4


def test_they_do_not_where_more_than_rounding_is_wrong(network: Any) -> None:
    rough = Rough(network, TABLE)
    rough.times = 60.0
    assert not report_of(rough)


def test_they_do_not_where_they_round_as_much(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rough = Rough(network, TABLE)
    rough.times = 6.0
    as_rough = Rough(network, TABLE, onednn=False)
    as_rough.times = 5.0
    monkeypatch.setattr(Rough, "plain", property(lambda runner: as_rough if runner.onednn else None))
    report = report_of(rough)
    assert not report
    assert "times the original's own rounding in float32" in str(report)


def test_a_network_runs_without_onednn_and_its_setting_stays() -> None:
    seen = []
    network = load(NAME, "torch")
    network.register_forward_hook(lambda *_: seen.append(torch.backends.mkldnn.enabled))
    runner = TorchRunner(network, TABLE)
    assert runner.plain is not None
    assert runner.plain.plain is None
    for each in (runner, runner.plain):
        each(np.zeros((1, 128, 128, 3), np.float32))
    assert seen == [True, False]
    assert torch.backends.mkldnn.enabled
