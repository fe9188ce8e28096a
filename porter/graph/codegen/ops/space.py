"""Ops that exchange space with the batch or the channels, and atrous convolutions, which older TensorFlow writes so."""

from __future__ import annotations

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.ops.convolution import Window, add_convolution, known, layer_of, pictures
from porter.graph.codegen.tensor import Untranslated
from porter.graph.graph import Node

LOWERINGS = Lowerings()
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


@LOWERINGS.of("DepthToSpace SpaceToDepth")
def exchange(c: Context, node: Node) -> None:
    tensor = pictures(c, node)
    o = Operands(c.tensor)
    helper = "depth_to_space" if node.op == "DepthToSpace" else "space_to_depth"
    text = f"{helper}({o(tensor)}, {o.argument('block', node.integer('block_size'))})"
    c.expression(node, o, text, first=not node.channels_first, what=helper.replace("_", " "), helpers={helper})


@LOWERINGS.of("ExtractImagePatches")
def image_patches(c: Context, node: Node) -> None:
    tensor = c.first(node.inputs[0])
    o = Operands(c.tensor)
    kernel, stride, dilation = (node.ints(key)[1:3] for key in ("ksizes", "strides", "rates"))
    same = node.text("padding") == "SAME"
    text = f"image_patches({o(tensor)}, {kernel}, {stride}, {dilation}, same={same})"
    c.expression(node, o, text, first=True, what="patches", helpers={"image_patches"})


@LOWERINGS.of("Dilation2D")
def dilation(c: Context, node: Node) -> None:
    tensor = c.first(node.inputs[0])
    o = Operands(c.tensor)
    x, name = o(tensor), c.weight(node.inputs[1])
    if name:
        height, width, channels = known(c.shape(node.inputs[1]))
        kernel = o.weight(name, (2, 0, 1), (channels, height, width))
    else:
        kernel = f"{o.last(c.tensor(node.inputs[1]))}.permute(2, 0, 1)"
    stride, rates = (node.ints(key)[1:3] for key in ("strides", "rates"))
    text = f"dilation({x}, {kernel}, {stride}, {rates}, same={node.text('padding') == 'SAME'})"
    c.expression(node, o, text, first=True, what="dilation", helpers={"dilation"})


@LOWERINGS.of("SpaceToBatchND")
def space_to_batch(c: Context, node: Node) -> None:
    if _atrous(c, node):
        return
    _moved(c, node, "space_to_batch")


@LOWERINGS.of("BatchToSpaceND")
def batch_to_space(c: Context, node: Node) -> None:
    _moved(c, node, "batch_to_space")


def _moved(c: Context, node: Node, helper: str) -> None:
    block, sides = c.ints(node, 1), c.arithmetic.of(node.inputs[2])
    if sides is None:
        raise Untranslated("data decides its sides")
    pairs = sides.reshape(len(block), 2).tolist()
    rank = len(c.shape(node.inputs[0]))
    channels_first = rank == len(block) + 1 and block[0] == 1 and not any(pairs[0])
    if not channels_first and rank != len(block) + 2:
        raise Untranslated("its blocks are not those of a map's axes")
    tensor = c.last(node.inputs[0]) if channels_first else c.first(node.inputs[0])
    block, pairs = block[channels_first:], pairs[channels_first:]
    o = Operands(c.tensor)
    flat = o.sizes([side for pair in reversed(pairs) for side in pair])
    comma = "," if len(block) == 1 else ""
    text = f"{helper}({o(tensor)}, ({o.sizes(block)}{comma}), ({flat}))"
    c.expression(node, o, text, first=not channels_first, what=helper.replace("_", " "), helpers={helper})


def _atrous(c: Context, node: Node) -> bool:
    """Add an atrous convolution where ``node`` and a BatchToSpaceND enclose a plain one; tell whether they do."""
    inner = c.reader(node.name, *_CONVOLUTIONS)
    end = c.reader(inner.name, "BatchToSpaceND") if inner is not None else None
    if inner is None or end is None or inner.text("padding") != "VALID" or inner.channels_first:
        return False
    if set(inner.ints("strides")) != {1} or set(inner.ints("dilations") or (1,)) != {1}:
        return False
    block = tuple(c.ints(node, 1))
    pads = _base_pads(c, node, end)
    tensor = c.first(node.inputs[0])
    if pads is None or len(block) != 2 or tuple(c.ints(end, 1)) != block or not c.weight(inner.inputs[1]):
        return False
    layer = layer_of(c, inner, tensor.shape[-1])
    same = all(p == (k - 1) * d // 2 and k % 2 for p, k, d in zip(pads, layer.sides, block, strict=True))
    window = Window((1, 1), block, pads, "SAME" if same else "VALID")
    add_convolution(c, end, tensor, layer, window, (node.name, inner.name, end.name))
    return True


def _base_pads(c: Context, node: Node, end: Node) -> tuple[int, ...] | None:
    """Return the padding that an atrous convolution has on each side, if it is the same on both for every input."""
    found = []
    for run in c.facts.runs:
        pads, crops = run.values.get(node.inputs[2]), run.values.get(end.inputs[2])
        if pads is None or crops is None:
            return None
        base = (pads - crops).reshape(-1, 2).tolist()
        if any(before != after for before, after in base) or crops.reshape(-1, 2)[:, 0].any():
            return None
        found.append(tuple(int(before) for before, _ in base))
    return found[0] if found[0] == found[1] else None
