"""NASNet-A (Zoph et al. 2018, arXiv:1707.07012), figures 2 and 4.

Figure 4's two cells stand below as data, ``NORMAL`` and ``REDUCTION``; figure 2 is ``plan``, which stacks them.
Numbers and everything that the paper leaves open are those of slim/nets/nasnet/nasnet.py and nasnet_utils.py.
Parameter names are Cadene's, which timm has too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

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
)


@dataclass(frozen=True)
class Config:
    """A network's numbers, by slim's names: its ``*_config`` and, for batch norm, its ``*_arg_scope``.

    ``num_cells`` are the normal cells, the paper's 3N. With ``skip_reduction_layer_input`` the cell behind a
    reduction passes over two cells for its second input, not over one.
    """

    stem: Literal["imagenet", "cifar"]
    num_cells: int
    num_conv_filters: int
    stem_multiplier: float
    skip_reduction_layer_input: bool
    dense_dropout_keep_prob: float
    drop_path_keep_prob: float
    total_training_steps: int
    filter_scaling_rate: float = 2.0
    batch_norm_epsilon: float = 1e-3
    batch_norm_decay: float = 0.9997


LARGE = Config(
    stem="imagenet",
    num_cells=18,
    num_conv_filters=168,
    stem_multiplier=3.0,
    skip_reduction_layer_input=True,
    dense_dropout_keep_prob=0.5,
    drop_path_keep_prob=0.7,
    total_training_steps=250_000,
)
MOBILE = Config(
    stem="imagenet",
    num_cells=12,
    num_conv_filters=44,
    stem_multiplier=1.0,
    skip_reduction_layer_input=False,
    dense_dropout_keep_prob=0.5,
    drop_path_keep_prob=1.0,
    total_training_steps=250_000,
)
CIFAR = Config(
    stem="cifar",
    num_cells=18,
    num_conv_filters=32,
    stem_multiplier=3.0,
    skip_reduction_layer_input=False,
    dense_dropout_keep_prob=1.0,
    drop_path_keep_prob=0.6,
    total_training_steps=937_500,
    batch_norm_epsilon=1e-5,
    batch_norm_decay=0.9,
)


# ---- figure 4: the cells

CURRENT, PREVIOUS = 0, 1
"""A cell's first two states: the outputs of the cell before it and of the one before that, brought to its filters."""


class Branch(NamedTuple):
    """An operation, and the state that it works on."""

    operation: str
    state: int


class Wiring(NamedTuple):
    """A cell. Each combination adds its two branches and is the next state: the first one is state 2.

    ``output`` are the states that are concatenated; the operations on the first two states have the ``stride``.
    """

    stride: int
    combinations: tuple[tuple[Branch, Branch], ...]
    output: tuple[int, ...]


# nasnet_utils.py: NasNetANormalCell and NasNetAReductionCell.
NORMAL = Wiring(
    stride=1,
    combinations=(
        (Branch("separable_5x5", CURRENT), Branch("separable_3x3", PREVIOUS)),
        (Branch("separable_5x5", PREVIOUS), Branch("separable_3x3", PREVIOUS)),
        (Branch("average_3x3", CURRENT), Branch("identity", PREVIOUS)),
        (Branch("average_3x3", PREVIOUS), Branch("average_3x3", PREVIOUS)),
        (Branch("separable_3x3", CURRENT), Branch("identity", CURRENT)),
    ),
    output=(PREVIOUS, 2, 3, 4, 5, 6),
)
REDUCTION = Wiring(
    stride=2,
    combinations=(
        (Branch("separable_5x5", CURRENT), Branch("separable_7x7", PREVIOUS)),
        (Branch("maximum_3x3", CURRENT), Branch("separable_7x7", PREVIOUS)),
        (Branch("average_3x3", CURRENT), Branch("separable_5x5", PREVIOUS)),
        (Branch("identity", 3), Branch("average_3x3", 2)),
        (Branch("separable_3x3", 2), Branch("maximum_3x3", CURRENT)),
    ),
    output=(3, 4, 5, 6),
)

Norm = Callable[[int], nn.BatchNorm2d]


def _fit(channels: int, filters: int, norm: Norm, stride: int = 1, **before: nn.Module) -> nn.Sequential:
    """Return a 1x1 convolution and batch norm from ``channels`` to ``filters``, behind the modules ``before``."""
    convolution = nn.Conv2d(channels, filters, 1, stride, bias=False)
    return nn.Sequential(OrderedDict(before, conv=convolution, bn=norm(filters)))


class Separables(nn.Module):
    """ReLU, separable convolution, batch norm; all of it twice, the first with the stride."""

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
    """Return nothing, unless a 1x1 must bring the state to the cell's filters or stride."""
    if stride == 1 and channels == filters:
        return nn.Identity()
    return _fit(channels, filters, norm, stride, relu=nn.ReLU())


def _pool(channels: int, filters: int, norm: Norm, stride: int, pool: type[AvgPool2dSame | MaxPool2dSame]) -> nn.Module:
    """Return a 3x3 pool; its 1x1, where one must bring the state to the cell's filters, has no ReLU before it."""
    if channels == filters:
        return pool(3, stride)
    return _fit(channels, filters, norm, pool=pool(3, stride))


OPERATIONS: dict[str, Callable[[int, int, Norm, int], nn.Module]] = {
    "separable_3x3": partial(Separables, kernel=3),
    "separable_5x5": partial(Separables, kernel=5),
    "separable_7x7": partial(Separables, kernel=7),
    "average_3x3": partial(_pool, pool=AvgPool2dSame),
    "maximum_3x3": partial(_pool, pool=MaxPool2dSame),
    "identity": _identity,
}
"""Every operation as a function of (channels, filters, batch norm, stride)."""


class EverySecond(nn.Module):
    """Every second pixel from ``offset`` on, 0 or 1; both have ceil(size / 2).

    So offset 1 pads right and bottom with zeros and crops the first row and column; of a map with an odd side
    it sees that padding.
    """

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, self.offset, 0, self.offset))
        return x[..., self.offset :: 2, self.offset :: 2]


def _path(offset: int, channels: int, filters: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, filters, 1, bias=False)
    return nn.Sequential(OrderedDict(pixels=EverySecond(offset), relu=nn.ReLU(), conv=convolution))


class Cell(nn.Module):
    """One cell: (N, channels, H, W) and the output of the cell before in, (N, len(output) * filters, ...) out.

    ``previous_channels`` is None in the first cell, which has no cell before it and takes ``x`` for both.
    ``halve`` says that the previous output is twice as large as ``x``. ``keep_prob`` is drop path's.
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
    ) -> None:
        super().__init__()
        self.wiring = wiring
        self.halve = halve
        self.project = not halve and previous_channels not in (None, filters)
        self.conv_1x1 = _fit(channels, filters, norm, relu=nn.ReLU())
        if previous_channels is None:
            previous_channels = channels
        elif halve:
            # Factorized reduction: half of the filters from the even pixels, half (or one more) from the odd ones.
            self.path_1 = _path(0, previous_channels, filters // 2)
            self.path_2 = _path(1, previous_channels, filters - filters // 2)
            self.final_path_bn = norm(filters)
            previous_channels = filters
        elif self.project:
            self.conv_prev_1x1 = _fit(previous_channels, filters, norm, relu=nn.ReLU())
            previous_channels = filters

        state_channels = [filters, previous_channels] + [filters] * len(wiring.combinations)
        for number, branches in enumerate(wiring.combinations):
            for side, branch in zip(("left", "right"), branches, strict=True):
                stride = wiring.stride if branch.state in (CURRENT, PREVIOUS) else 1
                operation = OPERATIONS[branch.operation](state_channels[branch.state], filters, norm, stride)
                self.add_module(f"comb_iter_{number}_{side}", operation)
        self.drop_path = DropPath(keep_prob)
        unfit = PREVIOUS in wiring.output and previous_channels != filters
        self.path = _fit(previous_channels, filters, norm) if unfit else nn.Identity()

    def forward(self, x: Tensor, previous: Tensor | None = None) -> Tensor:
        states = [self.conv_1x1(x), self.fit_previous(x if previous is None else previous)]
        for number, (left, right) in enumerate(self.wiring.combinations):
            states.append(
                self._branch(f"comb_iter_{number}_left", left, states)
                + self._branch(f"comb_iter_{number}_right", right, states)
            )
        states[PREVIOUS] = self.path(states[PREVIOUS])
        return torch.cat([states[state] for state in self.wiring.output], 1)

    def fit_previous(self, previous: Tensor) -> Tensor:
        """Return the previous output with the filters, and where it is twice as large the size, of the current one."""
        if self.halve:
            return self.final_path_bn(torch.cat([self.path_1(previous), self.path_2(previous)], 1))
        return self.conv_prev_1x1(previous) if self.project else previous

    def _branch(self, name: str, branch: Branch, states: list[Tensor]) -> Tensor:
        x = self.get_submodule(name)(states[branch.state])
        return x if branch.operation == "identity" else self.drop_path(x)


# ---- figure 2: the network


class Step(NamedTuple):
    """A cell's place in the network. ``previous`` counts outputs back from the last one, which is -1."""

    name: str
    wiring: Wiring
    filters: int
    previous: int = -2


def plan(config: Config) -> list[Step]:
    """Return the cells in the order in which they run: on ImageNet two reductions, then three stages of N cells.

    A reduction stands before the second stage and the third, and the filters double there.
    """
    filters, rate, repeats = config.num_conv_filters, config.filter_scaling_rate, config.num_cells // 3
    steps = []
    if config.stem == "imagenet":
        steps += [Step(f"cell_stem_{i}", REDUCTION, int(filters * rate ** (i - 2))) for i in range(2)]
    for stage in range(3):
        scaled = int(filters * rate**stage)
        if stage:
            steps.append(Step(f"reduction_cell_{stage - 1}", REDUCTION, scaled))
        for i in range(repeats):
            # Cadene kept Large's numbers, six to a stage, for Mobile's four.
            name = f"cell_{stage * max(6, repeats) + i}"
            skip = stage > 0 and i == 0 and config.skip_reduction_layer_input
            steps.append(Step(name, NORMAL, scaled, -3 if skip else -2))
    return steps


class AuxiliaryHead(nn.Module):
    """A second classifier on a cell's output, for training: (N, channels, H, W) in, (N, num_classes) logits out.

    Its last convolution covers the whole pooled map, so that it takes maps of ``side`` x ``side`` alone.
    """

    def __init__(self, channels: int, num_classes: int, side: int, norm: Norm) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, stride=3)
        self.proj = nn.Conv2d(channels, 128, 1, bias=False)
        self.bn_0 = norm(128)
        self.conv = nn.Conv2d(128, 768, (side - 5) // 3 + 1, bias=False)
        self.bn_1 = norm(768)
        self.last_linear = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn_0(self.proj(self.pool(F.relu(x)))))
        return self.last_linear(F.relu(self.bn_1(self.conv(x))).flatten(1))


class NASNet(nn.Module):
    """NASNet-A: (N, 3, H, W) in, (N, num_classes) logits out; 0 classes end at the (N, channels) features.

    With ``aux`` it has the auxiliary head, for pictures of ``input_size``, and returns both logits, its own second;
    their losses are added with the weight 0.4 (nasnet.py). In training mode it has dropout, and drop path once
    ``set_step`` has been called.
    """

    def __init__(self, config: Config, num_classes: int, aux: bool = False, input_size: int = 0) -> None:
        super().__init__()
        self.config = config
        norm = partial(nn.BatchNorm2d, eps=config.batch_norm_epsilon, momentum=1 - config.batch_norm_decay)
        if config.stem == "imagenet":
            channels = int(32 * config.stem_multiplier)
            stem = nn.Conv2d(3, channels, 3, stride=2, bias=False)
        else:
            channels = int(config.num_conv_filters * config.stem_multiplier)
            stem = Conv2dSame(3, channels, 3, bias=False)
        self.conv0 = nn.Sequential(OrderedDict(conv=stem, bn=norm(channels)))

        self.steps = plan(config)
        # The auxiliary head hangs on the last cell before the second reduction.
        self.aux_behind = next(a.name for a, b in pairwise(self.steps) if b.name == "reduction_cell_1") if aux else None
        size = (input_size - 1) // 2 if config.stem == "imagenet" else input_size
        halvings = 0
        # Of every output so far; before the first cell there is only the stem's.
        outputs: list[tuple[int | None, int]] = [(None, halvings), (channels, halvings)]
        for position, (name, wiring, filters, previous) in enumerate(self.steps, 1):
            previous_channels, previous_halvings = outputs[previous]
            # Drop path's keep probability falls linearly with depth, stem cells and reductions included.
            keep_prob = 1 - position / len(self.steps) * (1 - config.drop_path_keep_prob)
            halve = previous_halvings < halvings
            self.add_module(name, Cell(wiring, channels, previous_channels, filters, halve, norm, keep_prob))
            channels = len(wiring.output) * filters
            halvings += wiring.stride == 2
            outputs.append((channels, halvings))
            if name == self.aux_behind:
                self.aux = AuxiliaryHead(channels, num_classes, -(-size // 2**halvings), norm)

        self.relu = nn.ReLU()
        self.global_pool = GlobalAveragePool()
        self.dropout = nn.Dropout(1 - config.dense_dropout_keep_prob)
        self.last_linear = nn.Linear(channels, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        outputs = [None, self.conv0(x)]
        aux_logits = None
        for step in self.steps:
            outputs.append(self.get_submodule(step.name)(outputs[-1], outputs[step.previous]))
            del outputs[:-3]  # no cell looks farther back
            if step.name == self.aux_behind:
                aux_logits = self.aux(outputs[-1])
        logits = self.last_linear(self.dropout(self.global_pool(self.relu(outputs[-1]))))
        return logits if aux_logits is None else (logits, aux_logits)

    def set_step(self, step: int) -> None:
        """Tell drop path how many steps of training are done, of the ``total_training_steps`` of its schedule."""
        for module in self.modules():
            if isinstance(module, DropPath):
                module.progress = min(1.0, step / self.config.total_training_steps)


def nasnet_large(num_classes: int = 1001, aux: bool = False, input_size: int = 331) -> NASNet:
    """NASNet-A (6 @ 4032), for pictures of 331x331 in [-1, 1]."""
    return NASNet(LARGE, num_classes, aux, input_size)


def nasnet_mobile(num_classes: int = 1001, aux: bool = False, input_size: int = 224) -> NASNet:
    """NASNet-A (4 @ 1056), for pictures of 224x224 in [-1, 1]."""
    return NASNet(MOBILE, num_classes, aux, input_size)


def nasnet_cifar(num_classes: int = 10, aux: bool = False, input_size: int = 32) -> NASNet:
    """NASNet-A (6 @ 768), for pictures of 32x32, standardized."""
    return NASNet(CIFAR, num_classes, aux, input_size)
