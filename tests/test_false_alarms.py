"""Correct ports are never failed: the benchmark's shorter pass."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
false_alarms = importlib.import_module("false_alarms")
MODEL = "mobilenet_v1_0.25_128"


def test_no_picture_of_any_setting_raises_an_alarm(tf: Any) -> None:
    settings = [*false_alarms.SETTINGS]
    for setting, failed, exact, rounding in false_alarms.alarms(MODEL, 8, settings):
        assert failed == 0, (str(setting), exact, rounding)
        assert 0 < exact < 1e-11


def test_the_benchmark_would_count_one(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from porter.nets.torch import mobilenet_v1

    monkeypatch.setattr(mobilenet_v1, "EPSILON", 1.01e-3)
    assert [failed for _, failed, _, _ in false_alarms.alarms(MODEL, 2, [false_alarms.Setting("torch", 1)])] == [2]


def test_the_pictures_differ() -> None:
    pictures = false_alarms.random_pictures(8, 32)
    assert pictures.min() >= -1
    assert pictures.max() <= 1
    assert len({picture.tobytes() for picture in pictures}) == 8
    assert np.isfinite(pictures).all()
