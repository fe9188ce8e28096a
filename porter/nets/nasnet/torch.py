"""Networks of cells in PyTorch, and NASNet-A, built from ``design``. Parameter names are Cadene's, which are timm's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from porter.nets.layers_torch import (
    AvgPool2dSame,
    Conv2dSame,
    DropPath,
    GlobalAveragePool,
    MaxPool2dSame,
    SeparableConv2d,
    every,
)
from porter.nets.nasnet.design import (
    AUX_FILTERS,
    AUX_POOL,
    AUX_STRIDE,
    CIFAR,
    CURRENT,
    LARGE,
    MOBILE,
    PREVIOUS,
    Branch,
    Config,
    Step,
    Wiring,
    auxiliary_step,
    plan,
)

Norm = Callable[[int], nn.BatchNorm2d]
Make = Callable[[int, int, Norm, int], nn.Module]
"""An operation: a function of (channels, filters, batch norm, stride)."""


def fit(channels: int, filters: int, norm: Norm, stride: int = 1, **before: nn.Module) -> nn.Sequential:
    """Return the modules ``before``, then a 1x1 convolution and batch norm from ``channels`` to ``filters``."""
    convolution = nn.Conv2d(channels, filters, 1, stride, bias=False)
    return nn.Sequential(OrderedDict(before, conv=convolution, bn=norm(filters)))


class Separables(nn.Module):
    """The operations separable_KxK: ReLU, separable convolution and batch norm, twice; the first has the stride."""

    def __init__(self, channels: int, filters: int, norm: Norm, stride: int, kernel: int) -> None:
        super().__init__()
        self.separable_1 = SeparableConv2d(channels, filters, kernel, stride)
        self.bn_sep_1 = norm(filters)
        self.separable_2 = SeparableConv2d(filters, filters, kernel)
        self.bn_sep_2 = norm(filters)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn_sep_1(self.separable_1(F.relu(x)))
        return self.bn_sep_2(self.separable_2(F.relu(x)))


def _identity(channels: int, filters: int, norm: Norm, stride: int) -> nn.Module:
    """Return the operation identity: a 1x1 convolution only where filters or stride change."""
    if stride == 1 and channels == filters:
        return nn.Identity()
    return fit(channels, filters, norm, stride, relu=nn.ReLU())


def pool(
    channels: int, filters: int, norm: Norm, stride: int, kind: Callable[[int, int], nn.Module], kernel: int = 3
) -> nn.Module:
    """Return a pool. Where the filters change, a 1x1 convolution without ReLU follows."""
    if channels == filters:
        return kind(kernel, stride)
    return fit(channels, filters, norm, pool=kind(kernel, stride))


OPERATIONS: dict[str, Make] = {
    "separable_3x3": partial(Separables, kernel=3),
    "separable_5x5": partial(Separables, kernel=5),
    "separable_7x7": partial(Separables, kernel=7),
    "average_3x3": partial(pool, kind=AvgPool2dSame),
    "maximum_3x3": partial(pool, kind=MaxPool2dSame),
    "identity": _identity,
}
"""The operations of ``design.Branch``."""


class EverySecond(nn.Module):
    """Every second pixel from ``offset`` on, which is 0 or 1; both give ceil(size / 2) pixels.

    Offset 1 pads zeros on the right and at the bottom and crops the first row and column. So it reads that padding
    where the side is odd.
    """

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        return every(F.pad(x, (-self.offset, self.offset) * 2) if self.offset else x, 2)


def _path(offset: int, channels: int, filters: int, relu: bool) -> nn.Sequential:
    convolution = nn.Conv2d(channels, filters, 1, bias=False)
    activation = {"relu": nn.ReLU()} if relu else {}
    return nn.Sequential(OrderedDict(pixels=EverySecond(offset), **activation, conv=convolution))


class Halving(nn.Module):
    """A module with the layers of factorized reduction, which halves a map."""

    def add_halving(self, channels: int, filters: int, norm: Norm, relu: bool = True) -> None:
        """Add the layers: half of the filters come from the even pixels, half (or one more) from the odd ones."""
        self.path_1 = _path(0, channels, filters // 2, relu)
        self.path_2 = _path(1, channels, filters - filters // 2, relu)
        self.final_path_bn = norm(filters)

    def halved(self, x: Tensor) -> Tensor:
        """Return the (N, channels, H, W) map ``x`` as (N, filters, ceil(H / 2), ceil(W / 2))."""
        return self.final_path_bn(torch.cat([self.path_1(x), self.path_2(x)], 1))


class FactorizedReduction(Halving):
    """Factorized reduction as a module of its own, by default after a ReLU."""

    def __init__(self, channels: int, filters: int, norm: Norm, relu: bool = True) -> None:
        super().__init__()
        self.add_halving(channels, filters, norm, relu)

    def forward(self, x: Tensor) -> Tensor:
        return self.halved(x)


class Cell(Halving):
    """One cell: (N, channels, H, W) and the output of the cell before in, (N, len(output) * filters, ...) out.

    ``previous_channels`` is None in a first cell, which takes ``x`` for both inputs. With ``halve`` the previous
    output is twice as large as ``x``. ``keep_prob`` belongs to drop path, ``operations`` are those of the wiring. Names
    differ between networks: the layers that halve are the cell's own or, with ``nested``, those of its
    ``conv_prev_1x1``.
    """

    def __init__(
        self,
        wiring: Wiring,
        channels: int,
        previous_channels: int | None,
        filters: int,
        halve: bool,
        norm: Norm,
        keep_prob: float = 1.0,
        nested: bool = False,
        operations: Mapping[str, Make] = OPERATIONS,
    ) -> None:
        super().__init__()
        self.wiring = wiring
        self.halve = halve and not nested
        self.project = previous_channels is not None and not self.halve and (halve or previous_channels != filters)
        self.conv_1x1 = fit(channels, filters, norm, relu=nn.ReLU())
        if previous_channels is None:
            previous_channels = channels
        elif self.halve:
            self.add_halving(previous_channels, filters, norm)
            previous_channels = filters
        elif self.project:
            make_previous = FactorizedReduction if halve else partial(fit, relu=nn.ReLU())
            self.conv_prev_1x1 = make_previous(previous_channels, filters, norm)
            previous_channels = filters

        state_channels = [filters, previous_channels] + [filters] * len(wiring.combinations)
        for number, branches in enumerate(wiring.combinations):
            for side, branch in zip(("left", "right"), branches, strict=True):
                make = operations[branch.operation]
                operation = make(state_channels[branch.state], filters, norm, wiring.stride_of(branch))
                self.add_module(f"comb_iter_{number}_{side}", operation)
        self.drop_path = DropPath(keep_prob)
        self.path_current = self._path(CURRENT, filters, filters, norm)
        self.path = self._path(PREVIOUS, previous_channels, filters, norm)

    def forward(self, x: Tensor, previous: Tensor | None = None) -> Tensor:
        states = [self.conv_1x1(x), self.fit_previous(x if previous is None else previous)]
        for number, (left, right) in enumerate(self.wiring.combinations):
            states.append(
                self._branch(f"comb_iter_{number}_left", left, states)
                + self._branch(f"comb_iter_{number}_right", right, states)
            )
        states[CURRENT], states[PREVIOUS] = self.path_current(states[CURRENT]), self.path(states[PREVIOUS])
        return torch.cat([states[state] for state in self.wiring.output], 1)

    def _path(self, state: int, channels: int, filters: int, norm: Norm) -> nn.Module:
        """Return what brings one of the first two states to the cell's output, where the output has it."""
        if state not in self.wiring.output:
            return nn.Identity()
        if self.wiring.stride == 2:
            return FactorizedReduction(channels, filters, norm, relu=False)
        return fit(channels, filters, norm) if channels != filters else nn.Identity()

    def fit_previous(self, previous: Tensor) -> Tensor:
        """Return the previous output, brought to the cell's filters and, where it is twice as large, halved."""
        if self.halve:
            return self.halved(previous)
        return self.conv_prev_1x1(previous) if self.project else previous

    def _branch(self, name: str, branch: Branch, states: list[Tensor]) -> Tensor:
        x = self.get_submodule(name)(states[branch.state])
        return x if branch.operation == "identity" else self.drop_path(x)


# ---- the network


class AuxiliaryHead(nn.Module):
    """A second classifier for training: a cell's output (N, channels, H, W) in, (N, num_classes) logits out.

    Its last convolution covers the whole pooled map, so that it takes only maps of ``side`` x ``side``. ``filters`` are
    the channels of its two convolutions.
    """

    def __init__(
        self, channels: int, num_classes: int, side: int, norm: Norm, filters: tuple[int, int] = AUX_FILTERS
    ) -> None:
        super().__init__()
        first, second = filters
        self.pool = nn.AvgPool2d(AUX_POOL, AUX_STRIDE)
        self.proj = nn.Conv2d(channels, first, 1, bias=False)
        self.bn_0 = norm(first)
        self.conv = nn.Conv2d(first, second, (side - AUX_POOL) // AUX_STRIDE + 1, bias=False)
        self.bn_1 = norm(second)
        self.last_linear = nn.Linear(second, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn_0(self.proj(self.pool(F.relu(x)))))
        return self.last_linear(F.relu(self.bn_1(self.conv(x))).flatten(1))


class Cells(nn.Module):
    """Cells by name, ``steps``; each reads the output before it and one farther back."""

    def __init__(self, config: Config, steps: Mapping[str, Step]) -> None:
        super().__init__()
        self.config, self.steps = config, steps

    def add_cell(
        self,
        name: str,
        outputs: list[tuple[int | None, int]],
        norm: Norm,
        nested: bool = False,
        operations: Mapping[str, Make] = OPERATIONS,
    ) -> None:
        """Add the next cell, and its output to ``outputs``, the channels and halvings of every output so far.

        A first cell has no output before the last: its channels are None.
        """
        step = self.steps[name]
        (previous_channels, previous_halvings), (channels, halvings) = outputs[step.previous], outputs[-1]
        assert channels is not None
        halve = previous_halvings < halvings
        inputs = (step.wiring, channels, previous_channels, step.filters, halve, norm)
        self.add_module(name, Cell(*inputs, step.keep_prob, nested, operations))
        outputs.append((len(step.wiring.output) * step.filters, halvings + (step.wiring.stride == 2)))

    def run_cell(self, name: str, outputs: list[Any]) -> None:
        """Run the cell and append its output to ``outputs``, which keeps what the next cells read."""
        outputs.append(self.get_submodule(name)(outputs[-1], outputs[self.steps[name].previous]))
        del outputs[:-3]  # no cell reads farther back

    def set_step(self, step: int) -> None:
        """Set the finished steps of training, out of ``config.total_training_steps``, in drop path."""
        for module in self.modules():
            if isinstance(module, DropPath):
                module.progress = min(1.0, step / self.config.total_training_steps)


def batch_norm(config: Config) -> Norm:
    """Return what makes a batch norm of the network's numbers."""
    return partial(nn.BatchNorm2d, eps=config.batch_norm_epsilon, momentum=1 - config.batch_norm_decay)


def first_convolution(config: Config, in_channels: int, norm: Norm) -> nn.Sequential:
    """Return the stem's first convolution with its batch norm."""
    channels = config.stem_filters
    if config.stem == "imagenet":
        convolution = nn.Conv2d(in_channels, channels, 3, stride=2, bias=False)
    else:
        convolution = Conv2dSame(in_channels, channels, 3, bias=False)
    return nn.Sequential(OrderedDict(conv=convolution, bn=norm(channels)))


class CellNetwork(Cells):
    """A stack of cells: (N, in_channels, H, W) in, (N, num_classes) logits out; 0 classes end at the features.

    ``steps`` are its cells by name, ``stem`` is the name of the first convolution; ``nested`` and ``operations`` go to
    ``Cell``.
    With ``aux`` it has the auxiliary head for images of ``input_size`` and returns both logits, the head's second.
    Training adds their losses with weight 0.4 (nasnet.py). Training mode has dropout, and drop path after the first
    ``set_step``.
    """

    def __init__(
        self,
        config: Config,
        steps: Mapping[str, Step],
        num_classes: int,
        aux: bool,
        input_size: int,
        in_channels: int,
        stem: str = "conv0",
        nested: bool = False,
        operations: Mapping[str, Make] = OPERATIONS,
    ) -> None:
        super().__init__(config, steps)
        self.stem = stem
        norm = batch_norm(config)
        self.add_module(stem, first_convolution(config, in_channels, norm))
        size = (input_size - 1) // 2 if config.stem == "imagenet" else input_size
        self.aux_step = auxiliary_step(list(steps.values())) if aux else None
        # Before the first cell there is only the stem's output.
        outputs: list[tuple[int | None, int]] = [(None, 0), (config.stem_filters, 0)]
        for name, step in steps.items():
            self.add_cell(name, outputs, norm, nested, operations)
            if step == self.aux_step:
                channels, halvings = outputs[-1]
                assert channels is not None
                self.aux = AuxiliaryHead(channels, num_classes, -(-size // 2**halvings), norm, config.aux_filters)

        self.relu = nn.ReLU()
        self.global_pool = GlobalAveragePool()
        self.dropout = nn.Dropout(1 - config.dense_dropout_keep_prob)
        channels, _ = outputs[-1]
        assert channels is not None
        self.last_linear = nn.Linear(channels, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        outputs: list[Any] = [None, self.get_submodule(self.stem)(x)]
        aux_logits = None
        for name, step in self.steps.items():
            self.run_cell(name, outputs)
            if step == self.aux_step:
                aux_logits = self.aux(outputs[-1])
        logits = self.last_linear(self.dropout(self.global_pool(self.relu(outputs[-1]))))
        return logits if aux_logits is None else (logits, aux_logits)


# ---- NASNet-A


def cell_name(step: Step, config: Config) -> str:
    """Return Cadene's name of a cell. He kept the numbers of Large, six cells a stage, for the four of Mobile."""
    if step.role == "normal":
        return f"cell_{step.number + step.stage * max(0, 6 - config.cells_per_stage)}"
    return {"stem": f"cell_stem_{step.number}", "reduction": f"reduction_cell_{step.number}"}[step.role]


class NASNet(CellNetwork):
    """NASNet-A."""

    def __init__(
        self, config: Config, num_classes: int, aux: bool = False, input_size: int = 0, in_channels: int = 3
    ) -> None:
        steps = {cell_name(step, config): step for step in plan(config)}
        super().__init__(config, steps, num_classes, aux, input_size, in_channels)


def nasnet_large(num_classes: int = 1001, aux: bool = False, input_size: int = 331, in_channels: int = 3) -> NASNet:
    """Return NASNet-A (6 @ 4032), for 331x331 images in [-1, 1]."""
    return NASNet(LARGE, num_classes, aux, input_size, in_channels)


def nasnet_mobile(num_classes: int = 1001, aux: bool = False, input_size: int = 224, in_channels: int = 3) -> NASNet:
    """Return NASNet-A (4 @ 1056), for 224x224 images in [-1, 1]."""
    return NASNet(MOBILE, num_classes, aux, input_size, in_channels)


def nasnet_cifar(num_classes: int = 10, aux: bool = False, input_size: int = 32, in_channels: int = 3) -> NASNet:
    """Return NASNet-A (6 @ 768), for standardized 32x32 images."""
    return NASNet(CIFAR, num_classes, aux, input_size, in_channels)
