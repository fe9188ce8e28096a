"""PyTorch definitions that written networks may need. porter never imports this file: it copies text from it.

They work under torch.fx.symbolic_trace and torch.export with dynamic height and width: all code that reads a map's size
is in functions under torch.fx.wrap, and no branch depends on a size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def same_pad(x: Tensor, kernel: int | Sequence[int], stride: int | Sequence[int], value: float = 0.0) -> Tensor:
    """Pad so that windows without padding are those of TensorFlow's SAME: half before, the odd value after.

    The padding after fills up to kernel - 1 in total; no window reads the surplus.
    """
    kernel, stride = ([side] * (x.ndim - 2) if isinstance(side, int) else side for side in (kernel, stride))
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
        padded = same_pad(x, self.kernel_size, self.stride, float("-inf"))
        return super().forward(padded)  # type: ignore[no-any-return]


class SameMaxPool3d(nn.MaxPool3d):
    """A 3D max pool with TensorFlow's SAME padding, which is below every value."""

    def forward(self, x: Tensor) -> Tensor:
        padded = same_pad(x, self.kernel_size, self.stride, float("-inf"))
        return super().forward(padded)  # type: ignore[no-any-return]


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


class SameConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution to ``stride`` times the size, cut as TensorFlow's SAME does: the odd line at the end."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        y = super().forward(x)
        (top, left) = ((k - s) // 2 for k, s in zip(self.kernel_size, self.stride, strict=True))
        height, width = (s * size for s, size in zip(self.stride, (x.shape[2], x.shape[3]), strict=True))
        return y[:, :, top : top + height, left : left + width]


class SameConvTranspose3d(nn.ConvTranspose3d):
    """A 3D transposed convolution to ``stride`` times the size, cut as TensorFlow's SAME does."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        y = super().forward(x)
        for axis, (k, s) in enumerate(zip(self.kernel_size, self.stride, strict=True), start=2):
            y = y.narrow(axis, (k - s) // 2, s * x.shape[axis])
        return y


class RunningDropout(nn.Dropout):
    """Dropout that runs in eval mode too, as the graph's does."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p)


def conv_transpose(x: Tensor, weight: Tensor, stride: Sequence[int], size: Sequence[int], same: bool) -> Tensor:
    """Return a transposed convolution cut or filled up to ``size``; SAME cuts half in front."""
    y = (F.conv_transpose2d if x.ndim == 4 else F.conv_transpose3d)(x, weight, stride=stride)
    pads: list[int] = []
    for full, wanted in zip(reversed(y.shape[2:]), reversed(size), strict=True):
        before = torch.sym_max(full - wanted, 0) // 2 if same else 0
        pads += [-before, wanted - full + before]
    return F.pad(y, pads)


torch.fx.wrap("conv_transpose")


def depth_to_space(x: Tensor, block: int) -> Tensor:
    """Move channels to space: TensorFlow's channels count the places of a block first."""
    n, c, h, w = x.shape
    x = x.reshape(n, block, block, c // block**2, h, w)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(n, c // block**2, h * block, w * block)


def space_to_depth(x: Tensor, block: int) -> Tensor:
    """Move space to channels: TensorFlow's channels count the places of a block first."""
    x = x.unfold(2, block, block).unfold(3, block, block)
    return x.permute(0, 4, 5, 1, 2, 3).flatten(1, 3)


def image_patches(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], same: bool
) -> Tensor:
    """Move each window's pixels to the channels: TensorFlow's channels count the places of a window first."""
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    x = same_pad(x, reach, stride) if same else x
    height, width = ((size - r) // s + 1 for size, r, s in zip(x.shape[2:], reach, stride, strict=True))
    rows = F.unfold(x, tuple(kernel), tuple(dilation), stride=tuple(stride))
    channels, pixels = x.shape[1], rows.shape[1] // x.shape[1]
    rows = rows.reshape(-1, channels, pixels, height, width)
    return rows.transpose(1, 2).flatten(1, 2)


torch.fx.wrap("image_patches")


def dilation(x: Tensor, weight: Tensor, stride: Sequence[int], rates: Sequence[int], same: bool) -> Tensor:
    """Return the largest sum of a window's pixels and its weights, channel by channel; SAME pads below every value."""
    kernel = weight.shape[1:]
    reach = [(k - 1) * r + 1 for k, r in zip(kernel, rates, strict=True)]
    x = same_pad(x, reach, stride, float("-inf")) if same else x
    windows = image_patches(x, kernel, stride, rates, same=False).unflatten(1, (-1, x.shape[1]))
    sums: Tensor = windows + weight.flatten(1).T[:, :, None, None]
    return sums.amax(1)


torch.fx.wrap("dilation")


def space_to_batch(x: Tensor, block: Sequence[int], pads: Sequence[int]) -> Tensor:
    """Move the places of each block to the batch, after padding as F.pad does: the last axis first."""
    x = F.pad(x, pads)
    for axis, side in enumerate(block, start=2):
        x = x.unfold(axis, side, side)
    rank = x.ndim - len(block)
    return x.permute(*range(rank, x.ndim), *range(rank)).flatten(0, len(block))


def batch_to_space(x: Tensor, block: Sequence[int], crops: Sequence[int]) -> Tensor:
    """Move the batch back to the places of each block, and cut, the last axis first."""
    sides = len(block)
    x = x.unflatten(0, (*block, -1))
    places = [axis for side in range(sides) for axis in (side + sides + 2, side)]
    x = x.permute(sides, sides + 1, *places)
    for axis in range(2, sides + 2):
        x = x.flatten(axis, axis + 1)
    return F.pad(x, [-side for side in crops])


torch.fx.wrap("space_to_batch")
torch.fx.wrap("batch_to_space")


def shifted(x: Tensor, axis: int, first: int) -> Tensor:
    """Move the values one place on along an axis, behind ``first``, and leave the last one out."""
    head = torch.full_like(x.narrow(axis, 0, 1), first)
    return torch.cat([head, x.narrow(axis, 0, x.shape[axis] - 1)], axis)


def batch_gather(x: Tensor, index: Tensor, axis: int, dims: int) -> Tensor:
    """Pick along an axis, for each place of the first ``dims`` axes by an index of its own."""
    places = index.ndim - dims
    index = index.expand(*x.shape[:dims], *index.shape[dims:])
    x = x.movedim(axis, dims)
    rows = x.flatten(0, dims - 1)
    row = torch.arange(rows.shape[0], device=x.device).reshape(-1, *[1] * places)
    found = rows[row, index.flatten(0, dims - 1)]
    x = found.unflatten(0, x.shape[:dims])
    return x.movedim([*range(dims, dims + places)], [*range(axis, axis + places)])


torch.fx.wrap("shifted")
torch.fx.wrap("batch_gather")


def mirror_pad(x: Tensor, pads: Sequence[tuple[int, int]], edge: int) -> Tensor:
    """Pad each axis with its mirror image; ``edge`` values at the border are not repeated."""
    for axis, (before, after) in enumerate(pads):
        size = x.shape[axis]
        parts = [x.narrow(axis, edge, before).flip(axis), x, x.narrow(axis, size - edge - after, after).flip(axis)]
        x = torch.cat(parts, axis)
    return x


torch.fx.wrap("mirror_pad")


def resize_nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize to the nearest pixel with aligned corners, as TensorFlow rounds: halves up."""
    for axis, new in zip((2, 3), size, strict=True):
        old = x.shape[axis]
        step = (old - 1) / (new - 1) if new > 1 else old / new
        place = (torch.arange(new, device=x.device, dtype=torch.float64) * step + 0.5).floor().long()
        x = x.index_select(axis, place.clamp(max=old - 1))
    return x


def resize_linear(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize bilinearly with pixel 0 on pixel 0, TensorFlow 1's rule: output i stands at i * old / new."""
    for axis, new in zip((2, 3), size, strict=True):
        old = x.shape[axis]
        place = torch.arange(new, device=x.device, dtype=x.dtype) * (old / new)
        low = place.floor()
        part = (place - low).reshape(-1, *[1] * (3 - axis))
        a, b = (x.index_select(axis, at.long().clamp(max=old - 1)) for at in (low, low + 1))
        x = a + (b - a) * part
    return x


def resize_cubic(x: Tensor, size: Sequence[int], align: bool, half: bool) -> Tensor:
    """Resize bicubically as TensorFlow does: weights at 1,024 places; ``half`` (centres) leaves out what is outside."""
    a = -0.5 if half else -0.75
    for axis, new in zip((2, 3), size, strict=True):
        old = x.shape[axis]
        step = (old - 1) / (new - 1) if align and new > 1 else old / new
        place = torch.arange(new, device=x.device, dtype=x.dtype)
        place = (place + 0.5) * step - 0.5 if half else place * step
        low = place.floor()
        t = ((place - low) * 1024).round() / 1024
        near, far = (lambda d: ((a + 2) * d - (a + 3)) * d * d + 1), (lambda d: ((d - 5) * d + 8) * d * a - 4 * a)
        weights = torch.stack([far(t + 1), near(t), near(1 - t), far(2 - t)])
        index = low.long() + torch.arange(-1, 3, device=x.device)[:, None]
        inside = index.clamp(min=0).clamp(max=old - 1)
        if half:
            weights = weights * (inside == index)
            weights = weights / weights.sum(0)
        parts = [
            x.index_select(axis, at) * w.reshape(-1, *[1] * (3 - axis)) for at, w in zip(inside, weights, strict=True)
        ]
        x = parts[0] + parts[1] + parts[2] + parts[3]
    return x


def resize_area(x: Tensor, size: Sequence[int], align: bool = False) -> Tensor:
    """Resize to means over the area that each new pixel covers; with ``align`` the last begins at the last line."""
    for axis, new in zip((2, 3), size, strict=True):
        old = x.shape[axis]
        step = (old - 1) / (new - 1) if align and new > 1 else old / new
        begin = (torch.arange(new, device=x.device, dtype=x.dtype) * step)[:, None]
        line = torch.arange(old, device=x.device, dtype=x.dtype)
        parts = (torch.minimum(begin + step, line + 1) - torch.maximum(begin, line)).clamp(min=0)
        x = torch.tensordot(x, parts / parts.sum(1, keepdim=True), ([axis], [1])).movedim(-1, axis)
    return x


torch.fx.wrap("resize_nearest")
torch.fx.wrap("resize_linear")
torch.fx.wrap("resize_cubic")
torch.fx.wrap("resize_area")
