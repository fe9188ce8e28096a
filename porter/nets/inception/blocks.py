"""The parts of Inception networks as data: convolutions, pools, branches, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

SAME, VALID = "same", "valid"


class Conv(NamedTuple):
    """A convolution without a bias, batch norm and ReLU. ``kernel`` is (height, width)."""

    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = SAME


class Separable(NamedTuple):
    """A depthwise convolution with ``multiplier`` outputs for each channel, a 1x1 convolution with a bias, and ReLU.

    inception_v2.py builds it outside of the scope that adds batch norm. A detector's scope covers it: with ``norm``
    batch norm takes the place of the bias.
    """

    channels: int
    kernel: tuple[int, int]
    multiplier: int
    stride: int
    padding: str = SAME
    norm: bool = False


class Pool(NamedTuple):
    """A pool of ``kind`` ``max`` or ``average``, with a square window. Averages leave the padding out."""

    kind: str
    side: int = 3
    stride: int = 1
    padding: str = SAME

    @property
    def kernel(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self.side, self.side


class Fork(NamedTuple):
    """Convolutions of one map, whose outputs are concatenated."""

    convs: tuple[Conv, ...]


Branch = tuple[Conv | Pool | Fork, ...]


class Mixed(NamedTuple):
    """Branches of one map, whose outputs are concatenated. ``names`` are timm's where it does not number them."""

    branches: tuple[Branch, ...]
    names: tuple[str, ...] = ()


class Residual(NamedTuple):
    """Branches, then a 1x1 convolution with a bias back to the input's channels, ``scale`` times which is added to it.

    ReLU follows, unless ``relu`` is false.
    """

    branches: tuple[Branch, ...]
    scale: float
    relu: bool = True
    names: tuple[str, ...] = ()


Step = Conv | Separable | Pool | Mixed | Residual


class Placed(NamedTuple):
    """A convolution or pool of a branch, and its name within the block."""

    place: str
    step: Conv | Pool


def placed(block: Mixed | Residual) -> list[list[list[Placed]]]:
    """Return the branches of ``block`` as stages in order; each stage has one layer, or a fork's layers.

    Places are timm's: ``branch1`` for a single layer, ``branch1.0`` in a sequence, ``branch1_0`` and ``branch1_1a``
    in a branch with a fork; ``branch5x5_1`` where the branches have names.
    """
    return [list(_placed(block, number, branch)) for number, branch in enumerate(block.branches)]


def _placed(block: Mixed | Residual, number: int, branch: Branch) -> Iterator[list[Placed]]:
    named = bool(block.names)
    name = block.names[number] if named else f"branch{number}"
    # Where branches have names, the pool before a convolution has none, and convolutions are counted from 1.
    bare = named and len(branch) > 1
    count = sum(not (bare and isinstance(step, Pool)) for step in branch)
    join, at = "_" if named or any(isinstance(step, Fork) for step in branch) else ".", int(named)
    for step in branch:
        if bare and isinstance(step, Pool):
            yield [Placed("pool", step)]
            continue
        place = name if count == 1 else f"{name}{join}{at}"
        if isinstance(step, Fork):
            yield [Placed(f"{place}{letter}", conv) for letter, conv in zip("ab", step.convs, strict=True)]
        else:
            yield [Placed(place, step)]
        at += 1


def out_channels(step: Step | Fork, channels: int) -> int:
    """Return the output channels of ``step`` for an input of ``channels``."""
    if isinstance(step, Pool | Residual):
        return channels
    if isinstance(step, Fork):
        return sum(conv.channels for conv in step.convs)
    if isinstance(step, Mixed):
        return sum(_branch_channels(branch, channels) for branch in step.branches)
    return step.channels


def _branch_channels(branch: Branch, channels: int) -> int:
    for step in branch:
        channels = out_channels(step, channels)
    return channels


def out_side(step: Step | Fork, side: int) -> int:
    """Return the side of the output map of ``step`` for an input map of ``side``."""
    if isinstance(step, Residual | Fork):
        return side
    if isinstance(step, Mixed):
        for each in step.branches[0]:
            side = out_side(each, side)
        return side
    return -(-side // step.stride) if step.padding == SAME else (side - step.kernel[0]) // step.stride + 1
