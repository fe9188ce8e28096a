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
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from helpers import durations
from helpers.checkpoints import SMALL, Saver
from helpers.seeds import Drawn
from porter.catalog.seeded_weights import seeded
from porter.verbs.seed import seed

# Frameworks keep millions of objects, and every collection looks through them: a third of the time of Keras' networks.
gc.set_threshold(100_000, 50, 50)
PILE = 4.0
"""Seconds from which on a test may leave networks of a gigabyte in cycles, which are removed before the next test."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-durations", action="store_true", help="Write tests/durations.txt anew.")


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("write_durations"):
        return
    if hasattr(config, "workerinput"):
        # Whichever test is first would be charged for these imports.
        for framework in ("tensorflow", "torch", "keras"):
            importlib.import_module(framework)
    else:
        config.pluginmanager.register(durations.Durations())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    long = durations.read(durations.FILE)
    for item in items:
        if item.nodeid in long:
            item.add_marker("long")


@pytest.fixture(autouse=True)
def no_piles() -> Iterator[None]:
    """Collect the networks of long tests: many of VGG's or NASNet's size fill the memory otherwise."""
    begin = monotonic()
    yield
    if monotonic() - begin > PILE:
        gc.collect()


@pytest.fixture(scope="module")
def drawn_once() -> Iterator[None]:
    """Let several goldens of a model share its seeded tensors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("porter.catalog.goldens.seeded", Drawn(seeded))
        yield


@pytest.fixture(scope="session")
def tf() -> Any:
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="session")
def slim(tf: Any) -> SimpleNamespace:
    """slim's NASNet and PNASNet, importable through the recorder's stand-ins."""
    pytest.importorskip("tf_slim", reason="needs golden/requirements.txt")
    recorder = importlib.import_module("recorders.slim")
    recorder.nets_factory()
    return SimpleNamespace(
        tf=tf.compat.v1,
        layers=importlib.import_module("tf_slim"),
        nasnet=importlib.import_module("nets.nasnet.nasnet"),
        pnasnet=importlib.import_module("nets.nasnet.pnasnet"),
        utils=importlib.import_module("nets.nasnet.nasnet_utils"),
        unfused_batch_norm=recorder.unfused_batch_norm,
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
