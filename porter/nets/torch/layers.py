"""TensorFlow's SAME padding in PyTorch: layers that the networks share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return what SAME pads before and after ``size`` values; an odd total puts one more after.

    The output has ceil(size / stride) values. Source: tensorflow/core/framework/kernel_shape_util.cc.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Conv2dSame(nn.Conv2d):
    """A convolution padded with zeros as TensorFlow's SAME does, which depends on the input's size."""

    def forward(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = (
            same_padding(size, kernel, stride)
            for size, kernel, stride in zip(x.shape[-2:], self.kernel_size, self.stride, strict=True)
        )
        if (top, left) == (bottom, right):  # the convolution's own padding saves a copy
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups)
        x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class BatchNormReLU6(nn.BatchNorm2d):
    """Batch norm, then ReLU6, as one module: timm's BatchNormAct2d has its parameters in one place too."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(super().forward(x), 0, 6)
