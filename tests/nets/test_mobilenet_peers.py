"""MobileNet V2 and V3 beside timm and keras.applications: names by strict loading, and by how much they differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers import torchvision_stand_in
from porter import load
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.nets.inverted_residuals import GATE_SIXTH, SIXTH
from porter.parity.compare import compare
from porter.runners.golden import GoldenRunner, golden_images
from porter.runners.runner import Runner, run_all
from porter.runners.torch import TorchRunner

V2, V3 = "mobilenet_v2_0.35_96", "mobilenet_v3_small_0.75_224"
ODD_V2, ODD_V3 = f"{V2}@97", f"{V3}@97"

TIMM = {
    "mobilenet_v2_1.4_224": "mobilenetv2_140",
    "mobilenet_v2_1.0_224": "mobilenetv2_100",
    "mobilenet_v2_0.75_224": "mobilenetv2_075",
    "mobilenet_v2_0.5_224": "mobilenetv2_050",
    "mobilenet_v2_0.35_224": "mobilenetv2_035",
    "mobilenet_v3_large_1.0_224": "tf_mobilenetv3_large_100",
    "mobilenet_v3_large_0.75_224": "tf_mobilenetv3_large_075",
    "mobilenet_v3_large_minimalistic_1.0_224": "tf_mobilenetv3_large_minimal_100",
    "mobilenet_v3_small_1.0_224": "tf_mobilenetv3_small_100",
    "mobilenet_v3_small_0.75_224": "tf_mobilenetv3_small_075",
    "mobilenet_v3_small_minimalistic_1.0_224": "tf_mobilenetv3_small_minimal_100",
}
"""timm has no MobileNet V2 1.3."""


@pytest.fixture(scope="module")
def timm() -> Any:
    torchvision_stand_in.install()
    return pytest.importorskip("timm")


def ported(golden: str, framework: str) -> Checkpoint:
    seeds = seeded_checkpoint(recorded(golden))
    return translate(seeds, find_arch(recorded(golden).model), "tf", framework).as_checkpoint(seeds)


def timms(timm: Any, golden: str, **options: Any) -> nn.Module:
    """Return timm's network with the port of ``golden``, loaded strictly."""
    model: nn.Module = timm.create_model(
        TIMM[recorded(golden).model.replace("_96", "_224")], num_classes=1001, **options
    )
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in counted(golden, model).items()})
    return model.eval()


def counted(golden: str, model: nn.Module) -> dict[str, np.ndarray]:
    """Return the port with PyTorch's counters of batches, which TensorFlow does not have."""
    counters = {
        name: value.numpy() for name, value in model.state_dict().items() if name.endswith("num_batches_tracked")
    }
    return counters | dict(ported(golden, "torch"))


def beside(golden: str, runner_of: Callable[[Table], Runner]) -> Any:
    """Return the comparison of a network, which may have unnamed layers, with ``golden``."""
    found = recorded(golden)
    table, pictures = Table.load(find_arch(found.model).table), golden_images(found.input_size)
    reference = GoldenRunner(found, table)
    got = {p: reference.probes.reduce(run) for p, run in run_all(runner_of(table), pictures).items()}
    return compare(got, run_all(reference, pictures), table.logits)


def divergence(golden: str, logits: np.ndarray) -> float:
    """Return the largest difference of the logits, in standard deviations of the original's."""
    want = recorded(golden).values()["logits_float64"]
    return float(np.abs(logits - want).max() / want.std())


def logits_of(model: nn.Module, golden: str) -> np.ndarray:
    images = golden_images(recorded(golden).input_size).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        return model.double()(torch.from_numpy(images.astype(np.float64))).numpy()


@pytest.mark.parametrize(("name", "theirs"), TIMM.items())
def test_timm_has_the_ports_names_and_shapes(timm: Any, name: str, theirs: str) -> None:
    with torch.device("meta"):
        want = timm.create_model(theirs, num_classes=1001).state_dict()
        ours = load(name, "torch").state_dict()
    assert {name: value.shape for name, value in want.items()} == {name: value.shape for name, value in ours.items()}


@pytest.mark.parametrize("golden", [V2, ODD_V2])
def test_timms_v2_computes_the_same_with_slims_padding_and_epsilon(timm: Any, golden: str) -> None:
    model = timms(timm, golden, pad_type="same", bn_eps=1e-3)
    report = beside(golden, lambda table: TorchRunner(model, table))
    assert report, str(report)
    assert len(report.rows) == 72


def test_timms_v2_is_another_network_by_default(timm: Any) -> None:
    """It pads both sides equally, and its epsilon is 1e-5. docs/zoo.md has these numbers."""
    assert round(divergence(V2, logits_of(timms(timm, V2), V2)), 2) == 1.12
    assert round(divergence(V2, logits_of(timms(timm, V2, pad_type="same"), V2)), 3) == 0.020
    # At 97 every map is odd, and SAME pads both sides equally.
    assert round(divergence(ODD_V2, logits_of(timms(timm, ODD_V2), ODD_V2)), 2) == 0.40
    assert divergence(ODD_V2, logits_of(timms(timm, ODD_V2, bn_eps=1e-3), ODD_V2)) < 1e-11


class SlimsGate(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clamp(x + 3, 0, 6) * GATE_SIXTH


class SlimsHardSwish(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.clamp(x + 3, 0, 6) * SIXTH


def with_slims_constants(model: nn.Module) -> nn.Module:
    """Replace hard sigmoids and hard swishes by those of slim, which multiplies where others divide."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Hardsigmoid):
                setattr(parent, name, SlimsGate())
            elif isinstance(child, nn.Hardswish):
                setattr(parent, name, SlimsHardSwish())
    return model


def test_timms_v3_differs_by_the_constants_of_its_gates_alone(timm: Any) -> None:
    """timm divides by 6, slim multiplies the gates by 0.16667. docs/zoo.md has this number."""
    model = timms(timm, ODD_V3)
    assert round(divergence(ODD_V3, logits_of(model, ODD_V3)), 5) == 9.0e-4
    report = beside(ODD_V3, lambda table: TorchRunner(with_slims_constants(model).float(), table))
    assert report, str(report)
    assert len(report.rows) == 50


def kerass(golden: str, **options: Any) -> Any:
    """Return keras.applications' network with the port of ``golden``, filled by name."""
    import keras

    from porter.nets.build_keras import fill

    keras.utils.clear_session()  # so that its unnamed layers have the names of first ones
    arch = find_arch(recorded(golden).model)
    builder = keras.applications.MobileNetV2 if "v2" in golden else keras.applications.MobileNetV3Small
    options = {"alpha": arch.options["multiplier"], "weights": None, "classes": 1001} | options
    model = builder(classifier_activation=None, **options)
    tensors = ported(golden, "keras")
    if not options.get("include_top", True):
        tensors = Checkpoint(
            tensors.path, tensors.format, {n: e for n, e in tensors.entries.items() if "predic" not in n}
        )
    fill(model, Table.load(arch.table), tensors)
    return model


@pytest.mark.parametrize("golden", [V2, ODD_V2])
def test_kerass_v2_computes_the_same_at_a_fixed_size(golden: str) -> None:
    from porter.runners.keras import KerasRunner

    size = recorded(golden).input_size
    model = kerass(golden, input_shape=(size, size, 3))
    report = beside(golden, lambda table: KerasRunner(model, table))
    assert report, str(report)
    assert len(report.rows) == 72


def test_kerass_v2_is_another_network_at_odd_sizes_if_built_for_any() -> None:
    """Without a size it pads as for an even one, and has no classifier. docs/zoo.md has this number."""
    features = [
        np.asarray(kerass(ODD_V2, input_shape=(side, side, 3), include_top=False, pooling="avg")(golden_images(97)))
        for side in (97, None)
    ]
    assert round(float(np.abs(features[1] - features[0]).max() / features[0].std()), 2) == 1.94


def test_kerass_v3_differs_by_the_constant_of_its_gates() -> None:
    """It divides by 6 where slim multiplies by 0.16667. docs/zoo.md has this number."""
    model = kerass(ODD_V3, input_shape=(97, 97, 3), include_preprocessing=False)
    found = divergence(ODD_V3, np.asarray(model(golden_images(97), training=False)))
    assert found == pytest.approx(9.0e-4, abs=0.3e-4)  # with float32's rounding
