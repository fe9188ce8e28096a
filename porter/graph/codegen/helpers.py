"""PyTorch definitions that written networks may need. porter never imports this file: it copies text from it.

They work under torch.fx.symbolic_trace and torch.export with dynamic height and width: all code that reads a map's size
is in functions under torch.fx.wrap, and no branch depends on a size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def same_pad(x: Tensor, kernel: Sequence[int], stride: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad so that windows without padding are those of TensorFlow's SAME: half before, the odd value after.

    The padding after fills up to kernel - 1 in total; no window reads the surplus.
    """
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        before = torch.sym_max(k - s + -size % s, 0) // 2
        pads += [before, k - 1 - before]
    return F.pad(x, pads, value=value)


torch.fx.wrap("same_pad")


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        sides = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        return super().forward(same_pad(x, sides, self.stride))


class SameConv3d(nn.Conv3d):
    """A 3D convolution with TensorFlow's SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        sides = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        return super().forward(same_pad(x, sides, self.stride))


class SameMaxPool2d(nn.MaxPool2d):
    """A max pool with TensorFlow's SAME padding, which is below every value."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(same_pad(x, self.kernel_size, self.stride, float("-inf")))


class SameMaxPool3d(nn.MaxPool3d):
    """A 3D max pool with TensorFlow's SAME padding, which is below every value."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(same_pad(x, self.kernel_size, self.stride, float("-inf")))


class SameAvgPool2d(nn.AvgPool2d):
    """An average pool with TensorFlow's SAME padding, which no average counts."""

    def forward(self, x: Tensor) -> Tensor:
        inside = same_pad(torch.ones_like(x[:1, :1]), self.kernel_size, self.stride)
        return super().forward(same_pad(x, self.kernel_size, self.stride)) / super().forward(inside)


class SameAvgPool3d(nn.AvgPool3d):
    """A 3D average pool with TensorFlow's SAME padding, which no average counts."""

    def forward(self, x: Tensor) -> Tensor:
        inside = same_pad(torch.ones_like(x[:1, :1]), self.kernel_size, self.stride)
        return super().forward(same_pad(x, self.kernel_size, self.stride)) / super().forward(inside)
