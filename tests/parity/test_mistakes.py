"""A suite that cannot fail proves nothing: single mistakes are planted, and parity must fail for each.

Those in the network and the table are compared with the golden; those in the choice and order of the
weights need a trainer's checkpoint, which TensorFlow runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from helpers.checkpoints import Saver, training_checkpoint
from porter import verify
from porter.catalog.models import find_arch
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.open import open_checkpoint
from porter.mapping import kinds, table
from porter.mapping.table import table_path
from porter.mapping.translate import Options, translate
from porter.nets import layers_torch as layers
from porter.nets.mobilenet_v1 import torch as mobilenet_v1
from porter.verbs.verify import verify_checkpoint

MODEL = "mobilenet_v1_0.25_128"
Plant = Callable[[pytest.MonkeyPatch], None]


def epsilon(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mobilenet_v1, "EPSILON", 1e-5)


def epsilon_of_float32(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mobilenet_v1, "EPSILON", float(np.float32(1e-3)))


def symmetric_padding(patch: pytest.MonkeyPatch) -> None:
    def padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
        return (kernel - 1) // 2, (kernel - 1) // 2

    patch.setattr(layers, "same_padding", padding)


def relu(patch: pytest.MonkeyPatch) -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return F.relu(super(layers.BatchNormAct, self).forward(x))

    patch.setattr(layers.BatchNormReLU6, "forward", forward)


def change_kind(patch: pytest.MonkeyPatch, kind: str, change: Callable[[list[kinds.Tensor]], None]) -> None:
    tensors = list(kinds.KINDS[kind])
    change(tensors)
    patch.setitem(kinds.KINDS, kind, tuple(tensors))
    forget_tables()


def forget_tables() -> None:
    for cached in (kinds.leaves_of, table._expanded):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def sound_tables() -> Iterator[None]:
    yield
    forget_tables()


def in_torch(tensor: kinds.Tensor, leaf: kinds.Leaf) -> kinds.Tensor:
    return tensor._replace(leaves={**tensor.leaves, "torch": leaf})


def exchanged(one: kinds.Tensor, other: kinds.Tensor) -> list[kinds.Tensor]:
    return [in_torch(one, other.leaves["torch"]), in_torch(other, one.leaves["torch"])]


def mean_and_variance(patch: pytest.MonkeyPatch) -> None:
    def swap(tensors: list[kinds.Tensor]) -> None:
        mean, variance = tensors[2], tensors[3]
        tensors[2:] = exchanged(mean, variance)

    change_kind(patch, "batch_norm", swap)


def gamma_and_beta(patch: pytest.MonkeyPatch) -> None:
    def swap(tensors: list[kinds.Tensor]) -> None:
        gamma, beta = tensors[:2]
        tensors[:2] = exchanged(gamma, beta)

    change_kind(patch, "batch_norm", swap)


def depthwise_axes(patch: pytest.MonkeyPatch) -> None:
    def swap(tensors: list[kinds.Tensor]) -> None:
        tensors[0] = in_torch(tensors[0], kinds.Leaf("weight", "(CM)1WH"))

    change_kind(patch, "depthwise", swap)


def swapped_blocks(patch: pytest.MonkeyPatch) -> None:
    change_table(patch, '"3.1", "3.2"', '"3.2", "3.1"')


def change_table(patch: pytest.MonkeyPatch, old: str, new: str) -> None:
    read = Path.read_text

    def changed(path: Path, *args: Any, **options: Any) -> str:
        text = read(path, *args, **options)
        if path == table_path("mobilenet_v1"):
            assert old in text
            text = text.replace(old, new)
        return text

    patch.setattr(Path, "read_text", changed)


def skipped_block(patch: pytest.MonkeyPatch) -> None:
    forward = mobilenet_v1.SeparableBlock.forward

    def skip(self: mobilenet_v1.SeparableBlock, x: torch.Tensor) -> torch.Tensor:
        y = forward(self, x)
        return x if x.shape == y.shape and x.shape[-1] == 8 else y

    patch.setattr(mobilenet_v1.SeparableBlock, "forward", skip)


def whole_pool(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(mobilenet_v1, "POOL", 3)


@pytest.mark.parametrize(
    ("plant", "diverges"),
    [
        (epsilon, "Conv2d_0"),
        (epsilon_of_float32, "Conv2d_0"),  # beyond 1e-9 from Conv2d_4_depthwise on, and followed back
        (symmetric_padding, "Conv2d_0"),
        (relu, "Conv2d_4_pointwise"),  # the first with a probe above 6
        (mean_and_variance, "Conv2d_0"),
        (gamma_and_beta, "Conv2d_0"),
        (depthwise_axes, "Conv2d_1_depthwise"),
        (swapped_blocks, "Conv2d_7_depthwise"),
        (skipped_block, "Conv2d_8_depthwise"),  # the skipped block itself is still run
        (whole_pool, "AvgPool_1a"),
    ],
)
def test_a_mistake_is_caught_where_it_sits(monkeypatch: pytest.MonkeyPatch, plant: Plant, diverges: str) -> None:
    plant(monkeypatch)
    result = verify(MODEL)
    assert not result
    divergence = result.ports["torch"].first_divergence
    assert divergence is not None
    assert divergence.endpoint == diverges


@pytest.fixture
def checkpoint(save: Saver) -> Checkpoint:
    return open_checkpoint(save(training_checkpoint()))


def test_raw_weights_for_averages_are_caught(tf: Any, checkpoint: Checkpoint) -> None:
    arch = find_arch(MODEL)
    chosen = translate(checkpoint, arch, "tf", "torch")
    raw = translate(checkpoint, arch, "tf", "torch", Options(average="raw"))
    for entries, ok in ((chosen.entries, True), (raw.entries, False)):
        port = Checkpoint(checkpoint.path, "translation", entries)
        assert bool(verify_checkpoint(arch, checkpoint, chosen, {"torch": port})) is ok


def test_a_shifted_background_class_is_caught(tf: Any, checkpoint: Checkpoint) -> None:
    arch = find_arch(MODEL)
    chosen = translate(checkpoint, arch, "tf", "torch")
    entries = dict(chosen.entries)
    for name in ("classifier.weight", "classifier.bias"):
        shifted = np.roll(entries[name].load(), -1, axis=0)
        entries[name] = Entry(shifted.shape, shifted.dtype, lambda shifted=shifted: shifted)
    port = Checkpoint(checkpoint.path, "translation", entries)
    result = verify_checkpoint(arch, checkpoint, chosen, {"torch": port})
    divergence = result.ports["torch"].first_divergence
    assert divergence is not None
    assert divergence.endpoint == "Logits"
