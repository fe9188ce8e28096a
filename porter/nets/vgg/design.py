"""The numbers of VGG (Simonyan and Zisserman 2014, arXiv:1409.1556), which every framework's network reads.

Blocks of 3x3 convolutions, each block followed by a 2x2 max pool, then three fully connected layers. Numbers that the
paper does not give are those of slim/nets/vgg.py, where the fully connected layers are convolutions.
"""

from __future__ import annotations

CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Table 1, columns D and E: the number of convolutions in each block, by the network's depth."""

WIDTHS = (64, 128, 256, 512, 512)
"""Table 1: output channels of each block's convolutions."""

HIDDEN = 4096
"""Table 1: channels of the first two fully connected layers."""

MAP = 7
"""The side of the last map at 224 pixels, and of the first fully connected layer's kernel."""

STRIDE = 2 ** len(WIDTHS)
"""Each pool halves the map, and leaves out the last row and column of an odd one."""

DROPOUT = 0.5
"""Section 3.1: the share of features that training drops before the last two layers."""


def wrong_size(height: int, width: int) -> str:
    """Return the sentence that refuses a last map of this size, from which slim's network has no single prediction."""
    return (
        f"the last map is {height}x{width}, and the original network's first fully connected layer reads {MAP}x{MAP}: "
        f"take images of {MAP * STRIDE} to {(MAP + 1) * STRIDE - 1} pixels"
    )
