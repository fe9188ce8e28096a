"""Fixtures: TensorFlow as the judge, and checkpoints that it writes."""

from __future__ import annotations

import os

# Before any import of TensorFlow: its reference runs without oneDNN, quietly.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# Before any import of PyTorch: workers share the cores, and OpenMP's threads spin while they wait for one.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from porter import data
from porter.recorded import recorded
from porter.roles import SHADOW_SUFFIX
from porter.seed import seed
from porter.weights import seeded

# Frameworks keep millions of objects, and every collection looks through them: a third of the time of Keras' networks.
gc.set_threshold(100_000, 50, 50)

Saver = Callable[..., Path]
SMALL = "mobilenet_v1_0.25_128"
OUTPUTS = [
    ("torch", "m.safetensors"),
    ("torch", "m.pth"),
    ("torch", "m/"),
    ("keras", "m.keras"),
    ("keras", "m.weights.h5"),
    ("keras", "m.h5"),
    ("keras", "m/"),
]
"""Every form that a port is written in."""


@pytest.fixture(scope="session")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


def module_of(path: Path, name: str) -> Any:
    """Import the file ``path`` alone, as the module ``name``."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def slim(tf: Any) -> SimpleNamespace:
    """slim's NASNet, importable through the recorder's stand-ins."""
    pytest.importorskip("tf_slim", reason="needs golden/requirements.txt")
    record = module_of(data.folder("golden") / "record.py", "golden_record")
    record.nets_factory()
    return SimpleNamespace(
        tf=tf.compat.v1,
        layers=importlib.import_module("tf_slim"),
        nasnet=importlib.import_module("nets.nasnet.nasnet"),
        utils=importlib.import_module("nets.nasnet.nasnet_utils"),
        unfused_batch_norm=record.unfused_batch_norm,
    )


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A name-seeded checkpoint of SMALL, by its prefix."""
    return seed(SMALL, tmp_path_factory.mktemp("seeded") / "s.ckpt").out


@pytest.fixture
def save(tf: Any, tmp_path: Path) -> Saver:
    """Return save(tensors, name) -> prefix, through TensorFlow's own SaveV2 op."""

    def write(tensors: Mapping[str, Any], name: str = "model.ckpt") -> Path:
        prefix = tmp_path / name
        prefix.parent.mkdir(parents=True, exist_ok=True)
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=list(tensors),
            shape_and_slices=[""] * len(tensors),
            tensors=list(tensors.values()),
        )
        return prefix

    return write


def seeded_variables(golden: str = "mobilenet_v1_0.25_128") -> dict[str, np.ndarray]:
    """Return the golden's variables, name-seeded."""
    found = recorded(golden)
    recipe = found.recipe
    return {name: seeded(name, shape, recipe["salt"], recipe["gain"]) for name, shape in found.variables.items()}


def training_checkpoint(golden: str = "mobilenet_v1_0.25_128") -> dict[str, np.ndarray]:
    """Return what slim's trainer saves: variables, a shadow and two RMSProp slots of each, global_step."""
    tensors: dict[str, np.ndarray] = {"global_step": np.asarray(41, np.int64)}
    for name, value in seeded_variables(golden).items():
        tensors[name] = value
        tensors[name + SHADOW_SUFFIX] = value * np.float32(1.01)
        tensors[f"{name}/RMSProp"] = np.ones_like(value)
        tensors[f"{name}/RMSProp_1"] = np.zeros_like(value)
    return tensors
