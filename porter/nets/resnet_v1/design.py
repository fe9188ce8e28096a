"""The numbers of ResNet (He et al. 2015, arXiv:1512.03385), which every framework's network reads.

A 7x7 convolution, a 3x3 max pool, four blocks of bottleneck units, an average pool, a classifier. Numbers that the
paper does not give are those of slim/nets/resnet_v1.py and resnet_utils.py. slim halves the map in the last unit of a
block, where the paper does so in the first unit of the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

STEM = 64
"""Table 1: output channels of the first convolution, whose stride is 2."""

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Table 1: the number of units in each block, by the network's depth."""

WIDTHS = (64, 128, 256, 512)
"""Table 1: channels inside the units of each block."""

EXPANSION = 4
"""Table 1: a unit's output channels over the channels inside."""

EPSILON = 1e-5
"""resnet_arg_scope in resnet_utils.py."""

DECAY = 0.997
"""Of the moving averages, by resnet_arg_scope."""


@dataclass(frozen=True)
class Unit:
    """One bottleneck unit: a 1x1 convolution, a 3x3 convolution with ``stride``, and a 1x1 convolution.

    The shortcut is ``projected`` by a 1x1 convolution where the channels change; elsewhere it takes one pixel in
    ``stride``.
    """

    in_channels: int
    inner: int
    out_channels: int
    stride: int

    @property
    def projected(self) -> bool:
        """Whether the shortcut is a convolution."""
        return self.in_channels != self.out_channels


def blocks(depth: int) -> Iterator[list[Unit]]:
    """Yield the units of each block of the network of ``depth`` layers: 50, 101 or 152."""
    channels = STEM
    for number, (count, inner) in enumerate(zip(UNITS[depth], WIDTHS, strict=True), start=1):
        units = []
        for unit in range(1, count + 1):
            stride = 2 if unit == count and number < len(WIDTHS) else 1
            units.append(Unit(channels, inner, EXPANSION * inner, stride))
            channels = EXPANSION * inner
        yield units
