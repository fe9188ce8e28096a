"""Correct ports never fail: the benchmark's shorter pass."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

false_alarms = importlib.import_module("false_alarms")
MODEL = "mobilenet_v1_0.25_128"


@pytest.mark.slow
def test_no_image_of_any_setting_raises_an_alarm(tf: Any) -> None:
    # The threads of Keras' TensorFlow are the process's, whatever is asked for.
    settings = [setting for setting in false_alarms.SETTINGS if setting.framework == "torch" or setting.threads == 1]
    for setting, failed, exact, rounding in false_alarms.alarms(MODEL, 8, settings):
        assert failed == 0, (str(setting), exact, rounding)
        assert 0 < exact < 1e-11


def test_the_benchmark_would_count_one(tf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from porter.nets.mobilenet_v1 import torch as mobilenet_v1

    monkeypatch.setattr(mobilenet_v1, "EPSILON", 1.01e-3)
    assert [failed for _, failed, _, _ in false_alarms.alarms(MODEL, 2, [false_alarms.Setting("torch", 1, 1)])] == [2]


def test_the_pages_table_is_the_benchmarks() -> None:
    """Every model and setting has 100 images, no alarm, and differences that are measured and allowed."""
    lines = false_alarms.pages.written("verify.md", "false_alarms.py")
    assert lines[:2] == list(false_alarms.HEAD)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    wanted = {(model, str(setting)) for model in false_alarms.MODELS for setting in false_alarms.SETTINGS}
    assert {(row[0], row[1]) for row in rows} == wanted
    assert len(rows) == len(wanted) == 27
    for _, _, images, failed, exact, rounding in rows:
        assert (images, failed) == ("100", "0")
        assert 0 < float(exact) < 1e-9
        assert 0 < float(rounding) < 4


def test_the_images_differ() -> None:
    images = false_alarms.random_images(8, 32)
    assert images.min() >= -1
    assert images.max() <= 1
    assert len({image.tobytes() for image in images}) == 8
    assert np.isfinite(images).all()
