"""ResNet V1 and V2 beside timm and keras.applications: names by strict loading, and by how much they differ."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers import torchvision_stand_in
from porter import load
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import ARCHS, find_arch
from porter.errors import MappingError
from porter.formats.checkpoint import Checkpoint
from porter.mapping.head import Head, has_background
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.nets.layers_torch import Every, MaxPool2dSame
from porter.parity.compare import compare
from porter.parity.head_outputs import outputs_with
from porter.runners.golden import GoldenRunner, golden_images
from porter.runners.runner import Runner, run_all
from porter.runners.torch import TorchRunner

V1, V2 = "resnet_v1_50@75", "resnet_v2_50@75"
DEPTHS = (50, 101, 152)


@pytest.fixture(scope="module")
def timm() -> Any:
    torchvision_stand_in.install()
    return pytest.importorskip("timm")


def ported(golden: str, framework: str) -> Checkpoint:
    seeds = seeded_checkpoint(recorded(golden))
    return translate(seeds, find_arch(recorded(golden).model), "tf", framework).as_checkpoint(seeds)


def divergence(golden: str, logits: Any) -> float:
    """Return the largest difference of the logits, in standard deviations of the original's."""
    want = recorded(golden).values()["logits_float64"]
    return float(np.abs(np.asarray(logits) - want).max() / want.std())


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


@pytest.mark.parametrize("depth", DEPTHS)
def test_timm_has_v1s_names_and_shapes(timm: Any, depth: int) -> None:
    with torch.device("meta"):
        theirs, ours = timm.create_model(f"resnet{depth}"), load(f"resnet_v1_{depth}", "torch")
    assert shapes(theirs) == shapes(ours)


@pytest.mark.parametrize("depth", DEPTHS)
def test_timm_has_v2s_names_and_shapes_but_for_biases(timm: Any, depth: int) -> None:
    with torch.device("meta"):
        theirs = shapes(timm.create_model(f"resnetv2_{depth}", num_classes=1001))
        ours = shapes(load(f"resnet_v2_{depth}", "torch"))
    biases = ours.keys() - theirs.keys()
    assert {name: shape for name, shape in ours.items() if name not in biases} == theirs
    assert len(biases) == 5 + {50: 16, 101: 33, 152: 50}[depth]  # the stem, four shortcuts, and each unit's last
    assert all(re.search(r"(stem\.conv|downsample\.conv|conv3)\.bias$", name) for name in biases)


def timms_v1(timm: Any, golden: str) -> Any:
    """Return timm's network with the port of ``golden``, loaded strictly, in float64."""
    model = timm.create_model(recorded(golden).model.replace("_v1_", ""))
    counters = {name: value for name, value in model.state_dict().items() if name.endswith("num_batches_tracked")}
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in ported(golden, "torch").items()}
    model.load_state_dict(tensors | counters)
    return model.double().eval()


def run(model: nn.Module, golden: str) -> np.ndarray:
    images = golden_images(recorded(golden).input_size).transpose(0, 3, 1, 2).astype(np.float64)
    with torch.inference_mode():
        return np.asarray(model(torch.from_numpy(images)))


def with_slims_strides_and_pool(model: Any) -> nn.Module:
    """Move each stride of timm's V1 to the last unit of the block before, and pad the pool by SAME."""
    model.maxpool = MaxPool2dSame(3, 2)
    for block, after in ((model.layer1, model.layer2), (model.layer2, model.layer3), (model.layer3, model.layer4)):
        after[0].conv2.stride = after[0].downsample[0].stride = (1, 1)
        block[-1].conv2.stride, block[-1].downsample = (2, 2), Every(2)
    return model


def test_timms_v1_computes_the_same_with_slims_strides_and_pool(timm: Any) -> None:
    model, found = with_slims_strides_and_pool(timms_v1(timm, V1)), recorded(V1)
    table = Table.load(find_arch(found.model).table)
    reference, images = GoldenRunner(found, table), golden_images(found.input_size)
    runner: Runner = TorchRunner(model.float(), table)
    got = {p: reference.probes.reduce(outputs) for p, outputs in run_all(runner, images).items()}
    report = compare(got, run_all(reference, images), table.logits)
    assert report, str(report)
    assert len(report.rows) == 77


def keras_network(golden: str) -> Any:
    """Return keras.applications' network with the port of ``golden``."""
    keras: Any = pytest.importorskip("keras")
    found, tensors = recorded(golden), ported(golden, "keras")
    depth = found.model.rpartition("_")[2]
    builder = getattr(keras.applications, f"ResNet{depth}" + ("V2" if "_v2_" in golden else ""))
    side = found.input_size
    model = builder(weights=None, classes=found.num_classes, classifier_activation=None, input_shape=(side, side, 3))
    used = set()
    for layer in model.layers:
        for weight in layer.weights:
            name = f"{layer.name}/{weight.name}"
            weight.assign(tensors[name])
            used.add(name)
    assert used == set(tensors)
    return model


NUMBERS = {
    (entry.measured, entry.library): entry  # tests/runners/test_library_side.py measures timm's V2
    for arch in ARCHS.values()
    if arch.family in ("resnet_v1", "resnet_v2")
    for entry in Table.load(arch.table).differs
    if entry.dialect == "keras" or (entry.dialect, arch.family) == ("timm", "resnet_v1")
}


@pytest.mark.parametrize(
    ("golden", "library"),
    [pytest.param(*key, marks=() if key[0].endswith("_50@75") else pytest.mark.slow) for key in NUMBERS],
)
def test_a_library_differs_by_the_number_of_the_table(timm: Any, golden: str, library: str) -> None:
    if library.startswith("timm"):
        logits = run(timms_v1(timm, golden), golden)
    else:
        logits = np.asarray(keras_network(golden)(golden_images(recorded(golden).input_size), training=False))
    assert divergence(golden, logits) == pytest.approx(NUMBERS[golden, library].logits, abs=0.001)


def test_kerass_v2_differs_by_its_pool_and_epsilon_alone() -> None:
    """Its pool takes in zeros, and its epsilon is 1.001e-5. docs/zoo.md has these numbers."""
    keras: Any = pytest.importorskip("keras")
    model = keras_network(V2)
    config = model.get_config()
    for layer in config["layers"]:
        settings = layer["config"]
        if settings["name"] == "pool1_pad":
            settings["padding"] = ((0, 0), (0, 0))
        elif settings["name"] == "pool1_pool":
            settings["padding"] = "same"
        elif "epsilon" in settings:
            settings["epsilon"] = 1e-5
    sound = keras.Model.from_config(config)
    sound.set_weights(model.get_weights())
    noise = divergence(V2, recorded(V2).values()["logits_float32"])
    assert divergence(V2, sound(golden_images(75), training=False)) < 16 * noise


def test_biases_that_timms_v2_lacks_are_refused_by_name() -> None:
    seeds = seeded_checkpoint(recorded("resnet_v2_50"))
    arch = find_arch("resnet_v2_50")
    with pytest.raises(MappingError, match=r"resnet_v2_50/conv1/biases.*timm"):
        list(translate(seeds, arch, "tf", "timm").as_checkpoint(seeds).items())


def test_other_classes_images_and_features_go_through_the_same_builders() -> None:
    for version, features in ((1, 2048), (2, 2048)):
        name = f"resnet_v{version}_50"
        assert load(name, "torch", num_classes=7)(torch.zeros(1, 3, 70, 97)).shape == (1, 7)
        assert load(name, "torch", num_classes=0, in_channels=1)(torch.zeros(1, 1, 33, 40)).shape == (1, features)


def test_v1_has_the_labels_after_the_background() -> None:
    """tensorflow/models#6933, #7151: the converted Caffe models have 1000 classes, slim's data set 1001."""
    v1, v2 = find_arch("resnet_v1_50"), find_arch("resnet_v2_50")
    assert (has_background(v1), has_background(v2)) == (False, True)
    assert Head().class_names(v1, 1000) == Head(drop_background=True).class_names(v2, 1000)
    assert Head().class_names(v1, 1000)[0].startswith("tench")


def test_a_dropped_background_leaves_every_name_of_the_logits() -> None:
    table = Table.load("resnet_v2_50")
    names = ("resnet_v2_50/logits", "resnet_v2_50/spatial_squeeze")
    assert table.all_logits == names
    outputs = {name: np.arange(6.0).reshape(2, 3) for name in ("global_pool", *names, "predictions")}
    cut = outputs_with(Head(drop_background=True), outputs, table)
    shapes_of = {name: values.shape for name, values in cut.items()}
    assert shapes_of == {"global_pool": (2, 3)} | dict.fromkeys((*names, "predictions"), (2, 2))
    assert list(outputs_with(Head(no_head=True), outputs, table)) == ["global_pool"]


def test_a_network_that_was_built_without_slims_arg_scope_computes_what_folded_norms_do() -> None:
    """tensorflow/models#7176: without resnet_arg_scope, slim's convolutions have biases and no batch norm."""
    seeds = seeded_checkpoint(recorded("resnet_v2_50"))
    entries = {name: entry for name, entry in seeds.entries.items() if "/BatchNorm/" not in name}
    entries |= {
        name.replace("BatchNorm/beta", "biases"): entry
        for name, entry in seeds.entries.items()
        if name.endswith("/BatchNorm/beta")
    }
    without = Checkpoint(seeds.path, seeds.format, entries)
    translation = translate(without, find_arch("resnet_v2_50"), "tf", "torch")
    assert any(note.startswith("32 of 49 batch norms are folded") for note in translation.notes)
