"""Implausible weights are reported, by name and number, wherever they are read."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import Saver, seeded_variables
from porter import load, port
from porter.cli.main import main
from porter.formats.suspicious import failed_check

MODEL = "mobilenet_v1_0.25_128"
MEAN, VARIANCE = (f"MobilenetV1/Conv2d_0/BatchNorm/moving_{name}" for name in ("mean", "variance"))
STEM = "MobilenetV1/Conv2d_0/weights"


@pytest.fixture
def broken(save: Saver) -> Path:
    """A training that broke down: infinities and NaNs in one weight, two variances below zero, one weight flipped."""
    variables = {name: value.copy() for name, value in seeded_variables().items()}
    variables[STEM].flat[:3] = np.nan, np.inf, -np.inf
    variables[VARIANCE][2:4] *= -1
    variables[MEAN][:] = -1
    bits = variables["MobilenetV1/Conv2d_1_pointwise/weights"].reshape(-1)[5:6].view(np.uint32)
    bits ^= 1 << 30
    return save(variables)


TOLD = [
    f"{STEM} has 3 of 216 values not finite: look at its training, or copy or download it again",
    f"{VARIANCE} has 2 of 8 values below zero, where variances belong: look at its training, or copy",
    "MobilenetV1/Conv2d_1_pointwise/weights has values up to ",
]


def test_a_port_reports_failed_checks(broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [MODEL, "--from", "tf", "--to", "torch", "--checkpoint", str(broken), "--out"]
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, str(tmp_path / "m.safetensors"), *more])
        assert ended.value.code == 0
        out = capsys.readouterr().out
        found = (
            json.loads(out)["suspicious"]
            if more
            else [line for line in out.splitlines() if line.startswith("  suspicious")]
        )
        assert len(found) == 3
        for sentence in TOLD:
            assert sum(sentence in line for line in found) == 1, sentence


def test_a_port_without_out_reports_them_too_and_says_that_nothing_was_written(
    broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(port(MODEL, checkpoint=broken).as_dict()["suspicious"]) == 3
    with pytest.raises(SystemExit) as ended:
        main([MODEL, "--from", "tf", "--to", "torch", "--checkpoint", str(broken)])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert all(sentence in out for sentence in TOLD)
    assert out.endswith("nothing was written: add --out FILE, such as --out model.safetensors\n")


@pytest.fixture
def untouched(save: Saver) -> Path:
    """A training that forgot UPDATE_OPS (tensorflow#11965, models#391): first statistics in every batch norm."""
    first = {"moving_mean": 0, "moving_variance": 1}
    variables = {
        name: np.full_like(value, first[name.split("/")[-1]]) if name.split("/")[-1] in first else value
        for name, value in seeded_variables().items()
    }
    return save(variables)


NEVER = "all 54 moving means and variances are still 0 and 1: the training never updated them (UPDATE_OPS), so run its"


def test_statistics_that_were_never_updated_are_reported_in_every_dialect(untouched: Path, tmp_path: Path) -> None:
    found = port(MODEL, checkpoint=untouched, out=tmp_path / "m.safetensors")
    assert [sentence[: len(NEVER)] for sentence in found.as_dict()["suspicious"]] == [NEVER]
    port(MODEL, target="keras", checkpoint=untouched, out=tmp_path / "k.safetensors")
    for source, name in (("torch", "m.safetensors"), ("keras", "k.safetensors")):
        again = port(MODEL, source, "tf", checkpoint=tmp_path / name)
        assert [sentence[: len(NEVER)] for sentence in again.as_dict()["suspicious"]] == [NEVER]
    with pytest.warns(UserWarning, match=r"all 54 moving means and variances are still 0 and 1"):
        load(MODEL, weights=tmp_path / "m.safetensors")


@pytest.mark.parametrize("leaf", ["moving_mean", "moving_variance"])
def test_one_updated_statistic_is_training_enough(untouched: Path, save: Saver, leaf: str) -> None:
    from porter.formats.open import open_checkpoint

    variables = dict(open_checkpoint(untouched))
    name = f"MobilenetV1/Conv2d_5_depthwise/BatchNorm/{leaf}"
    variables[name] = variables[name] + np.float32(1e-6)
    assert port(MODEL, checkpoint=save(variables, "other.ckpt")).as_dict()["suspicious"] == []


def test_a_network_warns_of_failed_checks(broken: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "m.safetensors"
    port(MODEL, checkpoint=broken, out=out)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(MODEL, weights=out)
    told = [str(warning.message) for warning in caught]
    assert f"{out}: bn1.running_var has 2 of 8 values below zero, where variances belong" in " ".join(told)
    assert len(told) == 3


def test_the_models_pass_every_check(save: Saver, tmp_path: Path) -> None:
    result = port(MODEL, checkpoint=save(seeded_variables()), out=tmp_path / "m.safetensors")
    assert result.as_dict()["suspicious"] == []


@pytest.mark.parametrize(
    ("values", "variance", "told"),
    [
        (np.float16([np.inf]), False, "1 of 1 values not finite"),
        (np.float32([1, np.nan, 2]), True, "1 of 3 values not finite"),
        (np.float64([-1e9, 0]), False, "values up to 1e+09, which no training produces"),
        (np.float32([-1e-9]), True, "1 of 1 values below zero, where variances belong"),
        (np.float32([-1e-9]), False, None),
        (np.float32([0, 1e4]), True, None),
        (np.float32([]), True, None),
        (np.int32([-(2**31)]), True, None),
    ],
    ids=str,
)
def test_each_check(values: np.ndarray, variance: bool, told: Any) -> None:
    assert failed_check(values, variance) == told
