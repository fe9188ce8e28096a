"""From a trainer's checkpoint to PyTorch's names: roles, averages, and what is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import Saver, seeded_variables, training_checkpoint
from porter.catalog.models import find_arch
from porter.errors import MappingError
from porter.formats.checkpoint import Entry
from porter.formats.open import open_checkpoint
from porter.formats.roles import SHADOW_SUFFIX, role_of
from porter.mapping.translate import Options, Translation, translate

ARCH = find_arch("mobilenet_v1_0.25_128")
STEM = "MobilenetV1/Conv2d_0/weights"
MEAN = "MobilenetV1/Conv2d_0/BatchNorm/moving_mean"
HEAD = "MobilenetV1/Logits/Conv2d_1c_1x1"


def translated(save: Saver, tensors: dict[str, np.ndarray], **options: Any) -> Translation:
    return translate(open_checkpoint(save(tensors)), ARCH, "tf", "torch", Options(**options))


def shadows_only() -> dict[str, np.ndarray]:
    return {name + SHADOW_SUFFIX: value for name, value in seeded_variables().items()}


def stem(found: Translation) -> np.ndarray:
    return found.entries["conv_stem.weight"].load()


def test_every_entry_of_a_training_checkpoint_has_its_role(save: Saver) -> None:
    found = translated(save, training_checkpoint())
    assert found.roles == {"optimizer slot": 274, "variable": 137, "EMA shadow": 137, "step counter": 1}
    assert len(found.entries) == 137
    assert found.num_classes == 1001


@pytest.mark.parametrize(("weights", "factor"), [("auto", 1.01), ("ema", 1.01), ("raw", 1.0)])
def test_the_weights_asked_for_are_taken(save: Saver, weights: str, factor: float) -> None:
    found = translated(save, training_checkpoint(), average=weights)
    raw = seeded_variables()[STEM]
    assert np.array_equal(stem(found), (raw * np.float32(factor)).transpose(3, 2, 0, 1))
    assert found.average == {"raw": "raw"}.get(weights, "ema")


def test_the_largest_difference_between_raw_and_average_is_told(save: Saver) -> None:
    variables = seeded_variables()
    want = max(np.abs(value - value * np.float32(1.01)).max() for value in variables.values())
    assert translated(save, training_checkpoint()).ema_difference == want
    assert translated(save, variables).ema_difference is None


def test_raw_values_and_averages_are_compared_in_the_pass_that_reads_them(save: Saver) -> None:
    opened, reads = open_checkpoint(save(training_checkpoint())), Counter[str]()

    def counted(name: str, entry: Entry) -> Entry:
        def load() -> np.ndarray:
            reads[name] += 1
            return entry.load()

        return entry._replace(load=load)

    entries = {name: counted(name, entry) for name, entry in opened.entries.items()}
    found = translate(replace(opened, entries=entries), ARCH, "tf", "torch", Options())
    assert not reads
    for entry in found.entries.values():
        entry.load()
    assert found.ema_difference == pytest.approx(0.0202, abs=1e-4)
    assert reads == dict.fromkeys([*seeded_variables(), *shadows_only()], 1)


def test_auto_takes_raw_unless_every_trainable_variable_has_an_average(save: Saver) -> None:
    tensors = training_checkpoint()
    del tensors[STEM + SHADOW_SUFFIX]
    assert translated(save, tensors).average == "raw"
    with pytest.raises(MappingError, match=rf"no moving average of 1 trainable variable:\n  {STEM}"):
        translated(save, tensors, average="ema")


def test_a_statistic_without_an_average_is_taken_raw(save: Saver) -> None:
    tensors = training_checkpoint()
    del tensors[MEAN + SHADOW_SUFFIX]
    found = translated(save, tensors)
    assert found.average == "ema"
    assert found.taken[MEAN] == MEAN
    assert np.array_equal(found.entries["bn1.running_mean"].load(), tensors[MEAN])


def test_shadows_alone_are_taken_and_raw_is_refused(save: Saver) -> None:
    assert np.array_equal(stem(translated(save, shadows_only())), seeded_variables()[STEM].transpose(3, 2, 0, 1))
    with pytest.raises(MappingError, match='take `average="auto"`'):
        translated(save, shadows_only(), average="raw")


@pytest.mark.parametrize("suffix", ["", SHADOW_SUFFIX])
def test_a_variable_neither_mapped_nor_ignored_is_named(save: Saver, suffix: str) -> None:
    tensors = shadows_only() if suffix else seeded_variables()
    tensors["extra/weights" + suffix] = np.zeros((1, 1, 2, 2), np.float32)
    with pytest.raises(MappingError, match=r"1 variable in model.ckpt is neither .*\n  extra/weights \(1, 1, 2, 2\)"):
        translated(save, tensors)
    assert translated(save, tensors, ignore=["extra/*"]).ignored == ("extra/weights",)


def test_a_slot_of_no_variable_is_not_passed_over(save: Saver) -> None:
    with pytest.raises(MappingError, match="encoder/Adam"):
        translated(save, seeded_variables() | {"encoder/Adam": np.zeros(3, np.float32)})


def test_ignore_cannot_take_what_the_model_needs(save: Saver) -> None:
    with pytest.raises(MappingError, match="which the model needs: narrow the pattern"):
        translated(save, seeded_variables(), ignore=["MobilenetV1/Conv2d_0/*"])


def test_a_missing_variable_is_named(save: Saver) -> None:
    tensors = seeded_variables()
    del tensors[MEAN]
    with pytest.raises(MappingError, match=rf"lacks 1 of the 137 tensors of {ARCH.name}:\n  {MEAN}"):
        translated(save, tensors)


def test_another_models_shape_is_refused(save: Saver) -> None:
    with pytest.raises(MappingError, match=r"has shape \(3, 3, 3, 16\), mobilenet_v1_0.25_128 expects \(3, 3, 3, 8\)"):
        translated(save, seeded_variables("mobilenet_v1_0.5_128"))


def test_the_classes_are_the_heads(save: Saver) -> None:
    tensors = seeded_variables()
    tensors[f"{HEAD}/weights"] = np.ones((1, 1, 256, 5), np.float32)
    tensors[f"{HEAD}/biases"] = np.ones(5, np.float32)
    found = translated(save, tensors)
    assert found.num_classes == 5
    assert found.entries["classifier.weight"].shape == (5, 256)
    tensors[f"{HEAD}/biases"] = np.ones(6, np.float32)
    with pytest.raises(MappingError, match="the head's tensors disagree on the number of classes"):
        translated(save, tensors)
    tensors[f"{HEAD}/weights"] = np.ones((1, 1, 128, 6), np.float32)
    with pytest.raises(MappingError, match="the head has another shape than the target's"):
        translated(save, tensors)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("a/weights", "variable"),
        ("a/weights/ExponentialMovingAverage", "EMA shadow"),
        ("a/weights/Momentum", "optimizer slot"),
        ("a/weights/Adam_1", "optimizer slot"),
        ("a/weights/ExponentialMovingAverage/RMSProp", "variable"),
        ("b/weights/RMSProp", "optimizer slot"),
        ("c/weights/RMSProp", "variable"),
        ("beta1_power", "optimizer slot"),
        ("train/beta2_power_1", "optimizer slot"),
        ("global_step", "step counter"),
        ("train/global_step", "step counter"),
        ("my_global_step_embedding", "variable"),
        ("a/a/weights/biased", "zero-debias slot"),
        ("a/weights/local_step", "zero-debias slot"),
        ("c/biased", "variable"),
        # mixed precision: tensorflow/python/training/experimental/loss_scale.py, tf.contrib.mixed_precision
        ("loss_scale", "training setting"),
        ("current_loss_scale", "training setting"),
        ("loss_scale_manager/loss_scale_1", "training setting"),
        ("good_steps", "step counter"),
        ("current_loss_scale/good_steps", "step counter"),
        ("bad_steps", "step counter"),
        ("learning_rate", "training setting"),
        ("input_producer/limit_epochs/epochs", "step counter"),
        ("training/Adam/iterations", "step counter"),
        ("Adam/beta_1", "training setting"),
        ("SGD/lr", "training setting"),
        ("a/learning_rate/weights", "variable"),
        ("my_loss_scale", "variable"),
        ("epochs", "variable"),
    ],
)
def test_roles_are_told_by_what_stands_behind_a_known_variable(name: str, role: str) -> None:
    assert role_of(name, {name, "a/weights", "b/weights/ExponentialMovingAverage"}) == role
