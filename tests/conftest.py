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

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porter.recorded import recorded
from porter.roles import SHADOW_SUFFIX
from porter.weights import seeded

Saver = Callable[..., Path]


@pytest.fixture(scope="session")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


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
