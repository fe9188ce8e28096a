"""Convolutions: 2D, 3D and depthwise, with the bias that follows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

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


class Bias(NamedTuple):
    """A vector of weights that the node ``end`` adds to a layer; ``nodes`` are those behind the layer, ``end`` last."""

    end: Node
    nodes: tuple[str, ...]
    weights: str


def bias_behind(c: Context, node: Node, channels: int) -> Bias | None:
    """Return the bias that the only reader of ``node`` adds; a function that holds the layer ends with an Identity."""
    last, nodes = node, []
    while (passing := c.reader(last.name, "Identity")) is not None:
        last = passing
        nodes.append(last.name)
    reader = c.reader(last.name, *_ADDS)
    if reader is None:
        return None
    others = [ref for ref in reader.inputs if ref.node != last.name]
    name = c.weight(others[0]) or c.vector(others[0]) if len(others) == 1 else ""
    if not name or c.is_data(others[0]):
        return None
    shape = c.shape(others[0])
    at = -1 if reader.op != "BiasAdd" and not node.channels_first else 0 if reader.op == "BiasAdd" else -3
    fits = len(shape) >= -at and math.prod(size or 0 for size in shape) == channels == (shape[at] if shape else 0)
    return Bias(reader, (*nodes, reader.name), name) if fits else None


@dataclass(frozen=True)
class Layer:
    """A convolution's kernel: its node's input, its sides, the inputs of a group, the outputs, and the groups.

    ``order`` and ``shape`` are those of `Weight`.
    """

    kernel: Ref
    sides: tuple[int, ...]
    inputs: int
    outputs: int
    groups: int
    order: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.outputs, self.inputs, *self.sides)


@dataclass(frozen=True)
class Window:
    """How a kernel slides: ``pads`` are those of each side, where ``kind`` is not a SAME that the size decides."""

    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[int, ...]
    kind: str
    sized: bool = False


def known(shape: Sequence[int | None]) -> tuple[int, ...]:
    """Return a kernel's shape. Raises Untranslated if a size is unknown."""
    if None in shape:
        raise Untranslated("the shape of its kernel is unknown")
    return tuple(size or 0 for size in shape)


def layer_of(c: Context, node: Node, channels: int | None) -> Layer:
    """Return the kernel of a convolution of ``channels`` inputs."""
    kernel = known(c.shape(node.inputs[1]))
    sides, rank = kernel[:-2], len(kernel)
    if node.op == "DepthwiseConv2dNative":
        return Layer(node.inputs[1], sides, 1, kernel[2] * kernel[3], kernel[2], (2, 3, 0, 1))
    inputs, outputs = kernel[-2:]
    order = (rank - 1, rank - 2, *range(rank - 2))
    return Layer(node.inputs[1], sides, inputs, outputs, (channels or inputs) // inputs, order)


@LOWERINGS.of("Conv2D Conv3D DepthwiseConv2dNative")
def convolution(c: Context, node: Node) -> None:
    tensor = pictures(c, node)
    layer = layer_of(c, node, tensor.shape[1 if node.channels_first else -1])
    rank = len(layer.sides) + 2
    stride, dilation = (spatial(node, node.ints(key), rank) for key in ("strides", "dilations"))
    nodes: tuple[str, ...] = (node.name,)
    padded = _padded_input(c, node) if node.text("padding") == "VALID" else None
    if padded is not None:
        pad, pads = padded
        tensor, nodes = c.first(pad.inputs[0]), (pad.name, node.name)
        window = Window(stride, dilation, pads, "EXPLICIT")
    elif node.text("padding") == "EXPLICIT":
        tensor, pads = _explicit(c, node, tensor)
        window = Window(stride, dilation, pads, "EXPLICIT")
    else:
        pads, sized = padding(node, layer.sides, stride, dilation)
        window = Window(stride, dilation, pads, node.text("padding"), sized)
    if c.weight(layer.kernel):
        add_convolution(c, node, tensor, layer, window, nodes)
    else:
        _computed_kernel(c, node, tensor, layer, window)


def _padded_input(c: Context, node: Node) -> tuple[Node, tuple[int, ...]] | None:
    """Return the Pad in front of a convolution, and its zeros, where both sides have as many."""
    pad = c.graph.nodes.get(node.inputs[0].node)
    pads = c.value(pad.inputs[1]) if pad is not None and pad.op in ("Pad", "PadV2") else None
    if pad is None or pads is None or node.channels_first or (pad.op == "PadV2" and c.number(pad, 2)):
        return None
    before, after = np.asarray(pads).reshape(-1, 2).T.tolist()
    if before != after or before[0] or before[-1] or not any(before):
        return None
    return pad, tuple(before[1:-1])


def add_convolution(
    c: Context, node: Node, tensor: Tensor, layer: Layer, window: Window, nodes: tuple[str, ...]
) -> None:
    """Add the step of a convolution that ends with ``node``, and of the bias behind it."""
    space, sides, outputs = len(layer.sides), layer.sides, layer.outputs
    weights = [Weight(c.weight(layer.kernel), "weight", layer.order, layer.shape)]
    bias = bias_behind(c, node, outputs)
    end = node
    if bias is not None:
        end, nodes = bias.end, (*nodes, *bias.nodes)
        weights.append(Weight(bias.weights, "bias", (), (outputs,)))
    arguments: dict[str, Literal] = {
        "in_channels": layer.inputs * layer.groups, "out_channels": outputs, "kernel_size": one(sides),
        "stride": one(window.stride), "padding": one(window.pads), "dilation": one(window.dilation),
        "groups": layer.groups, "bias": bias is not None,
    }  # fmt: skip
    helper = f"SameConv{space}d"
    general = Call(helper, arguments | {"padding": 0}, frozenset({helper})) if window.kind == "SAME" else None
    c.module(
        end,
        tensor,
        helper if window.sized else f"nn.Conv{space}d",
        arguments,
        weights,
        first=not node.channels_first,
        what="depthwise" if layer.groups > 1 and layer.inputs == 1 else "conv",
        helpers={helper} if window.sized else (),
        nodes=nodes,
        general=general,
    )


def _explicit(c: Context, node: Node, tensor: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Return the padded input and the padding that is left to the convolution."""
    stated = node.ints("explicit_paddings")
    before, after = (spatial(node, stated[side::2], tensor.rank) for side in (0, 1))
    if before == after:
        return tensor, before
    text = ", ".join(f"{a}, {b}" for a, b in zip(reversed(before), reversed(after), strict=True))
    return c.extra(tensor, f"F.pad({{0}}, ({text}))", "padded"), (0,) * len(before)


def padding(
    node: Node, sides: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, ...], bool]:
    """Return a window's padding, the same on both sides, and whether SAME depends on the input's size instead."""
    none = (0,) * len(sides)
    kind = node.text("padding")
    if kind == "VALID":
        return none, False
    if kind != "SAME":
        raise Untranslated(f"its padding is {kind!r}")
    reach = [(side - 1) * gap + 1 for side, gap in zip(sides, dilation, strict=True)]
    if all(side == 1 for side in reach):
        return none, False
    if all(side % 2 and (step == 1 or side == 1) for side, step in zip(reach, stride, strict=True)):
        return tuple(side // 2 for side in reach), False
    return none, True


def _computed_kernel(c: Context, node: Node, tensor: Tensor, layer: Layer, window: Window) -> None:
    """Add a convolution whose kernel the graph computes, as weight standardization does."""
    o = Operands(c.tensor)
    text = o(tensor)
    if window.sized:
        reach = tuple((side - 1) * gap + 1 for side, gap in zip(layer.sides, window.dilation, strict=True))
        text = f"same_pad({text}, {reach}, {window.stride})"
    kernel = f"{o.last(c.tensor(layer.kernel))}.permute({', '.join(map(str, layer.order))})"
    if node.op == "DepthwiseConv2dNative":
        kernel += f".reshape{layer.shape}"
    options = f"stride={window.stride}, padding={window.pads}, dilation={window.dilation}, groups={layer.groups}"
    text = f"F.conv{len(layer.sides)}d({text}, {kernel}, {options})"
    helpers = {"same_pad"} if window.sized else ()
    c.expression(node, o, text, first=not node.channels_first, what="conv", helpers=helpers)
