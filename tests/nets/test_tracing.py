"""Every PyTorch network traces, compiles without a graph break, and exports with dynamic batch, height and width."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import nn

from helpers.goldens import COSTLY, multiply_adds
from porter import load
from porter.catalog.models import ARCHS, find_arch
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


class Subject:
    """A network, and what it computes itself, kept for the ways that are compared with it."""

    def __init__(self, network: nn.Module, sizes: Sizes = ANY) -> None:
        self.network, self.sizes = ready(network), sizes
        self.computed: dict[tuple[int, int, int], tuple[torch.Tensor, Any]] = {}

    def on(self, size: tuple[int, int, int]) -> tuple[torch.Tensor, Any]:
        """Return images of ``size`` and the network's outputs."""
        if size not in self.computed:
            x = images(*size)
            self.computed[size] = x, self.network(x)
        return self.computed[size]


@pytest.fixture(scope="module")
def built_once() -> Callable[[str], Subject]:
    """Return a function that builds a model's network, and keeps the last one: the large ones fill the memory."""

    def subject(name: str) -> Subject:
        arch = find_arch(name)
        return Subject(load(arch.name, "torch"), SIZES.get(arch.table, ANY if Table.of(arch).logits else DETECTED))

    return lru_cache(maxsize=1)(subject)


def traced(network: nn.Module, sizes: Sizes) -> Any:
    return torch.fx.symbolic_trace(network)


def compiled(network: nn.Module, sizes: Sizes) -> Any:
    return torch.compile(network, fullgraph=True, dynamic=True, backend="eager")


def compiled_at_one_size(network: nn.Module, sizes: Sizes) -> Any:
    """Symbolic sizes take minutes of compilation for a whole NASNet; the small networks cover them."""
    return torch.compile(network, fullgraph=True, dynamic=False, backend="eager")


def exported(network: nn.Module, sizes: Sizes) -> Any:
    """Return the exported network, for any batch and for sides from the least to the most."""
    side = {"min": sizes.least, "max": sizes.most}
    dynamic = {0: torch.export.Dim("n"), 2: torch.export.Dim("h", **side), 3: torch.export.Dim("w", **side)}
    return torch.export.export(network, (images(*sizes.tried[0]),), dynamic_shapes=(dynamic,)).module()


Way = Callable[[nn.Module, Sizes], Any]
WAYS = [traced, compiled, exported]
WHOLE_WAYS = [traced, compiled_at_one_size, exported]


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
def agrees(way: Way, subject: Subject) -> None:
    again = way(subject.network, subject.sizes)
    for size in subject.sizes.tried[: 1 if way is compiled_at_one_size else None]:
        x, want = subject.on(size)
        assert_same(again(x), want)


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
def test_a_small_network_computes_the_same_at_other_sizes(name: str, way: Way) -> None:
    agrees(way, Subject(SMALL[name]()))


@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(
            arch.name,
            way,
            marks=slow_unless(way is traced and multiply_adds(arch.name) < COSTLY),
        )
        for arch in TABLES.values()
        for way in WHOLE_WAYS
    ],
)
def test_every_tables_network_computes_the_same(built_once: Callable[[str], Subject], name: str, way: Way) -> None:
    """Traced and exported at other sizes too; compiled as one graph."""
    agrees(way, built_once(name))


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
    agrees(traced, Subject(network))


def test_forward_hooks_see_every_cell() -> None:
    network, seen = ready(SMALL["cifar"]()), []
    for name in network.steps:
        network.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
    network(images(*ANY.tried[0]))
    assert seen == list(network.steps)
