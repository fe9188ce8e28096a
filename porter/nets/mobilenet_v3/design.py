"""The numbers of MobileNet V3 (Howard et al. 2019, arXiv:1905.02244), which every framework's network reads.

A full 3x3 convolution; inverted residuals, some with squeeze-and-excite; a 1x1 convolution; an average pool; a 1x1
convolution with a bias and without batch norm; a classifier. The minimalistic networks, which the paper does not have,
use 3x3 kernels and ReLU everywhere and no squeeze-and-excite. Numbers are those of slim/nets/mobilenet/mobilenet_v3.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from porter.nets.inverted_residuals import Block, Row, block_channels, is_of_blocks, make_divisible, plan, residuals

STEM = 16
"""Tables 1 and 2: output channels of the first convolution, whose stride is 2."""


@dataclass(frozen=True)
class Design:
    """One network at the multiplier 1.

    ``act`` is the activation of the first and the last two convolutions. ``last`` counts the output channels of the
    convolution before the pool, ``features`` those of the one behind it.
    """

    stages: Sequence[Sequence[Row]]
    act: str
    last: int
    features: int

    def stem(self, multiplier: float) -> int:
        """Return the output channels of the first convolution."""
        return make_divisible(STEM * multiplier)

    def blocks(self, multiplier: float) -> list[list[Block]]:
        """Return the inverted residuals, grouped by stage."""
        return list(plan(self.stages, self.stem(multiplier), multiplier))

    def before_pool(self, multiplier: float) -> int:
        """Return the output channels of the convolution before the pool."""
        return make_divisible(self.last * multiplier)

    def behind_pool(self, multiplier: float) -> int:
        """Return the output channels of the convolution behind the pool, which multipliers below 1 leave whole.

        The released checkpoints at 0.75 have it so: finegrain_classification_mode in mobilenet_v3.py.
        """
        return make_divisible(self.features * max(multiplier, 1.0))


RE, HS, SE = "relu", "hard_swish", True

LARGE = Design(
    (
        (Row(16, 1, 1, 3, RE),),
        (Row(24, 2, 4, 3, RE), Row(24, 1, 3, 3, RE)),
        (Row(40, 2, 3, 5, RE, SE), Row(40, 1, 3, 5, RE, SE), Row(40, 1, 3, 5, RE, SE)),
        (Row(80, 2, 6, 3, HS), Row(80, 1, 2.5, 3, HS), Row(80, 1, 184 / 80, 3, HS), Row(80, 1, 184 / 80, 3, HS)),
        (Row(112, 1, 6, 3, HS, SE), Row(112, 1, 6, 3, HS, SE)),
        (Row(160, 2, 6, 5, HS, SE), Row(160, 1, 6, 5, HS, SE), Row(160, 1, 6, 5, HS, SE)),
    ),
    HS,
    960,
    1280,
)
"""Table 1, grouped by stage as timm does."""

SMALL = Design(
    (
        (Row(16, 2, 1, 3, RE, SE),),
        (Row(24, 2, 72 / 16, 3, RE), Row(24, 1, 88 / 24, 3, RE)),
        (Row(40, 2, 4, 5, HS, SE), Row(40, 1, 6, 5, HS, SE), Row(40, 1, 6, 5, HS, SE)),
        (Row(48, 1, 3, 5, HS, SE), Row(48, 1, 3, 5, HS, SE)),
        (Row(96, 2, 6, 5, HS, SE), Row(96, 1, 6, 5, HS, SE), Row(96, 1, 6, 5, HS, SE)),
    ),
    HS,
    576,
    1024,
)
"""Table 2, grouped by stage as timm does."""


def minimalistic(design: Design) -> Design:
    """Return ``design`` with 3x3 kernels and ReLU everywhere, without squeeze-and-excite."""
    plain = tuple(tuple(Row(row.out_channels, row.stride, row.expansion, 3, RE) for row in s) for s in design.stages)
    return Design(plain, RE, design.last, design.features)


DESIGNS = {
    "large": LARGE,
    "small": SMALL,
    "large_minimalistic": minimalistic(LARGE),
    "small_minimalistic": minimalistic(SMALL),
}
"""The networks by their name in the release."""


def channels(layer: str, axis: str, released: int, variant: str, multiplier: float) -> int:
    """Return the channels of an axis that has ``released`` ones at multiplier 1, for the row ``layer`` of the table."""
    design = DESIGNS[variant]
    if is_of_blocks(layer, axis):
        return block_channels(layer, axis, released, design.blocks(1.0), design.blocks(multiplier))
    if layer.startswith("stem"):
        return design.stem(multiplier)
    before = layer.startswith("last") or (layer == "features" and axis == "I")
    return design.before_pool(multiplier) if before else design.behind_pool(multiplier)


def wiring(variant: str, multiplier: float) -> tuple[bool, ...]:
    """Return what of the graph the width decides: the blocks that add their input, more of them in Small at 0.5."""
    return residuals(DESIGNS[variant].blocks(multiplier))
