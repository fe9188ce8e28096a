"""Other ports of NASNet-A take the weights by name; what they compute is held against the original, in float64."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import torchvision_stand_in
from conftest import module_of
from porter.archs import find_arch
from porter.checkpoint import Checkpoint
from porter.endpoints import runner_of
from porter.mapping import Table
from porter.nets.torch.layers import AvgPool2dSame
from porter.recorded import recorded
from porter.runners.golden import GoldenRunner, golden_pictures
from porter.translate import translate
from porter.verify import seeded_checkpoint
from slims_nasnet import distance


def peer(name: str) -> Any:
    """Import one file of Cadene's pretrainedmodels, whose package imports torchvision and more for other networks."""
    package = importlib.util.find_spec("pretrainedmodels")
    if package is None or not package.submodule_search_locations:
        pytest.skip("needs tests/peers.txt")
    return module_of(Path(package.submodule_search_locations[0]) / "models" / f"{name}.py", f"cadene_{name}")


def seeds(name: str, dialect: str) -> Checkpoint:
    """Return the port of the golden's seeded weights."""
    stored = seeded_checkpoint(recorded(name))
    return translate(stored, find_arch(name), "tf", dialect).as_checkpoint(stored)


def filled(model: nn.Module, name: str) -> nn.Module:
    """Load the port of the golden's seeded weights strictly."""
    state = {key: torch.from_numpy(entry.load()) for key, entry in seeds(name, "torch").entries.items()}
    # Counters of steps, which TensorFlow does not have.
    counters = {key: value for key, value in model.state_dict().items() if key.endswith("num_batches_tracked")}
    model.load_state_dict(state | counters, strict=True)
    return model.eval()


def departures(network: Any, name: str, without: str = "") -> dict[str, float]:
    """Return each endpoint's distance from the golden in float64, in the deviations of the original's values."""
    golden, table = recorded(name), Table.load(name)
    table = dataclasses.replace(table, endpoints=tuple(e for e in table.endpoints if e.name != without))
    reference, pictures = GoldenRunner(golden, table), golden_pictures(golden.input_size).astype(np.float64)
    got, want = reference.probe(runner_of(network, table)(pictures)), reference(pictures)
    return {key: distance(value, want[key]) for key, value in got.items()}


def first_departure(apart: dict[str, float]) -> str:
    return next(name for name, distance in apart.items() if distance > 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("file", "builder"), [("nasnet", "NASNetALarge"), ("nasnet_mobile", "NASNetAMobile")])
def test_cadenes_take_the_port_strictly_and_compute_the_same(file: str, builder: str) -> None:
    name = {"NASNetALarge": "nasnet_large", "NASNetAMobile": "nasnet_mobile"}[builder]
    model = filled(getattr(peer(file), builder)(num_classes=1001), name)
    assert max(departures(model, name, without="global_pool").values()) < 1e-12  # not flattened there


@pytest.mark.slow
def test_timms_large_takes_the_port_strictly_but_counts_padding() -> None:
    torchvision_stand_in.install()
    timm = pytest.importorskip("timm")
    model = filled(timm.create_model("nasnetalarge", num_classes=1001), "nasnet_large")
    before = departures(model, "nasnet_large")
    assert before["Logits"] == pytest.approx(0.040, abs=0.0005)
    assert first_departure(before) == "Stem"

    # Its stride-2 average pools pad first, so that zeros are counted.
    for parent in list(model.modules()):
        for key, pool in parent.named_children():
            if type(pool).__name__ == "AvgPool2dSame":
                setattr(parent, key, AvgPool2dSame(3, stride=2))
    assert max(departures(model, "nasnet_large").values()) < 1e-12


def with_same_pools(model: Any) -> Any:
    """Return keras.applications' network in float64 with SAME pools in place of zeros around and `valid` pools."""
    keras = pytest.importorskip("keras")

    def changed(layer: Any) -> Any:
        config = {**layer.get_config(), "dtype": "float64"}
        if layer.name.startswith("reduction_pad_1_"):
            return keras.layers.Identity(dtype="float64", name=layer.name)
        if layer.name.startswith(("reduction_left2_", "reduction_left3_", "reduction_right5_")):
            assert config["padding"] == "valid"
            config["padding"] = "same"
        return type(layer).from_config(config)

    pictures = keras.Input(model.input_shape[1:], dtype="float64")
    clone = keras.models.clone_model(model, input_tensors=pictures, clone_function=changed)
    clone.set_weights(model.get_weights())
    return clone


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "builder", "logits"),
    [
        ("nasnet_mobile", "NASNetMobile", 0.1019),
        ("nasnet_large", "NASNetLarge", 0.0608),
    ],
)
def test_keras_applications_take_the_port_by_name_but_pool_zeros(name: str, builder: str, logits: float) -> None:
    keras = pytest.importorskip("keras")
    from porter.nets.keras.build import fill

    keras.utils.clear_session()  # so that its average pool has the name of a first one
    model = getattr(keras.applications, builder)(weights=None, classes=1001, classifier_activation=None)
    fill(model, Table.load(name), seeds(name, "keras"))
    before = departures(model, name)
    assert before["Logits"] == pytest.approx(logits, abs=0.00005)
    assert first_departure(before) == "Stem"
    assert max(departures(with_same_pools(model), name).values()) < 1e-12
