"""What becomes of names, heads and dtypes on the way, and of --out FOLDER/."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from conftest import Saver, seeded_variables, training_checkpoint
from porter import data, load, port
from porter.casting import bfloat16_bits
from porter.checkpoint import open_checkpoint
from porter.errors import MappingError, PorterError
from porter.head import Head
from porter.naming import find_prefix

NAME = "mobilenet_v1_0.25_128"
HEAD = "MobilenetV1/Logits/Conv2d_1c_1x1"


def prefixed(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {prefix + name: value for name, value in tensors.items()}


@pytest.mark.parametrize("prefix", ["import/", "module/", "FeatureExtractor/", "my/own/scope/"])
@pytest.mark.parametrize("training", [False, True])
def test_a_prefix_is_found_and_said(save: Saver, tmp_path: Path, prefix: str, training: bool) -> None:
    tensors = training_checkpoint() if training else seeded_variables()
    plain = port(NAME, checkpoint=save(tensors), out=tmp_path / "plain.safetensors")
    found = port(NAME, checkpoint=save(prefixed(prefix, tensors), "p.ckpt"), out=tmp_path / "found.safetensors")
    assert (plain.translation.prefix, found.translation.prefix) == ("", prefix)
    ours, want = load_file(tmp_path / "found.safetensors"), load_file(tmp_path / "plain.safetensors")
    assert all(np.array_equal(ours[name], want[name]) for name in want)


def test_a_prefixed_checkpoint_is_verified(tf: Any, save: Saver) -> None:
    result = port(NAME, checkpoint=save(prefixed("import/", training_checkpoint())), verify=True)
    assert result, str(result.verification and result.verification.ports)


def test_two_copies_are_not_chosen_between_silently(save: Saver) -> None:
    tensors = prefixed("student/", seeded_variables()) | prefixed("teacher/", seeded_variables())
    prefix = save(tensors)
    with pytest.raises(MappingError, match=r"there 2 times, behind 'student/', 'teacher/': choose with --prefix"):
        port(NAME, checkpoint=prefix)
    with pytest.raises(MappingError, match=r"137 variables .* neither mapped nor ignored"):
        port(NAME, checkpoint=prefix, prefix="student/")
    chosen = port(NAME, checkpoint=prefix, prefix="student/", ignore=["teacher/*"])
    assert chosen.translation.prefix == "student/"
    with pytest.raises(MappingError, match="lacks 137 of the 137 tensors"):
        port(NAME, checkpoint=prefix, prefix="nobody/")


def test_a_prefix_is_what_most_names_stand_behind() -> None:
    names = ["a/w", "a/b", "c/w"]
    assert find_prefix(["x/a/w", "x/a/b", "c/w"], names) == "x/"
    assert find_prefix(["nothing"], names) == ""


def test_no_head_ports_the_backbone_alone(tf: Any, save: Saver, tmp_path: Path) -> None:
    out = tmp_path / "backbone.safetensors"
    result = port(NAME, checkpoint=save(seeded_variables()), out=out, head=Head(none=True), verify=True)
    assert result, str(result.verification and result.verification.ports)
    assert result.verification is not None
    assert result.verification.ports["torch"].rows[-1].endpoint == "AvgPool_1a"
    assert result.translation.head_note == "left out (1001 classes)"
    assert not [name for name in load_file(out) if "classifier" in name]
    features = load(NAME, "torch", weights=out)
    assert features(torch.zeros(2, 3, 128, 128)).shape == (2, 256)
    assert load(NAME, "torch", weights=out, num_classes=5)(torch.zeros(2, 3, 128, 128)).shape == (2, 5)
    assert torch.equal(load(NAME, "torch", weights=out, num_classes=5).conv_stem.weight, features.conv_stem.weight)


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_a_fresh_head_has_the_classes_asked_for(tf: Any, save: Saver, tmp_path: Path, framework: str) -> None:
    out = tmp_path / "fresh.safetensors"
    options: dict[str, Any] = {"target": framework, "head": Head(fresh=5), "verify": True}
    result = port(NAME, checkpoint=save(seeded_variables()), out=out, **options)
    assert result
    assert result.translation.head_note == "fresh, 5 classes, to be trained; the checkpoint's had 1001"
    stored = load_file(out)
    (bias,) = (value for name, value in stored.items() if value.shape == (5,))
    assert not bias.any()
    assert load(NAME, framework, weights=out) is not None


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_classes_1000_drops_the_background_and_nothing_else(
    tf: Any, save: Saver, tmp_path: Path, framework: str
) -> None:
    out = tmp_path / "1000.safetensors"
    head = Head(drop_background=True)
    result = port(NAME, target=framework, checkpoint=save(seeded_variables()), out=out, head=head, verify=True)
    assert result, str(result.verification and result.verification.ports)
    assert result.verification is not None
    assert [row.endpoint for row in result.verification.ports[framework].rows][-2:] == ["Logits", "Predictions"]
    assert result.translation.num_classes == 1000
    original = seeded_variables()[f"{HEAD}/biases"]
    (bias,) = (value for name, value in load_file(out).items() if value.shape == (1000,))
    assert np.array_equal(bias, original[1:])
    labels = data.labels("imagenet_1001")
    shown = {label for picture in result.verification.pictures for label, _ in picture.reference}
    assert shown <= set(labels[1:])


def test_a_head_without_background_keeps_its_classes(save: Saver) -> None:
    tensors = seeded_variables()
    tensors[f"{HEAD}/weights"] = np.ones((1, 1, 256, 5), np.float32)
    tensors[f"{HEAD}/biases"] = np.ones(5, np.float32)
    with pytest.raises(PorterError, match=r"a head of 5 classes of .* does not have: leave it out"):
        port(NAME, checkpoint=save(tensors), head=Head(drop_background=True))
    with pytest.raises(PorterError, match="exclude each other: take one of them"):
        Head(none=True, drop_background=True)
    with pytest.raises(PorterError, match="is no number of classes"):
        Head(fresh=0)


@pytest.mark.parametrize(
    ("framework", "suffix"), [("torch", ".safetensors"), ("torch", ".pth"), ("keras", ".keras"), ("keras", ".h5")]
)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_are_rounded_to_nearest(save: Saver, tmp_path: Path, framework: str, suffix: str, dtype: str) -> None:
    out = tmp_path / f"small{suffix}"
    checkpoint = save(seeded_variables())
    port(NAME, target=framework, checkpoint=checkpoint, out=out, dtype=dtype)
    full = port(NAME, target=framework, checkpoint=checkpoint)
    stored = open_checkpoint(out)
    for name, entry in full.translation.entries.items():
        want = entry.load().astype(np.float16 if dtype == "float16" else ml_dtypes.bfloat16)
        assert np.array_equal(stored[name].astype(np.float32), want.astype(np.float32)), name


def test_bfloat16_rounds_as_ml_dtypes_does() -> None:
    edges = np.array([0, -0.0, 1, 1.00390625, 1.01171875, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan, 1e-45], np.float32)
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    values = np.concatenate([edges, bits.view(np.float32)])
    got = (bfloat16_bits(values).astype(np.uint32) << 16).view(np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        want = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    assert np.array_equal(got, want, equal_nan=True)


def test_a_folder_has_weights_facts_labels_and_a_card(tf: Any, save: Saver, tmp_path: Path) -> None:
    out, prefix = tmp_path / "mobilenet", save(training_checkpoint())
    result = port(NAME, checkpoint=prefix, out=f"{out}/", verify=True)
    assert result.out == out
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "labels.txt", "README.md"}
    config = json.loads((out / "config.json").read_text())
    index = prefix.with_name("model.ckpt.index")
    assert config["source"]["model.ckpt.index"] == hashlib.sha256(index.read_bytes()).hexdigest()
    assert set(config["source"]) == {"model.ckpt.index", "model.ckpt.data-00000-of-00001"}
    assert (config["model"], config["weights"], config["num_classes"]) == (NAME, "ema", 1001)
    assert config["parity"]["ok"]
    assert config["parity"]["verdict"].startswith("parity holds at 30 endpoints")
    assert (out / "labels.txt").read_text().splitlines() == data.labels("imagenet_1001")
    card = (out / "README.md").read_text()
    assert "the exponential moving averages" in card
    assert "274 × optimizer slot" in card
    with safe_open(out / "model.safetensors", "numpy") as file:
        metadata = file.metadata()
    assert json.loads(metadata["source"]) == config["source"]
    assert metadata["preprocessing"] == "inception"
    assert load(NAME, "torch", weights=out)(torch.zeros(1, 3, 128, 128)).shape == (1, 1001)


def test_a_folder_is_renewed_whole_and_a_strangers_is_left_alone(save: Saver, tmp_path: Path) -> None:
    out, prefix = tmp_path / "mobilenet", save(seeded_variables())
    port(NAME, checkpoint=prefix, out=f"{out}/")
    port(NAME, checkpoint=prefix, out=f"{out}/", head=Head(none=True))
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(PorterError, match=r"holds other files: name a new folder\n  thesis.tex"):
        port(NAME, checkpoint=prefix, out=f"{out}/")
    assert (out / "thesis.tex").read_text() == "years of work"
