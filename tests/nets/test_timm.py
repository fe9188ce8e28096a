"""timm's MobileNet V1 loads the port strictly by name and computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers import torchvision_stand_in
from helpers.checkpoints import Saver, seeded_variables
from porter import port
from porter.catalog.goldens import recorded
from porter.mapping.table import Table
from porter.parity.compare import compare
from porter.runners.golden import GoldenRunner, golden_pictures
from porter.runners.runner import run_all
from porter.runners.torch import TorchRunner


@pytest.fixture(scope="module")
def timm() -> Any:
    torchvision_stand_in.install()
    return pytest.importorskip("timm")


def test_timm_loads_the_port_strictly_and_gives_the_original_logits(timm: Any, save: Saver, tmp_path: Path) -> None:
    name = "mobilenet_v1_1.0_224"
    out = tmp_path / "mobilenet.safetensors"
    port(name, checkpoint=save(seeded_variables(name)), out=out)
    model = timm.create_model("mobilenetv1_100", num_classes=1001, pad_type="same", bn_eps=1e-3).eval()
    model.load_state_dict(load_file(out), strict=True)

    table, golden = Table.load("mobilenet_v1"), recorded(name)
    reference, pictures = GoldenRunner(golden, table), golden_pictures(golden.input_size)
    got = {p: reference.probe(run) for p, run in run_all(TorchRunner(model, table), pictures).items()}
    report = compare(got, run_all(reference, pictures), table.logits)
    assert report, str(report)
    assert len(report.rows) == 30


def test_every_multiplier_of_timm_has_the_ports_names_and_shapes(timm: Any) -> None:
    from porter import load

    for timm_name, multiplier in (("mobilenetv1_100", 1.0), ("mobilenetv1_125", 1.25)):
        theirs = timm.create_model(timm_name, num_classes=1001).state_dict()
        ours = load("mobilenet_v1", "torch", multiplier=multiplier).state_dict()
        assert {name: value.shape for name, value in theirs.items()} == {n: v.shape for n, v in ours.items()}


def test_timms_own_defaults_are_another_network(timm: Any, save: Saver, tmp_path: Path) -> None:
    """Without pad_type and bn_eps every name and shape fits, but the logits differ."""
    name = "mobilenet_v1_1.0_224"
    out = tmp_path / "mobilenet.safetensors"
    port(name, checkpoint=save(seeded_variables(name)), out=out)
    model = timm.create_model("mobilenetv1_100", num_classes=1001).eval()
    model.load_state_dict(load_file(out), strict=True)
    golden = recorded(name)
    images = torch.from_numpy(golden_pictures(224).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        logits = model(images).numpy()
    want = golden.values()["logits_float64"]
    assert np.abs(logits - want).max() > 0.1 * want.std()
