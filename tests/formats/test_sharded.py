"""Weights in several files: the index and its files fit each other, or porter refuses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from porter.errors import FormatError, PorterError
from porter.formats.input_digests import Inputs
from porter.formats.open import open_checkpoint

TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float16), "c": np.zeros((), np.int64)}
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
PLACES = {"a": FIRST, "b": SECOND, "c": SECOND}


def written(folder: Path, places: Any = PLACES) -> Path:
    for name in (FIRST, SECOND):
        save_file({key: value for key, value in TENSORS.items() if PLACES[key] == name}, folder / name)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 40}, "weight_map": places}))
    return index


def test_the_folder_and_the_index_open_all_files(tmp_path: Path) -> None:
    index = written(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    for path in (tmp_path, index):
        inputs = Inputs()
        opened = inputs.open(path)
        assert opened.format == "safetensors in 2 files"
        assert {key: value.tobytes() for key, value in opened.items()} == {k: v.tobytes() for k, v in TENSORS.items()}
        assert {each.name for each in inputs.digests} == {index.name, FIRST, SECOND}


def test_pytorchs_files_are_read_likewise(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "pytorch_model-00001-of-00001.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00001.bin"}}))
    assert np.array_equal(open_checkpoint(tmp_path)["a"], np.ones(3, np.float32))


@pytest.mark.parametrize(
    ("places", "why"),
    [
        ({**PLACES, "d": SECOND}, rf"{SECOND} does not hold the tensors that .*index\.json lists for it: .*\n  d$"),
        ({"a": FIRST, "b": SECOND}, rf"{SECOND} does not hold the tensors that .* lists for it: .*\n  c$"),
        ({**PLACES, "a": SECOND, "b": FIRST}, "does not hold the tensors"),
        ({**PLACES, "a": "gone.safetensors"}, "gone.safetensors is missing: .* copy all files of the model beside it"),
        ({**PLACES, "a": "../secret"}, r"lists the file '\.\./secret', which is not one beside it: do not trust it"),
        ({**PLACES, "a": "/etc/passwd"}, "which is not one beside it"),
        ({**PLACES, "a": ""}, "which is not one beside it"),
        ({**PLACES, "a": "model.safetensors.index.json"}, "which is not one beside it"),
        ({}, "is not a whole index of weights in several files"),
        (["a"], "is not a whole index of weights in several files"),
        ({"a": 3}, "is not a whole index of weights in several files"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, places: Any, why: str) -> None:
    index = written(tmp_path, places)
    with pytest.raises(FormatError, match=why):
        open_checkpoint(index)


def test_a_cut_index_is_refused(tmp_path: Path) -> None:
    index = written(tmp_path)
    index.write_text(index.read_text()[:-9])
    with pytest.raises(
        FormatError, match="is not a whole index of weights in several files: copy or download it again"
    ):
        open_checkpoint(tmp_path)


def test_another_json_is_not_an_index(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text('{"weight_map": {}}')
    with pytest.raises(PorterError, match="is text without tensors"):
        open_checkpoint(tmp_path / "notes.json")


def test_an_index_lists_no_other_index(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.index.json").write_text(json.dumps({"weight_map": {"w": f"{other}.index.json"}}))
    with pytest.raises(FormatError, match=r"a\.index\.json lists the file 'b\.index\.json', which is not one beside"):
        open_checkpoint(tmp_path / "a.index.json")
