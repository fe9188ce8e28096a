"""Tensors that one dialect has and another lacks: created there, and dropped only where they change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from porter.catalog.models import find_arch
from porter.errors import MappingError
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.roles import SHADOW_SUFFIX
from porter.mapping import shapes
from porter.mapping import table as tables
from porter.mapping.head import Head
from porter.mapping.table import Table
from porter.mapping.translate import Options, Translation, translate

# As in slim's Inception, TensorFlow's batch norm has no gamma and its convolution no bias. timm's classifier is a dense
# layer, where TensorFlow has a 1x1 convolution.
TABLE = """
dialects = ["tf", "torch"]

[[layer]]
id    = "conv"
kind  = "conv_bias"
lacks = { tf = ["bias"] }
tf    = "conv"
torch = "conv"

[[layer]]
id    = "norm"
kind  = "batch_norm"
lacks = { tf = ["gamma"] }
tf    = "conv/BatchNorm"
torch = "norm"

[[layer]]
id    = "classifier"
kind  = "conv"
head  = true
tf    = "logits"
torch = "logits"

[[endpoint]]
name   = "Logits"
logits = true
tf     = "logits"
torch  = "logits"
"""

TIMM = """
[dialect]
framework = "torch"

[layer]
conv       = "stem"
norm       = { name = "bn", lacks = ["gamma"] }
classifier = { name = "fc", kind = "classifier" }
"""

VARIABLES = {
    "conv/weights": (3, 3, 2, 4),
    "conv/BatchNorm/beta": (4,),
    "conv/BatchNorm/moving_mean": (4,),
    "conv/BatchNorm/moving_variance": (4,),
    "logits/weights": (1, 1, 4, 5),
}
ARCH = replace(find_arch("mobilenet_v1"), name="small", table="small", num_classes=5)


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.toml").write_text(TABLE, encoding="utf-8")
    (tmp_path / "small.timm.toml").write_text(TIMM, encoding="utf-8")
    monkeypatch.setattr(tables, "table_path", lambda name: tmp_path / f"{name}.toml")
    monkeypatch.setattr(
        shapes, "recorded", lambda name: SimpleNamespace(all_variables=VARIABLES, num_classes=5, path="golden/small")
    )


def checkpoint(tensors: dict[str, np.ndarray]) -> Checkpoint:
    entries = {name: Entry(value.shape, value.dtype, lambda v=value: v) for name, value in tensors.items()}
    return Checkpoint(Path("given.npz"), "arrays", entries)


def original(dtype: str = "float32", classes: int = 5) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    found = {name: draw.standard_normal(shape).astype(dtype) for name, shape in VARIABLES.items()}
    found["logits/weights"] = draw.standard_normal((1, 1, 4, classes)).astype(dtype)
    return found


def translated(tensors: dict[str, np.ndarray], source: str, target: str, **options: Any) -> Translation:
    return translate(checkpoint(tensors), ARCH, source, target, Options(**options))


def values(translation: Translation) -> dict[str, np.ndarray]:
    return {name: entry.load() for name, entry in translation.entries.items()}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tensor_that_the_source_lacks_is_created(dtype: str) -> None:
    translation = translated(original(dtype), "tf", "torch")
    got = values(translation)
    names = ["conv.weight", "conv.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"]
    assert list(got) == [*names, "logits.weight"]
    assert np.array_equal(got["conv.bias"], np.zeros(4, dtype))
    assert np.array_equal(got["norm.weight"], np.ones(4, dtype))
    assert {value.dtype for value in got.values()} == {np.dtype(dtype)}
    for name, entry in translation.entries.items():
        assert (entry.shape, entry.dtype) == (got[name].shape, got[name].dtype)


@pytest.mark.parametrize("target", ["torch", "timm"])
def test_there_and_back_is_exact(target: str) -> None:
    want = original()
    back = values(translated(values(translated(want, "tf", target)), target, "tf"))
    assert back.keys() == want.keys()
    assert all(np.array_equal(back[name], want[name]) for name in want)


@pytest.mark.parametrize(("name", "fill"), [("norm.weight", 1), ("conv.bias", 0)])
@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_a_tensor_that_the_target_lacks_must_have_its_fill(name: str, fill: int, value: float) -> None:
    tensors = values(translated(original(), "tf", "torch"))
    tensors[name] = tensors[name].copy()
    tensors[name][2] = value
    role = {"norm.weight": "gamma", "conv.bias": "bias"}[name]
    complaint = f"given.npz: {name} must be {fill} everywhere, because tf has no {role} there, but 1 of its 4 values"
    with pytest.raises(MappingError, match=complaint):
        translated(tensors, "torch", "tf")


def test_the_values_that_are_taken_are_the_ones_compared() -> None:
    tensors = values(translated(original(), "tf", "torch"))
    averages = {name + SHADOW_SUFFIX: value for name, value in tensors.items()}
    averages["norm.weight" + SHADOW_SUFFIX] = np.full(4, 1.5, np.float32)
    assert translated(tensors | averages, "torch", "tf", average="raw").entries
    with pytest.raises(MappingError, match=f"norm.weight{SHADOW_SUFFIX} must be 1 everywhere"):
        translated(tensors | averages, "torch", "tf", average="ema")


def test_a_tensor_that_the_target_lacks_must_be_there_and_is_taken() -> None:
    tensors = values(translated(original(), "tf", "torch"))
    found = translated(tensors, "torch", "tf")
    assert found.taken["norm.weight"] == "norm.weight"
    assert found.roles == {"variable": 7}
    del tensors["norm.weight"]
    with pytest.raises(MappingError, match=r"lacks 1 of the 7 tensors of small:\n  norm.weight"):
        translated(tensors, "torch", "tf")


def test_a_layer_may_have_another_kind_in_a_dialect() -> None:
    tensors = original()
    got = values(translated(tensors, "tf", "timm"))
    assert np.array_equal(got["fc.weight"], tensors["logits/weights"][0, 0].T)
    assert np.array_equal(got["fc.bias"], np.zeros(5, np.float32))
    assert "bn.weight" not in got
    assert np.array_equal(values(translated(got, "timm", "torch"))["logits.weight"][:, :, 0, 0], got["fc.weight"])


def test_a_created_tensor_has_the_checkpoints_own_classes() -> None:
    found = translated(original(classes=7), "tf", "timm")
    assert (found.num_classes, found.entries["fc.bias"].shape) == (7, (7,))


def test_a_headless_translation_creates_no_head_and_drops_any() -> None:
    assert not [name for name in translated(original(), "tf", "timm", headless=True).entries if "fc" in name]
    tensors = values(translated(original(), "tf", "timm"))
    tensors["fc.bias"] = np.ones(5, np.float32)
    with pytest.raises(MappingError, match=r"fc.bias must be 0 everywhere"):
        translated(tensors, "timm", "tf")
    assert "logits/weights" not in translated(tensors, "timm", "tf", headless=True).entries


def test_a_fresh_head_has_the_targets_own_tensors() -> None:
    headless = translated(original(), "tf", "timm", headless=True)
    fresh = Head(num_classes=3).apply(headless, ARCH, "timm")
    assert {name: entry.shape for name, entry in fresh.entries.items() if "fc" in name} == {
        "fc.weight": (3, 4),
        "fc.bias": (3,),
    }


def test_shapes_follow_the_original_where_it_lacks_the_tensor() -> None:
    expected = shapes.expected_shapes(ARCH, Table.load("small"), "timm")
    assert expected == {
        "stem.weight": (4, 2, 3, 3),
        "stem.bias": (4,),
        "bn.bias": (4,),
        "bn.running_mean": (4,),
        "bn.running_var": (4,),
        "fc.weight": (5, 4),
        "fc.bias": (5,),
    }
    wrong = values(translated(original(), "tf", "timm")) | {"stem.bias": np.zeros(3, np.float32)}
    with pytest.raises(MappingError, match=r"stem.bias has shape \(3,\), small expects \(4,\)"):
        translated(wrong, "timm", "tf")
