"""MobileNet V2 and V3: slim's rounding of channels, dropout, averages, and what does not fit."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from helpers.checkpoints import Saver, seeded_variables, training_checkpoint
from porter import load, port
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS
from porter.errors import MappingError
from porter.nets import inverted_residuals
from porter.nets.inverted_residuals import make_divisible
from porter.nets.mobilenet_v2 import design as v2
from porter.nets.mobilenet_v3.design import DESIGNS

V2, V3 = "mobilenet_v2_0.35_96", "mobilenet_v3_small_0.75_224"


def test_the_records_are_the_releases() -> None:
    families = [arch.family for arch in ARCHS.values()]
    assert (families.count("mobilenet_v2"), families.count("mobilenet_v3")) == (22, 6)


def test_numbers_and_rounding_are_slims(slim: SimpleNamespace) -> None:
    lib = sys.modules["nets.mobilenet.mobilenet"]
    for channels in np.arange(1, 400, 0.7):
        for divisor in (1, 8):
            assert make_divisible(channels, divisor) == lib._make_divisible(channels, divisor)
    scope = {name: p.default for name, p in inspect.signature(lib.training_scope).parameters.items()}
    assert scope["bn_decay"] == inverted_residuals.DECAY
    assert scope["dropout_keep_prob"] == 1 - inverted_residuals.DROPOUT
    swish = np.float32(1.0 / 6.0)
    assert float(swish) == inverted_residuals.SIXTH


@pytest.mark.parametrize("multiplier", [1.4, 1.3, 1.0, 0.75, 0.5, 0.35])
def test_v2s_residuals_are_where_the_table_says(multiplier: float) -> None:
    residual = [block.residual for stage in v2.stages(multiplier) for block in stage]
    assert [i for i, found in enumerate(residual) if found] == [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]


@pytest.mark.parametrize("multiplier", [1.0, 0.75])
def test_v3s_residuals_are_where_the_tables_say(multiplier: float) -> None:
    for variant, places in (("large", [0, 2, 4, 5, 7, 8, 9, 11, 13, 14]), ("small", [2, 4, 5, 7, 9, 10])):
        residual = [block.residual for stage in DESIGNS[variant].blocks(multiplier) for block in stage]
        assert [i for i, found in enumerate(residual) if found] == places


@pytest.mark.parametrize("name", [V2, V3])
def test_dropout_is_on_in_training_mode_alone(name: str) -> None:
    torch.manual_seed(0)
    model, seen = load(name, "torch"), []
    model.dropout.register_forward_hook(lambda _layer, inputs, output: seen.append((inputs[0], output)))
    with torch.no_grad():
        for training in (False, True):
            model.dropout.train(training)
            model(torch.randn(4, 3, 64, 64))
    (before, after), (x, dropped) = seen
    assert torch.equal(before, after)
    assert not model.training
    kept = dropped != 0
    assert 0.15 < 1 - float(kept.sum() / (x != 0).sum()) < 0.25
    torch.testing.assert_close(dropped[kept], x[kept] / 0.8)


@pytest.mark.parametrize("name", [V2, V3])
def test_kerass_dropout_is_on_in_training_mode_alone(name: str) -> None:
    keras: Any = pytest.importorskip("keras")
    model = load(name, "keras", input_size=64)
    assert model.get_layer("dropout").rate == pytest.approx(0.2)
    head = keras.Model(model.get_layer("dropout").input, model.get_layer("dropout").output)
    x = np.ones((4, *head.input_shape[1:]), np.float32)
    assert np.array_equal(np.asarray(head(x, training=False)), x)
    dropped = np.asarray(head(x, training=True))
    assert 0.15 < (dropped == 0).mean() < 0.25
    assert np.allclose(dropped[dropped != 0], 1 / 0.8)


@pytest.mark.parametrize("name", [V2, V3])
def test_auto_takes_the_averages_that_reach_the_published_accuracy(save: Saver, tmp_path: Path, name: str) -> None:
    """tensorflow/models#4809 measured 70.13 % with MobileNet V2's raw weights, for 71.8 %."""
    tensors = training_checkpoint(name)
    prefix = save(tensors)
    scope = "MobilenetV2" if name == V2 else "MobilenetV3"
    for average, want in (("auto", f"{scope}/Conv/weights/ExponentialMovingAverage"), ("raw", f"{scope}/Conv/weights")):
        entries = port(name, checkpoint=prefix, average=average, out=tmp_path / "m.safetensors").translation.entries
        assert np.array_equal(entries["conv_stem.weight"].load(), tensors[want].transpose(3, 2, 0, 1))


@pytest.mark.parametrize(
    ("name", "last", "channels"), [(V2, "MobilenetV2/Conv_1", 448), (V3, "MobilenetV3/Conv_2", 768)]
)
def test_a_checkpoint_whose_last_convolution_was_narrowed_is_refused(
    save: Saver, name: str, last: str, channels: int
) -> None:
    """tensorflow/models#7820: slim builds that network without finegrain_classification_mode."""
    tensors = seeded_variables(name)
    whole = recorded(name).variables[f"{last}/weights"][-1]
    for tensor, values in tensors.items():
        if tensor.startswith(f"{last}/"):
            tensors[tensor] = values[..., :channels]
        elif tensor.endswith("Conv2d_1c_1x1/weights"):
            tensors[tensor] = values[:, :, :channels]
    with pytest.raises(MappingError, match=rf"{last}/\w+.* has shape \(.*{channels}.*\), .* expects \(.*{whole}"):
        port(name, checkpoint=save(tensors))


def test_other_multipliers_sizes_and_classes_go_through_the_same_builders() -> None:
    assert load("mobilenet_v2", "torch", num_classes=7, multiplier=0.1)(torch.zeros(1, 3, 70, 97)).shape == (1, 7)
    assert load("mobilenet_v3_small", "torch", num_classes=0)(torch.zeros(1, 3, 70, 97)).shape == (1, 1024)
    assert load("mobilenet_v3_small", "keras", num_classes=0, input_size=64).output_shape == (None, 1024)
    assert load("mobilenet_v2", "keras", num_classes=7, input_size=65, multiplier=0.1).output_shape == (None, 7)
