"""Inverted residuals as numbers, for MobileNet V2 and V3: mobilenet.py and conv_blocks.py of slim/nets/mobilenet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

EPSILON = 1e-3  # slim.batch_norm's default, which training_scope leaves
DECAY = 0.997  # bn_decay in training_scope
DROPOUT = 1 - 0.8  # dropout_keep_prob there

SIXTH = 0.1666666716337204
"""The factor of hard_swish in mobilenet_v3.py, np.float32(1. / 6.): x * relu6(x + 3) * SIXTH."""
GATE_SIXTH = 0.16667
"""The factor of the gate of its squeeze_excite: relu6(x + 3) * GATE_SIXTH."""


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Return the multiple of ``divisor`` next to ``channels``, at least ``divisor`` and 90 % of ``channels``.

    _make_divisible in mobilenet.py.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class Row(NamedTuple):
    """A row of a paper's table: one inverted residual at the multiplier 1.

    ``out_channels`` and ``stride`` are those of the block, ``kernel`` is the depthwise convolution's. The expansion
    has ``expansion`` times the input's channels. With ``squeeze_excite`` a gate follows the depthwise convolution.
    """

    out_channels: int
    stride: int
    expansion: float
    kernel: int = 3
    act: str = "relu6"
    squeeze_excite: bool = False


class Block(NamedTuple):
    """One inverted residual to build: the channels of its input, of the depthwise convolution, and of its output.

    ``squeezed`` counts the channels between the two convolutions of the gate, 0 without a gate.
    """

    channels: int
    inner: int
    out_channels: int
    stride: int
    kernel: int
    act: str
    squeezed: int

    @property
    def expands(self) -> bool:
        """Whether a 1x1 convolution widens the input."""
        return self.inner > self.channels

    @property
    def residual(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.channels == self.out_channels


def plan(stages: Iterable[Iterable[Row]], channels: int, multiplier: float) -> Iterator[list[Block]]:
    """Yield the blocks of each stage, for an input of ``channels`` and ``multiplier`` times the channels of the rows.

    expanded_conv and squeeze_excite in conv_blocks.py. A block with the expansion 1 leaves its channels as they are.
    """
    for stage in stages:
        blocks = []
        for row in stage:
            inner = channels if row.expansion == 1 else make_divisible(channels * row.expansion)
            out_channels = make_divisible(row.out_channels * multiplier)
            squeezed = make_divisible(inner / 4) if row.squeeze_excite else 0
            blocks.append(Block(channels, inner, out_channels, row.stride, row.kernel, row.act, squeezed))
            channels = out_channels
        yield blocks


_AXES = {
    "expand": ("channels", "inner"),
    "depthwise": ("inner", "inner"),
    "gate_reduce": ("inner", "squeezed"),
    "gate_expand": ("squeezed", "inner"),
    "project": ("inner", "out_channels"),
    "last": ("out_channels", ""),
}
"""The numbers of a Block that count a layer's input and output channels, by the id of its row in the table.

Rows of the first block begin with first_, and a batch norm's end with _bn. ``last`` is behind the last block.
"""

Stages = Sequence[Sequence[Block]]


def is_of_blocks(layer: str, axis: str) -> bool:
    """Tell whether the blocks' numbers count the channels of an axis: I, O or C of the row ``layer``."""
    return bool(_counted(layer, axis))


def block_channels(layer: str, axis: str, released: int, whole: Stages, scaled: Stages) -> int:
    """Return the channels of an axis that has ``released`` ones in the ``whole`` network, in the ``scaled`` one.

    Blocks with the same number of channels have the same at every width: each comes from its own row of the paper.
    """
    counted = _counted(layer, axis)
    blocks = zip((b for stage in whole for b in stage), (b for stage in scaled for b in stage), strict=True)
    return next(getattr(here, counted) for there, here in blocks if getattr(there, counted) == released)


def _counted(layer: str, axis: str) -> str:
    inputs, outputs = _AXES.get(layer.removeprefix("first_").removesuffix("_bn"), ("", ""))
    return inputs if axis == "I" else outputs


def residuals(stages: Stages) -> tuple[bool, ...]:
    """Tell for each block whether it adds its input. At some widths rounding makes the channels of two rows equal."""
    return tuple(block.residual for stage in stages for block in stage)
