"""Layers that the networks share: TensorFlow's SAME padding in PyTorch, and scheduled drop path."""

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


class SeparableConv2d(nn.Module):
    """slim.separable_conv2d without biases: one kernel to each channel with SAME padding, then a 1x1 convolution."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise_conv2d = Conv2dSame(channels, channels, kernel, stride, groups=channels, bias=False)
        self.pointwise_conv2d = nn.Conv2d(channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise_conv2d(self.depthwise_conv2d(x))


class _Pool2dSame(nn.Module):
    """What the two pools share. SAME pads alike on both sides, or one more after.

    PyTorch pads alike on both sides; for the one more, ``ceil_mode`` lets the last window hang over the border.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        if kernel % 2 == 0 and stride == 1:
            raise ValueError(
                "an even kernel with stride 1 hangs over at no window: pool with stride 2 or an odd kernel"
            )
        self.kernel = kernel
        self.stride = stride

    def padding(self, x: Tensor) -> list[int]:
        """Return what is padded on both sides, for the height and for the width."""
        return [same_padding(size, self.kernel, self.stride)[0] for size in x.shape[-2:]]

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


class AvgPool2dSame(_Pool2dSame):
    """An average pool with TensorFlow's SAME padding, which it never counts: a window averages what is there."""

    def forward(self, x: Tensor) -> Tensor:
        padding = self.padding(x)
        return F.avg_pool2d(x, self.kernel, self.stride, padding, ceil_mode=True, count_include_pad=False)


class MaxPool2dSame(_Pool2dSame):
    """A maximum pool with TensorFlow's SAME padding, which is below every value."""

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel, self.stride, self.padding(x), ceil_mode=True)


class GlobalAveragePool(nn.Module):
    """The mean of each map: (N, C, H, W) in, (N, C) out."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))


class DropPath(nn.Module):
    """Scheduled drop path: in training, zeroes a path for some pictures and scales it up for the others.

    ``keep_prob`` is the probability that a picture keeps its path at the end of training; it falls linearly from
    1 with ``progress``, the share of training that is done (0 until it is set). In eval mode nothing is dropped.
    """

    def __init__(self, keep_prob: float) -> None:
        super().__init__()
        self.keep_prob = keep_prob
        self.progress = 0.0

    def forward(self, x: Tensor) -> Tensor:
        keep = 1 - self.progress * (1 - self.keep_prob)
        if not self.training or keep == 1:
            return x
        kept = x.new_empty(len(x), 1, 1, 1).bernoulli_(keep)
        return x * (kept / keep)

    def extra_repr(self) -> str:
        return f"keep_prob={self.keep_prob:.4g}"


class BatchNormReLU6(nn.BatchNorm2d):
    """Batch norm, then ReLU6, as one module: timm's BatchNormAct2d has its parameters in one place too."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(super().forward(x), 0, 6)
