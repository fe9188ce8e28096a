"""VGG: timm's names, the sizes that slim's network takes, dropout, and the flattened map of a dense layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from helpers import torchvision_stand_in
from porter import load
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.kinds import KINDS
from porter.mapping.relayout import relayout
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.nets.vgg.design import DROPOUT
from porter.runners.golden import golden_images

NAMES = ["vgg_16", "vgg_19"]


@pytest.mark.parametrize("name", NAMES)
def test_timm_has_the_names_and_shapes(name: str) -> None:
    torchvision_stand_in.install()
    timm: Any = pytest.importorskip("timm")
    with torch.device("meta"):
        theirs, ours = timm.create_model(name.replace("_", "")), load(name, "torch")
    theirs.load_state_dict(ours.state_dict(), strict=True, assign=True)
    assert not ours.training


@pytest.mark.parametrize("name", NAMES)
def test_keras_shapes_are_those_of_keras_applications(name: str) -> None:
    """As the weights of keras.applications list them: fc1 is dense, over 7 * 7 * 512 values."""
    arch = find_arch(name)
    found = expected_shapes(arch, Table.load(arch.table), "keras")
    assert found["fc1/kernel"] == (25088, 4096)
    assert found["fc2/kernel"] == (4096, 4096)
    assert found["predictions/kernel"] == (4096, 1000)
    assert len(found) == 2 * int(name[-2:])
    assert sum(int(np.prod(shape)) for shape in found.values()) == {"vgg_16": 138_357_544, "vgg_19": 143_667_240}[name]


def test_a_dense_layer_reads_the_flattened_map_in_its_frameworks_order() -> None:
    draw = np.random.default_rng(0)
    images, kernel = draw.standard_normal((2, 3, 4, 5)), draw.standard_normal((3, 4, 5, 6))
    want = np.einsum("nhwi,hwio->no", images, kernel)
    (tensor, _bias) = KINDS["flattened"]
    keras, torchs = (relayout(kernel, "HWIO", tensor.leaves[one].axes) for one in ("keras", "torch"))
    np.testing.assert_allclose(images.reshape(2, -1) @ keras, want, rtol=1e-12)
    np.testing.assert_allclose(images.transpose(0, 3, 1, 2).reshape(2, -1) @ torchs.T, want, rtol=1e-12)
    back = relayout(keras, tensor.leaves["keras"].axes, "HWIO", {"H": 3, "W": 4, "I": 5})
    assert np.array_equal(back, kernel)


@pytest.mark.parametrize("size", [223, 256])
def test_other_sizes_have_no_logits(size: int) -> None:
    """tensorflow/models#527: slim fails where it squeezes the logits."""
    with torch.device("meta"), pytest.raises(ValueError, match="reads 7x7: take images of 224 to 255 pixels"):
        load("vgg_16", "torch")(torch.zeros(1, 3, size, 230))


def test_images_of_other_sides_and_channels() -> None:
    with torch.device("meta"):
        assert load("vgg_16", "torch", num_classes=7, in_channels=1)(torch.zeros(2, 1, 224, 255)).shape == (2, 7)
        network = load("vgg_19", "torch", num_classes=0)
        assert network(torch.zeros(1, 3, 240, 230)).shape == (1, 4096)
        assert (network.pre_logits.drop.p, network.head.drop.p) == (DROPOUT, DROPOUT)


@pytest.mark.slow
def test_timm_computes_what_the_original_computes() -> None:
    torchvision_stand_in.install()
    timm: Any = pytest.importorskip("timm")
    with torch.device("meta"):
        model = timm.create_model("vgg16")
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in ported("torch").items()}
    model.load_state_dict(tensors, strict=True, assign=True)
    images = torch.from_numpy(golden_images(224).transpose(0, 3, 1, 2).copy())
    with torch.inference_mode():
        assert divergence(model.eval().double()(images.double())) < 1e-12


@pytest.mark.slow
def test_keras_applications_computes_what_the_original_computes() -> None:
    keras: Any = pytest.importorskip("keras")
    model = keras.applications.VGG16(weights=None, classifier_activation=None)
    tensors = ported("keras")
    assert {weight.path for weight in model.weights} == set(tensors)
    for weight in model.weights:
        weight.assign(tensors[weight.path])
    assert divergence(model(golden_images(224), training=False)) < 1e-4  # float32


def ported(framework: str) -> Checkpoint:
    """Return the port of the golden's weights."""
    seeds = seeded_checkpoint(recorded("vgg_16"))
    return translate(seeds, find_arch("vgg_16"), "tf", framework).as_checkpoint(seeds)


def divergence(logits: Any) -> float:
    """Return the largest difference of the logits, in standard deviations of the original's."""
    want = recorded("vgg_16").values()["logits_float64"]
    return float(np.abs(np.asarray(logits) - want).max() / want.std())
