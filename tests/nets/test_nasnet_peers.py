"""Other ports of NASNet-A and PNASNet-5, filled by name and compared with the original in float64."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers import cadene, torchvision_stand_in
from helpers.goldens import COSTLY, multiply_adds
from helpers.modules import module_of
from helpers.places import ROOT
from helpers.slims_nasnet import distance
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.runners.golden import GoldenRunner, golden_images
from porter.runners.runner_of import runner_of

pytestmark = pytest.mark.usefixtures("drawn_once")
PAGE = (ROOT / "docs/nasnet.md").read_text(encoding="utf-8")


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


def divergences(network: Any, name: str, without: str = "") -> dict[str, float]:
    """Return each recorded endpoint's distance from the golden in float64, in standard deviations of the original's."""
    golden, table = recorded(name), Table.load(name)
    table = dataclasses.replace(table, endpoints=tuple(e for e in table.endpoints if e.name != without))
    reference, pictures = GoldenRunner(golden, table), golden_images(golden.input_size).astype(np.float64)
    run = runner_of(network, table)
    # Keras keeps every layer's output until the end: one image of a large network at a time.
    step = 1 if multiply_adds(name) >= COSTLY else len(pictures)
    each = [run(pictures[at : at + step]) for at in range(0, len(pictures), step)]
    whole = {key: np.concatenate([outputs[key] for outputs in each]) for key in each[0]}
    got, want = reference.probes.reduce(whole), reference(pictures)
    return {key: distance(value, want[key]) for key, value in got.items() if key in want}


def first_divergence(apart: dict[str, float]) -> str:
    return next(name for name, distance in apart.items() if distance > 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "builder"),
    # NASNetALarge last: the tests behind it draw the same weights, and find them drawn.
    [("pnasnet", "PNASNet5Large"), ("nasnet_mobile", "NASNetAMobile"), ("nasnet", "NASNetALarge")],
)
def test_cadenes_take_the_port_strictly_and_compute_the_same(file: str, builder: str) -> None:
    names = {"NASNetALarge": "nasnet_large", "NASNetAMobile": "nasnet_mobile", "PNASNet5Large": "pnasnet_large"}
    name = names[builder]
    model = filled(getattr(cadene.network_file(file), builder)(num_classes=1001), name)
    assert max(divergences(model, name, without="global_pool").values()) < 1e-12  # not flattened there


def code(name: str, folder: Path) -> Any:
    """Import the file ``name`` that docs/nasnet.md shows."""
    (folder / name).write_text(re.findall(rf"```python\n(# {name}\n(?:.*\n)*?)```", PAGE)[0], encoding="utf-8")
    return module_of(folder / name, name.removesuffix(".py"))


def stated(network: str) -> tuple[str, float]:
    """Return the first endpoint that diverges and the difference of the logits, from the table of docs/nasnet.md."""
    row = re.findall(
        rf"^\| {re.escape(network)} \| [^|]* \| (\w+) \| ([\d.]+) % \| below 1e-12 \|$", PAGE, re.MULTILINE
    )
    return row[0][0], float(row[0][1]) / 100


@pytest.mark.slow
def test_timms_large_takes_the_port_strictly_but_counts_padding(tmp_path: Path) -> None:
    torchvision_stand_in.install()
    pytest.importorskip("timm")
    endpoint, logits = stated("timm nasnetalarge")
    theirs = code("timm_nasnet.py", tmp_path)
    before = divergences(filled(theirs.large(), "nasnet_large"), "nasnet_large")
    assert before["Logits"] == pytest.approx(logits, abs=0.00005)
    assert first_divergence(before) == endpoint
    assert max(divergences(filled(theirs.large_with_same_pools(), "nasnet_large"), "nasnet_large").values()) < 1e-12


@pytest.fixture
def keras_in_float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return Keras in float64. Kernels begin as zeros, which takes less time than random ones: all are filled."""
    keras = pytest.importorskip("keras")
    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", keras.initializers.Zeros.__call__)
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield keras
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(policy)


@pytest.mark.slow
@pytest.mark.parametrize("size", ["mobile", "large"])
def test_keras_applications_take_the_port_by_name_but_pool_zeros(
    keras_in_float64: Any, tmp_path: Path, size: str
) -> None:
    from porter.nets.build_keras import fill

    keras_in_float64.utils.clear_session()  # so that its average pool has the name of a first one
    name = f"nasnet_{size}"
    endpoint, logits = stated(f"keras.applications.NASNet{size.capitalize()}")
    theirs = code("keras_nasnet.py", tmp_path)
    model = getattr(theirs, size)()
    fill(model, Table.load(name), seeds(name, "keras"))
    before = divergences(model, name)
    assert before["Logits"] == pytest.approx(logits, abs=0.00005)
    assert first_divergence(before) == endpoint
    assert max(divergences(theirs.with_same_pools(model), name).values()) < 1e-12
