"""Every PyTorch network traces, compiles without a graph break, and exports with dynamic batch, height and width."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from helpers.goldens import COSTLY, multiply_adds
from porter import load
from porter.catalog.models import ARCHS, Arch, find_arch
from porter.mapping.table import Table
from porter.nets.nasnet import design
from porter.nets.nasnet.torch import NASNet


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Batch, height and width of images to try, the traced ones first, and the smallest and largest side to export."""

    tried: tuple[tuple[int, int, int], ...]
    least: int
    most: int


ANY = Sizes(((2, 65, 66), (1, 70, 97), (3, 96, 64)), 35, 256)
"""Odd and even sides; the last map is 2x2 to 8x8."""
UNPADDED = Sizes(((2, 113, 114), (1, 118, 145), (3, 144, 112)), 107, 256)
"""For networks without padding in the first layers, which take sides from 75 on."""
FLAT = Sizes(((2, 224, 225), (1, 255, 240)), 224, 255)
"""For VGG, whose first fully connected layer reads a map of 7x7."""
DETECTED = Sizes(((2, 289, 300), (1, 321, 258)), 257, 512)
"""For detectors: an export is for sides at which no further map shrinks to 1x1, as the last ones are at 300."""
SIZES = dict.fromkeys(("inception_v3", "inception_v4", "inception_resnet_v2"), UNPADDED)
SIZES |= dict.fromkeys(("vgg_16", "vgg_19"), FLAT)
"""The sizes of each table's images; ANY for all other classifiers."""

TABLES = {arch.table: find_arch(arch.golden) for arch in ARCHS.values()}
"""One model of each mapping table, which has a golden."""

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


def of_table(arch: Arch) -> tuple[Any, Sizes]:
    return ready(load(arch.name, "torch")), SIZES.get(arch.table, ANY if Table.of(arch).logits else DETECTED)


def traced(network: nn.Module, sizes: Sizes) -> Any:
    return torch.fx.symbolic_trace(network)


def compiled(network: nn.Module, sizes: Sizes) -> Any:
    return torch.compile(network, fullgraph=True, dynamic=True, backend="eager")


def exported(network: nn.Module, sizes: Sizes) -> Any:
    """Return the exported network, for any batch and for sides from the least to the most."""
    side = {"min": sizes.least, "max": sizes.most}
    dynamic = {0: torch.export.Dim("n"), 2: torch.export.Dim("h", **side), 3: torch.export.Dim("w", **side)}
    return torch.export.export(network, (images(*sizes.tried[0]),), dynamic_shapes=(dynamic,)).module()


WAYS = [traced, compiled, exported]


def results(found: Any) -> dict[str, torch.Tensor]:
    """Return a network's outputs by name: a detector has several."""
    return found if isinstance(found, dict) else {"": found}


def assert_same(got: Any, want: Any) -> None:
    got, want = results(got), results(want)
    assert list(got) == list(want)
    assert any(values.std() > 0 for values in want.values())
    for name, values in want.items():
        torch.testing.assert_close(got[name], values, rtol=0, atol=1e-12 * float(values.std()))


@torch.no_grad()
def agrees(way: Callable[[nn.Module, Sizes], Any], network: nn.Module, sizes: Sizes = ANY) -> None:
    again = way(network, sizes)
    for size in sizes.tried:
        x = images(*size)
        assert_same(again(x), network(x))


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
def test_a_small_network_computes_the_same_at_other_sizes(name: str, way: Callable[[nn.Module, Sizes], Any]) -> None:
    agrees(way, ready(SMALL[name]()))


@pytest.mark.parametrize(
    "arch", [pytest.param(a, marks=slow_unless(multiply_adds(a.name) < COSTLY)) for a in TABLES.values()]
)
def test_every_tables_network_is_traced_and_computes_the_same_at_other_sizes(arch: Arch) -> None:
    agrees(traced, *of_table(arch))


@pytest.mark.slow
@pytest.mark.parametrize("arch", TABLES.values())
def test_every_tables_network_compiles_as_one_graph(arch: Arch) -> None:
    """At one size. Symbolic sizes take minutes of compilation for a whole NASNet; the small networks cover them."""
    network, sizes = of_table(arch)
    x = images(*sizes.tried[0])
    again = torch.compile(network, fullgraph=True, dynamic=False, backend="eager")
    with torch.no_grad():
        assert_same(again(x), network(x))


@pytest.mark.slow
@pytest.mark.parametrize("arch", TABLES.values())
def test_every_tables_network_is_exported_for_any_size(arch: Arch) -> None:
    agrees(exported, *of_table(arch))


@pytest.mark.slow
def test_inductor_compiles_a_network() -> None:
    """At one size: Inductor compiles a NASNet with symbolic sizes for a quarter of an hour."""
    network, x = ready(SMALL["mobilenet"]()), images(*ANY.tried[0])
    with torch.no_grad():
        want = network(x)
        again = torch.compile(network, fullgraph=True, dynamic=False)(x)
    torch.testing.assert_close(again, want, rtol=0, atol=1e-12 * float(want.std()))


def test_a_traced_network_refuses_what_the_network_refuses() -> None:
    network = ready(SMALL["mobilenet"]())
    for one in (network, traced(network, ANY)):
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
    network(images(*ANY.tried[0]))
    assert seen == list(network.steps)
