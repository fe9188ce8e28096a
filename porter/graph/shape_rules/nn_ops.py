"""Shape rules of convolutions, pools, batch norm, image resizing and top-k."""

from __future__ import annotations

import math
from collections.abc import Callable

from porter.graph.graph import Node
from porter.graph.shapes import Rules, Shapes

RULES = Rules()
_Resized = Callable[[int, int], int]
"""Computes a size from an axis' size and the block's."""


@RULES.of("Conv2D DepthwiseConv2dNative Conv3D _FusedConv2D FusedConv2D FusedDepthwiseConv2dNative")
@RULES.of("_FusedDepthwiseConv2dNative")
def convolution(s: Shapes, node: Node) -> None:
    shape = list(s.known(node))
    rank = len(shape)
    space, channels = (range(2, rank), 1) if node.channels_first else (range(1, rank - 1), rank - 1)
    kernel = s.input(node, 1)
    strides = node.ints("strides") or (1,) * rank
    dilations = node.ints("dilations") or (1,) * rank
    sides = kernel[: len(space)] if kernel is not None else (None,) * len(space)
    for at, side in zip(space, sides, strict=True):
        shape[at] = _slid(node, shape[at], side, strides[at], dilations[at], at)
    if kernel is None:
        shape[channels] = None
    elif node.op.endswith("DepthwiseConv2dNative"):
        shape[channels] = None if None in kernel[2:] else math.prod(size for size in kernel[2:] if size is not None)
    else:
        shape[channels] = kernel[-1]
    s.set(node, shape)


def _slid(node: Node, size: int | None, kernel: int | None, stride: int, dilation: int, at: int) -> int | None:
    """Return the size of axis ``at`` after a window slides over it."""
    padding = node.text("padding")
    if size is not None and padding == "SAME":
        return -(-size // stride)
    if size is None or kernel is None:
        return None
    kernel = (kernel - 1) * dilation + 1
    if padding == "EXPLICIT":
        pads = node.ints("explicit_paddings")
        size += pads[2 * at] + pads[2 * at + 1]
    return max(0, -(-(size - kernel + 1) // stride))


@RULES.of("Conv2DBackpropInput Conv3DBackpropInputV2")
def transposed_convolution(s: Shapes, node: Node) -> None:
    s.set(node, [None if size is None or size < 0 else int(size) for size in s.value(node, 0).tolist()])


@RULES.of("AvgPool MaxPool MaxPoolV2 AvgPool3D MaxPool3D MaxPoolWithArgmax")
def pool(s: Shapes, node: Node) -> None:
    shape = list(s.known(node))
    kernel = node.ints("ksize") or tuple(s.ints(node, 1))
    strides = node.ints("strides") or tuple(s.ints(node, 2))
    for at, size in enumerate(shape):
        if not kernel[at] == strides[at] == 1:
            shape[at] = _slid(node, size, kernel[at], strides[at], 1, at)
    s.set(node, shape)


@RULES.of("ExtractImagePatches")
def patches(s: Shapes, node: Node) -> None:
    batch, *space, channels = s.known(node)
    kernel, strides, rates = (node.ints(key) for key in ("ksizes", "strides", "rates"))
    sides = [_slid(node, size, kernel[at], strides[at], rates[at], at) for at, size in enumerate(space, start=1)]
    s.set(node, (batch, *sides, None if channels is None else channels * kernel[1] * kernel[2]))


@RULES.of("Dilation2D")
def dilation(s: Shapes, node: Node) -> None:
    shape, kernel = list(s.known(node)), s.input(node, 1)
    strides, rates = (node.ints(key) for key in ("strides", "rates"))
    for at in (1, 2):
        side = kernel[at - 1] if kernel is not None else None
        shape[at] = _slid(node, shape[at], side, strides[at], rates[at], at)
    s.set(node, shape)


@RULES.of("FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 _FusedBatchNormEx BatchNormWithGlobalNormalization")
def batch_norm(s: Shapes, node: Node) -> None:
    s.set(node, s.input(node))
    for index in range(1, 5):
        s.set(node, s.input(node, 1), index)


@RULES.of("ResizeBilinear ResizeNearestNeighbor ResizeBicubic ResizeArea")
def resize(s: Shapes, node: Node) -> None:
    shape, sizes = s.known(node), s.value_or_none(node, 1)
    height, width = sizes.tolist() if sizes is not None else (None, None)
    s.set(node, (shape[0], height, width, shape[3]))


@RULES.of("CropAndResize")
def crops(s: Shapes, node: Node) -> None:
    """One crop for each box."""
    boxes, sizes = s[node.inputs[1]], s.value_or_none(node, 3)
    height, width = sizes.tolist() if sizes is not None else (None, None)
    s.set(node, (boxes[0] if boxes else None, height, width, s.known(node)[3]))


@RULES.of("SpaceToBatchND")
def space_to_batch(s: Shapes, node: Node) -> None:
    # Older TensorFlow computes an atrous convolution this way: the batch grows as the map shrinks.
    blocks, pads = s.ints(node, 1), s.pairs(node, 2)
    shape = list(s.known(node))
    shape[0] = None if shape[0] is None else shape[0] * math.prod(blocks)
    for at, (block, (before, after)) in enumerate(zip(blocks, pads, strict=True), 1):
        size = shape[at]
        shape[at] = None if size is None else (size + before + after) // block
    s.set(node, shape)


@RULES.of("BatchToSpaceND")
def batch_to_space(s: Shapes, node: Node) -> None:
    blocks, crops = s.ints(node, 1), s.pairs(node, 2)
    shape = list(s.known(node))
    shape[0] = None if shape[0] is None else shape[0] // math.prod(blocks)
    for at, (block, (before, after)) in enumerate(zip(blocks, crops, strict=True), 1):
        size = shape[at]
        shape[at] = None if size is None else size * block - before - after
    s.set(node, shape)


@RULES.of("DepthToSpace")
def depth_to_space(s: Shapes, node: Node) -> None:
    _exchange(s, node, lambda size, block: size * block, lambda channels, block: channels // block**2)


@RULES.of("SpaceToDepth")
def space_to_depth(s: Shapes, node: Node) -> None:
    _exchange(s, node, lambda size, block: size // block, lambda channels, block: channels * block**2)


def _exchange(s: Shapes, node: Node, side: _Resized, depth: _Resized) -> None:
    """Set the shape of an op that moves values between space and channels."""
    shape = list(s.known(node))
    block = node.integer("block_size")
    channels = 1 if node.channels_first else 3
    for at in range(1, 4):
        size = shape[at]
        shape[at] = None if size is None else (depth if at == channels else side)(size, block)
    s.set(node, shape)


@RULES.of("TopKV2 TopK")
def top_k(s: Shapes, node: Node) -> None:
    shape = (*s.known(node)[:-1], s.ints(node, 1)[0])
    s.set(node, shape)
    s.set(node, shape, 1)
