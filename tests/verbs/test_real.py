"""Real ImageNet weights in a published frozen graph: TensorFlow runs it, PyTorch runs the port."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.places import GRAPH
from porter import load, port
from porter.runners.images import prepare, sample_paths
from porter.verbs.port import PortResult


@pytest.fixture(scope="module")
def graph() -> Path:
    if not GRAPH.is_file():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{GRAPH} is missing: run `make weights`")
    return GRAPH


@pytest.fixture(scope="module")
def ported(tf: Any, graph: Path, tmp_path_factory: pytest.TempPathFactory) -> PortResult:
    out = tmp_path_factory.mktemp("real") / "mobilenet.safetensors"
    return port("mobilenet_v1_1.0_224", checkpoint=graph, ignore=["final_training_ops/*"], out=out, verify=True)


def test_the_file_is_the_released_one(graph: Path) -> None:
    raw = graph.read_bytes()
    assert len(raw) == 17_124_178
    assert hashlib.sha256(raw).hexdigest() == "3b90af536f810f5f75e9f6d431bc2e8a3c4fc2ff4f693aa0dd4ae429816f8735"


def test_the_real_graph_and_the_port_agree_at_every_endpoint(ported: PortResult) -> None:
    assert ported, str(ported.verification and ported.verification.ports)
    assert ported.verification is not None
    assert len(ported.verification.ports["torch"].rows) == 30
    assert ported.translation.roles == {"variable": 137, "ignored variable": 2, "graph constant": 28}


def test_both_sides_recognise_the_sample_images(ported: PortResult) -> None:
    assert ported.verification is not None
    chelsea, coffee, _ = ported.verification.images
    for side in (coffee.reference, coffee.ports["torch"]):
        assert side[0][0] == "espresso"
    for side in (chelsea.reference, chelsea.ports["torch"]):
        assert {label for label, _ in side[:3]} == {"tabby, tabby cat", "tiger cat", "Egyptian cat"}
    for picture in ported.verification.images:
        assert [label for label, _ in picture.reference] == [label for label, _ in picture.ports["torch"]]
        assert picture.largest_logit_difference["torch"] < 1e-4


def test_the_file_loads_as_a_plain_module_and_double_is_exact(ported: PortResult) -> None:
    assert ported.out is not None
    model = load("mobilenet_v1_1.0_224", "torch", weights=ported.out)
    assert not model.training
    images = torch.from_numpy(prepare(sample_paths(), "inception", 224).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        single, double = model(images), model.double()(images.double())
    assert single.shape == (3, 1001)
    assert double.dtype == torch.float64
    np.testing.assert_allclose(single.numpy(), double.numpy(), rtol=0, atol=1e-4)
