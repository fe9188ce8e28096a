"""A .keras and a .weights.h5 are what Keras saves of the network that holds the weights, though none is filled."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import pytest

from helpers.checkpoints import SMALL
from porter import load, port


def contents(file: Path | bytes) -> dict[str, Any]:
    """Every group and data set of an HDF5 file with its attributes, dtype and bytes."""
    found: dict[str, Any] = {}

    def add(name: str, item: Any) -> None:
        values = (item.dtype.str, item[()].tobytes()) if isinstance(item, h5py.Dataset) else None
        found[name] = dict(item.attrs), values

    with h5py.File(io.BytesIO(file) if isinstance(file, bytes) else file) as opened:
        opened.visititems(add)
    return found


@pytest.mark.parametrize("rounded", [None, "bfloat16"])
def test_the_files_are_those_of_a_filled_network(tf: Any, small: Path, tmp_path: Path, rounded: str | None) -> None:
    for name in ("ours.keras", "ours.weights.h5"):
        port(SMALL, "tf", "keras", checkpoint=small, out=tmp_path / name, save_dtype=rounded)
    filled = load(SMALL, "keras", weights=small, dtype=rounded)
    filled.save(tmp_path / "theirs.keras")
    filled.save_weights(tmp_path / "theirs.weights.h5")
    assert contents(tmp_path / "ours.weights.h5") == contents(tmp_path / "theirs.weights.h5")
    with zipfile.ZipFile(tmp_path / "ours.keras") as ours, zipfile.ZipFile(tmp_path / "theirs.keras") as theirs:
        assert ours.namelist() == theirs.namelist()
        assert contents(ours.read("model.weights.h5")) == contents(theirs.read("model.weights.h5"))
        assert json.loads(ours.read("config.json")) == json.loads(theirs.read("config.json"))


def test_no_variable_waits_for_its_first_value(tf: Any, small: Path, tmp_path: Path) -> None:
    """Keras would create the variables of the network that porter saved when any other code leaves its scope."""
    import keras

    port(SMALL, "tf", "keras", checkpoint=small, out=tmp_path / "ours.keras")
    made = []
    initial = keras.initializers.GlorotUniform.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.initializers.GlorotUniform, "__call__", lambda *a, **k: made.append(1) or initial(*a, **k))
        with keras.StatelessScope():
            pass
    assert not made
