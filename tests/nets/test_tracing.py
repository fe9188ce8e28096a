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

SEEN = (2, 65, 66)
OTHERS = [(1, 70, 97), (3, 96, 64)]
"""Batch, height and width: of the example that is traced, and of two others, with odd and even sides."""

TABLES = {arch.table: arch for arch in ARCHS.values()}
"""One model of each mapping table."""

VALID = ("inception_v3", "inception_v4", "inception_resnet_v2")
"""Tables of networks without padding in the first layers: they take sides from 75 on."""

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


def images(batch: int, height: int, width: int, more: int = 0) -> torch.Tensor:
    return torch.randn(batch, 3, height + more, width + more, dtype=torch.float64)


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


def exported(network: nn.Module) -> Any:
    """Return the exported network, for any batch and for sides with a last map of 2x2 to 8x8."""
    more = larger(network)
    side = {"min": 35 + (72 if more else 0), "max": 256}
    dynamic = {0: torch.export.Dim("n"), 2: torch.export.Dim("h", **side), 3: torch.export.Dim("w", **side)}
    return torch.export.export(network, (images(*SEEN, more),), dynamic_shapes=(dynamic,)).module()


def larger(network: nn.Module) -> int:
    """Return by how many pixels the images of ``network`` are larger than SEEN and OTHERS."""
    return getattr(network, "larger", 0)


def of_table(arch: Arch) -> Any:
    network = ready(load(arch.name, "torch"))
    network.larger = 48 if arch.table in VALID else 0
    return network


WAYS = [traced, compiled, exported]


@torch.no_grad()
def agrees(way: Callable[[nn.Module], Any], network: nn.Module) -> None:
    again = way(network)
    for size in (SEEN, *OTHERS):
        x = images(*size, larger(network))
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


@pytest.mark.parametrize("arch", [pytest.param(a, marks=slow_unless(a.input_size < 250)) for a in TABLES.values()])
def test_every_tables_network_is_traced_and_computes_the_same_at_other_sizes(arch: Arch) -> None:
    agrees(traced, of_table(arch))


@pytest.mark.slow
@pytest.mark.parametrize("arch", TABLES.values())
def test_every_tables_network_compiles_as_one_graph(arch: Arch) -> None:
    """At one size. Symbolic sizes take minutes of compilation for a whole NASNet; the small networks cover them."""
    network, x = of_table(arch), images(*SEEN, 48)
    again = torch.compile(network, fullgraph=True, dynamic=False, backend="eager")
    with torch.no_grad():
        want = network(x)
        torch.testing.assert_close(again(x), want, rtol=0, atol=1e-12 * float(want.std()))


@pytest.mark.slow
@pytest.mark.parametrize("arch", TABLES.values())
def test_every_tables_network_is_exported_for_any_size(arch: Arch) -> None:
    agrees(exported, of_table(arch))


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
