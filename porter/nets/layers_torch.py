"""Layers that several PyTorch networks use: TensorFlow's SAME padding, and scheduled drop path.

They work under torch.fx.symbolic_trace, torch.compile(fullgraph=True) and torch.export with dynamic height and width.
All code that reads a map's size is therefore in functions under torch.fx.wrap, and no branch of a compiled network
depends on a size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after ``size`` values that gives the windows of TensorFlow's SAME.

    SAME pads what ceil(size / stride) windows need: half before, the odd value after. Source:
    tensorflow/core/framework/kernel_shape_util.cc. Here the padding after fills up to kernel - 1 in total. No window
    reads the surplus, and torch.export sees an output size that does not depend on the remainder of size / stride.
    """
    total = kernel - stride + -size % stride
    if kernel < stride:  # some of the values between the windows may be left over
        total = torch.sym_max(total, 0)
    return total // 2, kernel - 1 - total // 2


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int], value: float = 0.0) -> Tensor:
    """Pad the (N, C, H, W) map ``x`` with ``value``, so that windows without padding are those of SAME.

    ``kernel`` and ``stride`` are (height, width).
    """
    top, bottom = same_padding(x.shape[-2], kernel[0], stride[0])
    left, right = same_padding(x.shape[-1], kernel[1], stride[1])
    return F.pad(x, (left, right, top, bottom), value=value)


def _pads_itself() -> bool:
    """Tell whether a layer may pad by numbers: what a compiler, an export or a tracer records holds for other sizes."""
    return not (torch.compiler.is_compiling() or torch.jit.is_tracing())  # type: ignore[attr-defined]


def own_padding(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return what SAME pads before height and width of ``x``, and how much more it pads after them: 0 or 1.

    A layer that pads for itself copies no map, but its padding may not depend on a size that a compiler leaves open.
    """
    totals = [max(k - s + -size % s, 0) for size, k, s in zip(x.shape[-2:], kernel, stride, strict=True)]
    return [total // 2 for total in totals], [total % 2 for total in totals]


def conv_same(x: Tensor, weight: Tensor, bias: Tensor | None, stride: Sequence[int], groups: int) -> Tensor:
    """Return the convolution of the (N, C, H, W) map ``x`` with TensorFlow's SAME padding.

    Where SAME pads a map's end by one value more, a depthwise convolution on a CPU pads both sides by one stride more,
    and drops the first windows. That takes 0.30 ms for 64 channels of 112x112, and 0.69 ms with a padded copy of the
    map. Other convolutions are slower with so much padding.
    """
    kernel = weight.shape[-2:]
    if tuple(stride) == (1, 1) and all(side % 2 for side in kernel):
        return F.conv2d(x, weight, bias, 1, [side // 2 for side in kernel], 1, groups)
    if _pads_itself():
        before, more = own_padding(x, kernel, stride)
        if not any(more) or (groups > 1 and x.is_cpu):
            padding = [side + step * extra for side, step, extra in zip(before, stride, more, strict=True)]
            windows = F.conv2d(x, weight, bias, stride, padding, 1, groups)
            height, width = (-(-size // step) for size, step in zip(x.shape[-2:], stride, strict=True))
            return windows[..., more[0] : more[0] + height, more[1] : more[1] + width]
    return F.conv2d(pad_same(x, kernel, stride), weight, bias, stride, 0, 1, groups)


def avg_pool_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Return the averages of the windows of SAME in the map ``x``, which do not count the padding.

    F.avg_pool2d leaves out what it pads itself, the same on both sides, and with ``ceil_mode`` what a last window reads
    beyond the map. Where neither serves, the windows of SAME are selected from those of stride 1.
    """
    if stride > 1 and _pads_itself():
        before, _ = own_padding(x, (kernel, kernel), (stride, stride))
        return F.avg_pool2d(x, kernel, stride, before, ceil_mode=True, count_include_pad=False)
    windows = F.avg_pool2d(x, kernel, 1, kernel // 2, count_include_pad=False)
    return windows if stride == 1 and kernel % 2 else select_same(windows, x, kernel, stride)


def max_pool_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Return the maximums of the windows of SAME in the map ``x``, whose padding is below every value."""
    if stride > 1 and _pads_itself():
        before, _ = own_padding(x, (kernel, kernel), (stride, stride))
        return F.max_pool2d(x, kernel, stride, before, ceil_mode=True)
    return F.max_pool2d(pad_same(x, (kernel, kernel), (stride, stride), float("-inf")), kernel, stride)


def select_same(windows: Tensor, x: Tensor, kernel: int, stride: int) -> Tensor:
    """Return the windows of SAME: ``windows`` are those with stride 1 and padding kernel // 2 of the map ``x``."""
    height, width = x.shape[-2:]
    top, left = (same_padding(size, kernel, stride)[0] for size in (height, width))
    first = kernel // 2  # after the padding, the place of SAME's first window for every size
    windows = F.pad(windows, (left, first - left, top, first - top))
    return every(windows[..., first : first + height, first : first + width], stride)


def every(x: Tensor, stride: int) -> Tensor:
    """Return one pixel in ``stride``, the first one included.

    A 1x1 pool, not a slice: torch.export writes its output size as that of a convolution, and so sees they are equal.
    """
    return F.avg_pool2d(x, 1, stride)


torch.fx.wrap("conv_same")
torch.fx.wrap("avg_pool_same")
torch.fx.wrap("max_pool_same")


class Conv2dSame(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, which depends on the size of the input."""

    def forward(self, x: Tensor) -> Tensor:
        return conv_same(x, self.weight, self.bias, self.stride, self.groups)


class SeparableConv2d(nn.Module):
    """slim.separable_conv2d: a depthwise convolution with SAME padding and without a bias, then a 1x1 convolution.

    The depthwise convolution has ``multiplier`` outputs for each channel; ``bias`` is the 1x1 convolution's.
    """

    def __init__(
        self, channels: int, out_channels: int, kernel: int, stride: int = 1, multiplier: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        inner = channels * multiplier
        self.depthwise_conv2d = Conv2dSame(channels, inner, kernel, stride, groups=channels, bias=False)
        self.pointwise_conv2d = nn.Conv2d(inner, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise_conv2d(self.depthwise_conv2d(x))


class _Pool2dSame(nn.Module):
    """The options of the two pools, which have square windows."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


class AvgPool2dSame(_Pool2dSame):
    """An average pool with TensorFlow's SAME padding. A window averages the values inside the map alone."""

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool_same(x, self.kernel, self.stride)


class MaxPool2dSame(_Pool2dSame):
    """A maximum pool with TensorFlow's SAME padding, which is below every value."""

    def forward(self, x: Tensor) -> Tensor:
        return max_pool_same(x, self.kernel, self.stride)


class Every(nn.Module):
    """One pixel in ``stride``, the first one included: slim's subsample, a max pool of 1x1."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return every(x, self.stride)

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


class GlobalAveragePool(nn.Module):
    """The mean of each channel's map: (N, C, H, W) in, (N, C) out."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))


class DropPath(nn.Module):
    """Scheduled drop path: in training, zeroes the path for some images and scales it up for the others.

    ``keep_prob`` is the probability that an image keeps its path at the end of training. The probability falls
    linearly from 1 with ``progress``, the finished share of training (0 until set). Eval mode returns the input.
    """

    def __init__(self, keep_prob: float) -> None:
        super().__init__()
        self.keep_prob = keep_prob
        self.progress = 0.0

    def forward(self, x: Tensor) -> Tensor:
        keep = 1 - self.progress * (1 - self.keep_prob)
        if not self.training or keep == 1:
            return x
        kept = x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(keep)
        return x * (kept / keep)

    def extra_repr(self) -> str:
        return f"keep_prob={self.keep_prob:.4g}"


class BatchNormAct(nn.BatchNorm2d):
    """Batch norm and an activation in one module, so that parameter names are those of timm's BatchNormAct2d."""

    def __init__(self, channels: int, act: Callable[[Tensor], Tensor], eps: float, momentum: float) -> None:
        super().__init__(channels, eps=eps, momentum=momentum)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))

    def _check_input_dim(self, input: Tensor) -> None:
        """Leave the number of axes to the convolution before: torch.fx cannot trace the check of nn.BatchNorm2d."""


def relu6(x: Tensor) -> Tensor:
    """Return ``x`` between 0 and 6."""
    return torch.clamp(x, 0, 6)


class BatchNormReLU6(BatchNormAct):
    """Batch norm and ReLU6."""

    def __init__(self, channels: int, eps: float, momentum: float) -> None:
        super().__init__(channels, relu6, eps, momentum)
