"""Every PyTorch network traces, compiles without a graph break, and exports with dynamic batch, height and width."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from porter import load
from porter.catalog.models import ARCHS, Arch
from porter.nets.nasnet import design
from porter.nets.nasnet.torch import NASNet
from porter.nets.vgg.torch import VGG

SEEN = (2, 65, 66)
OTHERS = [(1, 70, 97), (3, 96, 64)]
"""Batch, height and width: of the example that is traced, and of two others, with odd and even sides."""

LARGE = [(2, 224, 225), (1, 255, 240)]
"""The same for VGG, whose first fully connected layer reads a map of 7x7."""

TABLES = {arch.table: arch for arch in ARCHS.values()}
"""One model of each mapping table."""

SMALL: dict[str, Callable[[], nn.Module]] = {
    "cifar": lambda: NASNet(dataclasses.replace(design.CIFAR, num_cells=3, num_conv_filters=8), 5),
    "mobile": lambda: NASNet(dataclasses.replace(design.MOBILE, num_cells=3, num_conv_filters=8), 5),
    "large": lambda: NASNet(dataclasses.replace(design.LARGE, num_cells=3, num_conv_filters=8), 5),
    "mobilenet": lambda: load("mobilenet_v1_0.25_128", "torch"),
    "any size": lambda: load("mobilenet_v1_0.25_128", "torch", global_pool=True),
}
"""NASNets with every kind of cell and input, N = 1, and MobileNet V1's two pools."""


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch.manual_seed(0)
    torch.compiler.reset()


def images(batch: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(batch, 3, height, width, dtype=torch.float64)


def ready(network: nn.Module) -> Any:
    """Return ``network`` in float64 and eval mode, with other statistics than a fresh batch norm's."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.double().eval()


def traced(network: nn.Module) -> Any:
    return torch.fx.symbolic_trace(network)


def compiled(network: nn.Module) -> Any:
    return torch.compile(network, fullgraph=True, dynamic=True, backend="eager")


def sizes_of(network: nn.Module) -> list[tuple[int, int, int]]:
    """Return the sizes of images to try with ``network``; the first one is traced."""
    return LARGE if isinstance(network, VGG) else [SEEN, *OTHERS]


def exported(network: nn.Module) -> Any:
    """Return the exported network, for any batch and for sides with a last map of 2x2 to 8x8; VGG's is 7x7."""
    side = {"min": 224, "max": 255} if isinstance(network, VGG) else {"min": 35, "max": 256}
    dynamic = {0: torch.export.Dim("n"), 2: torch.export.Dim("h", **side), 3: torch.export.Dim("w", **side)}
    return torch.export.export(network, (images(*sizes_of(network)[0]),), dynamic_shapes=(dynamic,)).module()


WAYS = [traced, compiled, exported]


@torch.no_grad()
def agrees(way: Callable[[nn.Module], Any], network: nn.Module) -> None:
    again = way(network)
    for size in sizes_of(network):
        x = images(*size)
        want = network(x)
        assert want.std() > 0
        torch.testing.assert_close(again(x), want, rtol=0, atol=1e-12 * float(want.std()))


def slow_unless(quick: bool) -> Any:
    return () if quick else pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "way"),
    [
        # Symbolic sizes take a few seconds of compilation for each cell.
        pytest.param(name, way, marks=slow_unless(way is traced or name in ("cifar", "any size")))
        for name in SMALL
        for way in WAYS
    ],
)
def test_a_small_network_computes_the_same_at_other_sizes(name: str, way: Callable[[nn.Module], Any]) -> None:
    agrees(way, ready(SMALL[name]()))


@pytest.mark.parametrize(
    "arch",
    [
        pytest.param(a, marks=slow_unless(a.input_size < 300 and a.options.get("depth", 0) < 100 and a.family != "vgg"))
        for a in TABLES.values()
    ],
)
def test_every_tables_network_is_traced_and_computes_the_same_at_other_sizes(arch: Arch) -> None:
    agrees(traced, ready(load(arch.name, "torch")))


@pytest.mark.slow
@pytest.mark.parametrize("arch", TABLES.values())
def test_every_tables_network_compiles_as_one_graph(arch: Arch) -> None:
    """At one size. Symbolic sizes take minutes of compilation for a whole NASNet; the small networks cover them."""
    network = ready(load(arch.name, "torch"))
    x = images(*sizes_of(network)[0])
    again = torch.compile(network, fullgraph=True, dynamic=False, backend="eager")
    with torch.no_grad():
        want = network(x)
        torch.testing.assert_close(again(x), want, rtol=0, atol=1e-12 * float(want.std()))


@pytest.mark.slow
@pytest.mark.parametrize("arch", TABLES.values())
def test_every_tables_network_is_exported_for_any_size(arch: Arch) -> None:
    agrees(exported, ready(load(arch.name, "torch")))


@pytest.mark.slow
def test_inductor_compiles_a_network() -> None:
    """At one size: Inductor compiles a NASNet with symbolic sizes for a quarter of an hour."""
    network, x = ready(SMALL["mobilenet"]()), images(*SEEN)
    with torch.no_grad():
        want = network(x)
        again = torch.compile(network, fullgraph=True, dynamic=False)(x)
    torch.testing.assert_close(again, want, rtol=0, atol=1e-12 * float(want.std()))


def test_a_traced_network_refuses_what_the_network_refuses() -> None:
    network = ready(SMALL["mobilenet"]())
    for one in (network, traced(network)):
        with pytest.raises(ValueError, match="build the network with global_pool=True"):
            one(images(1, 257, 64))


def test_drop_path_traces_in_eval_mode_after_training_began() -> None:
    network = ready(SMALL["cifar"]())
    network.set_step(900_000)
    agrees(traced, network)


def test_forward_hooks_see_every_cell() -> None:
    network, seen = ready(SMALL["cifar"]()), []
    for name in network.steps:
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
    network(images(*SEEN))
    assert seen == list(network.steps)
