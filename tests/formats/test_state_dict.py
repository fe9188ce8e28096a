"""What trainers save around a state dict is found and read over; nothing of it runs."""

from __future__ import annotations

import argparse
import pathlib
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.checkpoints import SMALL
from porter import port
from porter.errors import FormatError
from porter.formats.open import open_checkpoint


@pytest.fixture(scope="module")
def state(small: Path) -> dict[str, torch.Tensor]:
    """A network's state dict, with the counters that PyTorch's batch norms add."""
    entries = port(SMALL, checkpoint=small).translation.entries
    tensors = OrderedDict((name, torch.from_numpy(np.array(entry.load()))) for name, entry in entries.items())
    counters = {name.replace("running_var", "num_batches_tracked") for name in tensors if "running_var" in name}
    return tensors | {name: torch.tensor(7) for name in counters}


def optimizer() -> dict[str, Any]:
    return {"state": {0: {"exp_avg": torch.zeros(3), "step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}


def prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def nested(state: dict[str, Any]) -> dict[str, Any]:
    return {"trainer": {"model": {"weights": state}}, "rng_state": {"cuda": torch.zeros(2)}}


WRAPPERS: dict[str, Any] = {
    "": lambda state: state,
    " in 'state_dict'": lambda state: {"epoch": 3, "state_dict": state, "optimizer": optimizer()},
    " in 'model'": lambda state: {"model": state, "lr_scheduler": {"base": torch.zeros(1)}, "epoch": 2},
    " in 'trainer.model.weights'": nested,
}


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.module.", "backbone.net."])
@pytest.mark.parametrize("where", WRAPPERS)
def test_a_wrapped_state_dict_is_found_and_told(
    state: dict[str, torch.Tensor], small: Path, tmp_path: Path, where: str, prefix: str
) -> None:
    """Also huggingface/pytorch-image-models#2003: a compiled network in DistributedDataParallel."""
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(WRAPPERS[where](prefixed(prefix, state)), path)
    found, original = port(SMALL, "torch", "tf", checkpoint=path), port(SMALL, "tf", "tf", checkpoint=small)
    assert found.checkpoint.format == f"PyTorch state dict{where}"
    assert found.translation.prefix == prefix
    assert len(found.translation.ignored) == 27
    for name, entry in original.translation.entries.items():
        assert np.array_equal(found.translation.entries[name].load(), entry.load()), name


@pytest.mark.parametrize("zipped", [True, False])
def test_what_trainers_pickle_beside_the_weights_is_read_over(
    state: dict[str, torch.Tensor], tmp_path: Path, zipped: bool
) -> None:
    """mlfoundations/open_clip#1078, mlcommons/mlperf-automations#465, deepmodeling/deepmd-kit#4147."""
    more = {
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs")),
        "best_acc": np.float64(71.2),
        "history": np.arange(5),
        "config": types.SimpleNamespace(width=0.25),
    }
    path = tmp_path / "m.pth"
    saved = {"state_dict": {**state, "_extra_state": {"lr": np.float64(1)}}, **more}
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    checkpoint = open_checkpoint(path)
    assert set(checkpoint) == set(state)
    assert checkpoint.asides == {"_extra_state": "no tensor"}
    assert all(np.array_equal(checkpoint[name], tensor.numpy()) for name, tensor in state.items())


@pytest.mark.parametrize("wrapper", ["", "module."])
def test_the_average_beside_a_state_dict_is_its_moving_average(
    state: dict[str, torch.Tensor], tmp_path: Path, wrapper: str
) -> None:
    """timm's trainer saves state_dict and state_dict_ema, whose names may begin with module."""
    averaged = {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    path = tmp_path / "last.pth.tar"
    torch.save({"arch": "m", "state_dict": state, "state_dict_ema": prefixed(wrapper, averaged)}, path)
    ema, raw = (port(SMALL, "torch", "torch", checkpoint=path, average=average) for average in ("auto", "raw"))
    assert ema.checkpoint.format == "PyTorch state dict in 'state_dict', averages in 'state_dict_ema'"
    assert (ema.translation.average, raw.translation.average) == ("ema", "raw")
    for taken, want in ((ema, averaged), (raw, state)):
        entry = taken.translation.entries["conv_stem.weight"]
        assert np.array_equal(entry.load(), want["conv_stem.weight"].numpy())


def test_several_state_dicts_are_listed(tmp_path: Path) -> None:
    """AliaksandrSiarohin/first-order-model#122: generator, discriminator and key points in one .pth.tar."""
    path = tmp_path / "vox-cpk.pth.tar"
    torch.save({name: {"w": torch.zeros(2)} for name in ("generator", "kp_detector", "optimizer_generator")}, path)
    with pytest.raises(FormatError) as told:
        open_checkpoint(path)
    assert str(told.value) == (
        f"{path} holds several state dicts: save the one that you want by itself, with torch.save"
        "\n  generator, 1 tensor\n  kp_detector, 1 tensor"
    )


def test_an_unknown_class_is_named_and_not_imported(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({"state_dict": {"w": torch.zeros(2)}, "model": torch.nn.Linear(2, 2)}, path)
    with pytest.raises(FormatError, match=r"^\S+m.pth pickles a call of torch\.nn\S+, which porter does not run: save"):
        open_checkpoint(path)
