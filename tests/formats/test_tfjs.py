"""TensorFlow.js' shards are read with their quantization undone; the manifest may name no other files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.foreign import quantized, write_shards
from porter.errors import FormatError
from porter.formats.open import open_checkpoint

NOISE = np.random.default_rng(3)
WEIGHTS = {
    "conv1/kernel": NOISE.normal(size=(3, 3, 3, 4)).astype(np.float32),
    "conv1/bias": NOISE.normal(size=4).astype(np.float32),
    "steps": np.arange(6, dtype=np.int32).reshape(2, 3),
    "flags": np.array([True, False]),
}


def manifest(folder: Path, dtype: str = "", shard: int = 1 << 22) -> Path:
    """Write the weights as face-api.js keeps them: a manifest alone, without a topology."""
    path = folder / "net-weights_manifest.json"
    path.write_text(json.dumps(write_shards(folder, WEIGHTS, dtype, shard)))
    return path


@pytest.mark.parametrize("shard", [1 << 22, 61])
def test_shards_of_any_size(tmp_path: Path, shard: int) -> None:
    checkpoint = open_checkpoint(manifest(tmp_path, shard=shard))
    assert checkpoint.keys() == WEIGHTS.keys()
    assert all(np.array_equal(checkpoint[name], values) for name, values in WEIGHTS.items())
    assert all(checkpoint[name].dtype == values.dtype for name, values in WEIGHTS.items())
    assert len(checkpoint.files) == 1 + len(list(tmp_path.glob("*.bin")))


@pytest.mark.parametrize(("dtype", "error"), [("uint8", 1 / 255), ("uint16", 1 / 65535), ("float16", 1e-3)])
def test_quantization_is_undone(tmp_path: Path, dtype: str, error: float) -> None:
    checkpoint = open_checkpoint(manifest(tmp_path, dtype))
    values, want = checkpoint["conv1/kernel"], WEIGHTS["conv1/kernel"]
    assert values.dtype == np.float32
    assert 0 < np.abs(values - want).max() < error * np.ptp(want)
    stored, facts = quantized(want, dtype)
    exact = stored.astype(np.float64) * facts.get("scale", 1) + facts.get("min", 0)
    assert np.array_equal(values, exact.astype(np.float32))
    assert checkpoint.notes == (
        f"2 weights are stored as {dtype}, and taken as the floats that TensorFlow.js computes from them",
    )


def test_a_shard_that_is_cut_or_missing(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    (shard,) = tmp_path.glob("*.bin")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(FormatError, match=r"lists tensors of 474 bytes, but group1-shard1of1.bin has 473"):
        open_checkpoint(path)
    shard.unlink()
    with pytest.raises(FormatError, match=r"group1-shard1of1.bin does not exist: it holds weights of"):
        open_checkpoint(path)


@pytest.mark.parametrize("name", ["../w.bin", "/etc/passwd", "a/../../w.bin", "..\\w.bin", "C:w.bin", ""])
def test_no_file_outside_the_folder_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(4))
    folder = tmp_path / "model"
    folder.mkdir()
    weights = [{"name": "w", "shape": [1], "dtype": "float32"}]
    (folder / "model.json").write_text(json.dumps([{"paths": [name], "weights": weights}]))
    with pytest.raises(FormatError, match="outside its folder: do not trust it"):
        open_checkpoint(folder / "model.json")


def test_a_folder_of_shards_is_its_manifest(tmp_path: Path) -> None:
    manifest(tmp_path)
    assert open_checkpoint(tmp_path)["conv1/bias"].shape == (4,)


def test_a_number_that_no_attribute_can_hold_is_refused(tmp_path: Path) -> None:
    """Python reads Infinity as a number of JSON, and protobuf raises OverflowError for it."""
    node = {"name": "x", "op": "Placeholder", "attr": {"n": {"i": "@"}}}
    text = json.dumps({"modelTopology": {"node": [node]}, "weightsManifest": write_shards(tmp_path, WEIGHTS)})
    (tmp_path / "model.json").write_text(text.replace('"@"', "Infinity"))
    with pytest.raises(FormatError, match="holds no whole graph"):
        open_checkpoint(tmp_path / "model.json")
