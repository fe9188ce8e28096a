"""Fused networks: batch norms folded into convolutions, compared with the goldens at every endpoint."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from helpers.checkpoints import Saver, training_checkpoint
from porter import PorterError, load, verify
from porter.catalog.goldens import recorded
from porter.catalog.models import find_arch
from porter.mapping.head import Head
from porter.mapping.table import Table
from porter.nets import fuse_torch
from porter.nets.fuse_torch import fuse
from porter.parity.compare_runs import Subject, compare_runs
from porter.runners.context import Context
from porter.runners.golden import golden_images
from porter.runners.open_side import beside_golden, golden_side, open_side

MODEL = "mobilenet_v1_0.25_128"
QUICK = [MODEL, "nasnet_cifar"]
SLOW = """amoebanet_d_3x64_99 inception_v1@193 inception_v2@193 inception_v3@150 inception_v4@150
inception_resnet_v2@139 mobilenet_v2_0.35_96 mobilenet_v3_small_0.75_224@97 pnasnet_mobile resnet_v1_50@75
resnet_v2_50@75 ssd_mobilenet_v2""".split()


def norms(network: nn.Module) -> list[str]:
    return [name for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm2d)]


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_fused_network_computes_what_the_original_computes(name: str) -> None:
    golden = recorded(name)
    arch = find_arch(golden.model)
    context = beside_golden(Context(arch, Table.of(arch), arch.input_size, golden=golden))
    side, subject = open_side("torch-fused:", context), Subject(arch, context.table, Head())
    images = golden_images(context.size)
    (report,) = compare_runs({side.name: side.runner}, golden_side(context).runner, images, subject).values()
    assert report, str(report)
    assert [row.endpoint for row in report.rows] == list(golden.endpoint_shapes)


@pytest.mark.parametrize(
    ("model", "left"),
    [
        (MODEL, 0),
        ("mobilenet_v2_0.35_96", 0),
        ("mobilenet_v3_small_0.75_224", 0),
        ("nasnet_mobile", 0),
        ("resnet_v1_50", 0),
        ("resnet_v2_50", 17),  # before a ReLU and a convolution: one in each of 16 units, and the last
        ("inception_v3", 0),
    ],
)
def test_only_batch_norms_that_stand_before_their_convolution_stay(model: str, left: int) -> None:
    network = load(model, fused=True)
    assert len(norms(network)) == left
    assert all(
        each.weight.is_contiguous(memory_format=torch.channels_last)
        for each in network.modules()
        if isinstance(each, nn.Conv2d)
    )


def test_the_weights_are_folded_in_float64_and_rounded_once() -> None:
    network, exact = load(MODEL), load(MODEL, dtype="float64")
    exact.load_state_dict(network.state_dict())
    found, want = fuse(network).state_dict(), fuse(exact).state_dict()
    assert found.keys() == want.keys()
    assert all(torch.equal(found[name], value.float()) for name, value in want.items())


class Shared(nn.Module):
    """A convolution whose output is read twice, one that runs twice, and a batch norm of a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(4, 4, 1) for _ in range(2))
        self.bn_one, self.bn_two, self.bn_sum = (nn.BatchNorm2d(4) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.one(x)
        return self.bn_sum(self.bn_one(x) + self.bn_two(self.two(self.two(x))))


def test_a_convolution_with_other_readers_keeps_its_batch_norm() -> None:
    network = Shared().eval()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
    images = torch.randn(2, 4, 5, 5)
    want = network(images)
    assert norms(fuse(network)) == ["bn_one", "bn_two", "bn_sum"]
    torch.testing.assert_close(network(images), want)


def test_verify_compares_the_fused_port_and_a_fused_file_with_the_original(save: Saver, tmp_path: Path) -> None:
    from porter import port

    out = tmp_path / "out.safetensors"
    port(MODEL, "tf", checkpoint=save(training_checkpoint()), out=out)
    result = verify(MODEL, reference=f"torch:{out}", candidate=f"torch-fused:{out}")
    assert result
    assert result.titles == {"torch-fused": "out.safetensors in PyTorch, fused"}


def test_a_fused_network_with_a_wrong_epsilon_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    fold = fuse_torch._fold

    def other(norm: Any, convolutions: Any) -> None:
        norm.eps = 1e-5
        fold(norm, convolutions)

    monkeypatch.setattr(fuse_torch, "_fold", other)
    assert not verify(MODEL, candidate="torch-fused:")


def test_feature_maps_of_a_fused_network_are_those_of_the_network() -> None:
    torch.manual_seed(0)
    network = load(MODEL, features_only=True)
    torch.manual_seed(0)
    fused = load(MODEL, features_only=True, fused=True)
    images = torch.rand(1, 3, 128, 128)
    for want, got in zip(network(images), fused(images), strict=True):
        np.testing.assert_allclose(got.detach(), want.detach(), rtol=1e-4, atol=1e-5)


def test_a_fused_network_pickles() -> None:
    network = load(MODEL, "torch", fused=True)
    again = pickle.loads(pickle.dumps(network))
    images = torch.randn(1, 3, 128, 128)
    with torch.inference_mode():
        torch.testing.assert_close(again(images), network(images), rtol=0, atol=0)


def test_keras_has_no_fused_networks() -> None:
    with pytest.raises(PorterError, match="`fused` is for networks in torch, not in keras: leave it out"):
        load(MODEL, "keras", fused=True)


class Reused(nn.Module):
    """A convolution with a batch norm on one of its two paths (pytorch/pytorch#197539 and #104593)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.bn(self.conv(x)), self.conv(2 * x)], 1)


class Mapped(nn.Module):
    """Maps that ReLUs, sums and others read: only those without another reader may be overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        self.again, self.alone = nn.ReLU(), nn.Conv2d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn(self.conv(x))
        y = self.relu(x) + torch.nn.functional.relu(x) * self.again(x)
        z = torch.relu(self.alone(y))
        return torch.cat([x + y, z + x, y + z, torch.relu(z - 1)], 1)


@pytest.mark.parametrize("kind", [Reused, Mapped])
def test_a_fused_network_computes_the_same_and_leaves_its_input(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network = kind().eval()
    network.bn.running_mean.fill_(0.5)
    network.bn.running_var.fill_(2.0)
    images = torch.randn(2, 3, 8, 8)
    kept, want = images.clone(), network(images)
    with torch.inference_mode():
        torch.testing.assert_close(fuse(network)(images), want)
    assert torch.equal(images, kept)


def test_relus_of_one_map_run_once_and_every_place_stays() -> None:
    network = Mapped().eval()
    fused, seen = fuse(network), {}
    for name, layer in fused.named_children():
        layer.register_forward_hook(lambda *call, name=name: seen.update({name: call[2].clone()}))
    fused(torch.randn(1, 3, 8, 8))
    assert fused.code.count("relu(") == 2  # the shared one, and that of z - 1
    assert fused.code.count("relu_(") == 1
    assert torch.equal(seen["relu"], seen["again"])
    assert seen.keys() == dict(Mapped().named_children()).keys()


@torch.inference_mode()
def test_no_layer_overwrites_a_feature_map() -> None:
    """A later ReLU that works in place shows in what an extractor kept (meta-pytorch/captum#156)."""
    torch.manual_seed(0)
    network = load("nasnet_mobile", features_only=True)
    torch.manual_seed(0)
    fused = load("nasnet_mobile", features_only=True, fused=True)
    images = torch.rand(1, 3, 65, 65)
    for want, got in zip(network(images), fused(images), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert fused.feature_info.channels() == network.feature_info.channels()
    assert pickle.loads(pickle.dumps(fused)).feature_info.channels() == network.feature_info.channels()


def test_a_fused_network_is_copied_and_exported() -> None:
    network = load(MODEL, fused=True)
    images = torch.rand(2, 3, 128, 128)
    with torch.inference_mode():
        want = network(images)
        torch.testing.assert_close(copy.deepcopy(network)(images), want, rtol=0, atol=0)
    exported = torch.export.export(network, (images,)).module()
    torch.testing.assert_close(exported(images), want, rtol=1e-5, atol=1e-6)
    assert exported.state_dict().keys() == network.state_dict().keys()
