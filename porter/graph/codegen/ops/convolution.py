"""Convolutions: 2D, 3D and depthwise, with the bias that follows them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.step import Call, Literal, Weight
from porter.graph.codegen.tensor import Tensor, Untranslated
from porter.graph.graph import Node, Ref

LOWERINGS = Lowerings()
_ADDS = ("BiasAdd", "Add", "AddV2")


def pictures(c: Context, node: Node, index: int = 0) -> Tensor:
    """Return an input with its channels second, whichever order the graph computes in."""
    ref = node.inputs[index]
    return c.last(ref) if node.channels_first else c.first(ref)


def spatial(node: Node, values: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return an attribute's values for the axes of space."""
    values = tuple(values) or (1,) * rank
    return tuple(values[2:]) if node.channels_first else tuple(values[1:-1])


def one(values: Sequence[int]) -> Literal:
    """Return a square's side as one number, as people write it."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def bias_behind(c: Context, node: Node, channels: int) -> tuple[Node, str] | None:
    """Return the only reader of ``node`` where it adds a vector of weights, and these."""
    reader = c.reader(node.name, *_ADDS)
    if reader is None:
        return None
    others = [ref for ref in reader.inputs if ref.node != node.name]
    name = c.weight(others[0]) if len(others) == 1 else ""
    if not name or c.is_data(others[0]):
        return None
    shape = c.shape(others[0])
    at = -1 if reader.op != "BiasAdd" and not node.channels_first else 0 if reader.op == "BiasAdd" else -3
    fits = len(shape) >= -at and math.prod(size or 0 for size in shape) == channels == (shape[at] if shape else 0)
    return (reader, name) if fits else None


@LOWERINGS.of("Conv2D Conv3D")
def convolution(c: Context, node: Node) -> None:
    kernel = c.shape(node.inputs[1])
    rank = len(kernel)
    tensor = pictures(c, node)
    sides, inputs, outputs = _known(kernel[:-2]), *_known(kernel[-2:])
    channels = tensor.shape[1 if node.channels_first else -1]
    order = (rank - 1, rank - 2, *range(rank - 2))
    weights = (inputs, outputs, (channels or inputs) // inputs)
    add_convolution(c, node, tensor, sides, weights, order)


@LOWERINGS.of("DepthwiseConv2dNative")
def depthwise(c: Context, node: Node) -> None:
    kernel = _known(c.shape(node.inputs[1]))
    tensor = pictures(c, node)
    height, width, channels, multiplier = kernel
    weights = (1, channels * multiplier, channels)
    add_convolution(c, node, tensor, (height, width), weights, (2, 3, 0, 1))


def _known(shape: Sequence[int | None]) -> tuple[int, ...]:
    if None in shape:
        raise Untranslated("the shape of its kernel is unknown")
    return tuple(size or 0 for size in shape)


def add_convolution(
    c: Context,
    node: Node,
    tensor: Tensor,
    sides: tuple[int, ...],
    channels: tuple[int, int, int],
    order: tuple[int, ...],
) -> None:
    """Add the step of a convolution. ``channels`` are the inputs of a group, the outputs, and the groups."""
    inputs, outputs, groups = channels
    space = len(sides)
    stride = spatial(node, node.ints("strides"), space + 2)
    dilation = spatial(node, node.ints("dilations"), space + 2)
    pads, same = padding(node, sides, stride, dilation)
    name = c.weight(node.inputs[1])
    if not name:
        _computed_kernel(c, node, tensor)
        return
    shape = (outputs, inputs, *sides)
    weights = [Weight(name, "weight", order, shape)]
    bias = bias_behind(c, node, outputs)
    end, nodes = node, [node.name]
    if bias is not None:
        end, nodes = bias[0], [node.name, bias[0].name]
        weights.append(Weight(bias[1], "bias", (), (outputs,)))
    arguments: dict[str, Literal] = {
        "in_channels": inputs * groups, "out_channels": outputs, "kernel_size": one(sides), "stride": one(stride),
        "padding": one(pads), "dilation": one(dilation), "groups": groups, "bias": bias is not None,
    }  # fmt: skip
    module, helper = f"nn.Conv{space}d", f"SameConv{space}d"
    general = None
    if node.text("padding") == "SAME":
        general = Call(helper, arguments | {"padding": 0}, frozenset({helper}))
    helpers = {helper} if same else set()
    what = "depthwise" if groups > 1 and inputs == 1 else "conv"
    first = not node.channels_first
    module = helper if same else module
    c.module(
        end, tensor, module, arguments, weights, first=first, what=what, helpers=helpers, nodes=nodes, general=general
    )


def padding(
    node: Node, sides: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, ...], bool]:
    """Return a window's padding, the same on both sides, and whether SAME depends on the input's size instead."""
    none = (0,) * len(sides)
    kind = node.text("padding")
    if kind == "VALID":
        return none, False
    if kind == "EXPLICIT":
        pairs = spatial(node, node.ints("explicit_paddings")[::2], len(sides) + 2)
        after = spatial(node, node.ints("explicit_paddings")[1::2], len(sides) + 2)
        if pairs != after:
            raise Untranslated("its explicit padding differs before and after")
        return pairs, False
    if kind != "SAME":
        raise Untranslated(f"its padding is {kind!r}")
    reach = [(side - 1) * gap + 1 for side, gap in zip(sides, dilation, strict=True)]
    if all(side == 1 for side in reach):
        return none, False
    if all(step == 1 for step in stride) and all(side % 2 for side in reach):
        return tuple(side // 2 for side in reach), False
    return none, True


def _computed_kernel(c: Context, node: Node, tensor: Tensor) -> None:
    raise Untranslated("its kernel is computed")
