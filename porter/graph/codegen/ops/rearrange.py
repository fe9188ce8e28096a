"""Ops that join, divide, repeat and pick parts of tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from porter.graph.codegen.context import Context, Lowerings, plain
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.ops.array import sizes_of
from porter.graph.codegen.ops.elementwise import binary_layout, operand
from porter.graph.codegen.sizes import Size
from porter.graph.codegen.step import Step
from porter.graph.codegen.tensor import Tensor, Untranslated
from porter.graph.graph import Node, Ref

LOWERINGS = Lowerings()


@LOWERINGS.of("Split SplitV")
def split(c: Context, node: Node) -> None:
    data, axis = (1, 0) if node.op == "Split" else (0, 2)
    tensor = c.tensor(node.inputs[data])
    place = tensor.axis(c.ints(node, axis)[0])
    count = node.integer("num_split")
    o = Operands(c.tensor)
    parts = f"split([{_parts(c, o, node, tensor, place)}], {place})" if data == 0 else f"chunk({count}, {place})"
    if count == 1:
        c.alias(node, tensor)
        return
    step = Step(node.name, [node.name], [], expression=f"{o(tensor)}.{parts}", what="split")
    step.inputs = o.names
    c.add(step, *(Ref(node.name, slot) for slot in range(count)), first=tensor.first)


def _parts(c: Context, o: Operands, node: Node, tensor: Tensor, place: int) -> str:
    """Return the sizes of a split's parts; -1 is what the others leave."""
    sizes = c.ints(node, 1)
    whole = tensor.stored(list(tensor.shape))[place]
    others = sum(size for size in sizes if size >= 0)
    rest = f"{o(tensor)}.shape[{place}] - {others}" if whole is None else str(whole - others)
    return ", ".join(rest if size < 0 else str(size) for size in sizes)


@LOWERINGS.of("Unpack")
def unpack(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    axis = node.integer("axis") % tensor.rank
    left = tensor.without([at for at in range(tensor.rank) if at != axis])
    text, place = (o.last(tensor), axis) if left is None else (o(tensor), tensor.axis(axis))
    if node.integer("num") == 1:
        c.expression(node, o, f"{text}.squeeze({place})", first=bool(left), what="squeeze")
        return
    step = Step(node.name, [node.name], o.names, expression=f"{text}.unbind({place})", what="unbind")
    c.add(step, *(Ref(node.name, slot) for slot in range(node.integer("num"))), first=bool(left))


@LOWERINGS.of("Pack")
def pack(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    texts = [o.last(c.tensor(ref)) for ref in node.inputs]
    axis = node.integer("axis") % len(c.shape(Ref(node.name)))
    c.expression(node, o, f"torch.stack([{', '.join(texts)}], {axis})", what="stack")


@LOWERINGS.of("Tile")
def tile(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    times = tensor.stored(sizes_of(c, node, 1))
    c.expression(node, o, f"{o(tensor)}.tile({o.sizes(times)})", first=tensor.first)


@LOWERINGS.of("BroadcastTo")
def broadcast_to(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    first = binary_layout(c, node)
    text = operand(c, o, node.inputs[0], node, first)
    sizes = Tensor("", c.shape(Ref(node.name)), first).stored(sizes_of(c, node, 1))
    c.expression(node, o, f"{text}.expand({o.sizes(sizes)})", first=first, what="expand")


@LOWERINGS.of("ReverseV2")
def reverse(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    axes = sorted(tensor.axis(axis) for axis in c.ints(node, 1))
    c.expression(node, o, f"{o(tensor)}.flip({', '.join(map(str, axes))})", first=tensor.first, what="flip")


@LOWERINGS.of("Roll")
def roll(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    shifts, axes = sizes_of(c, node, 1), [tensor.axis(axis) for axis in c.ints(node, 2)]
    text = f"({o.sizes(shifts)}), {tuple(axes)}" if len(axes) > 1 else f"{o.sizes(shifts)}, {axes[0]}"
    c.expression(node, o, f"{o(tensor)}.roll({text})", first=tensor.first, what="roll")


@LOWERINGS.of("MatrixBandPart")
def band(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    text = o.last(c.tensor(node.inputs[0]))
    (below,), (above,) = c.ints(node, 1), c.ints(node, 2)
    text += f".triu({-below})" if below >= 0 else ""
    text += f".tril({above})" if above >= 0 else ""
    c.expression(node, o, text, what="band")


@LOWERINGS.of("GatherNd")
def gather_at_places(c: Context, node: Node) -> None:
    if node.integer("batch_dims"):
        raise Untranslated("its index differs along the first axes")
    o = Operands(c.tensor)
    x, places = o.last(c.tensor(node.inputs[0])), c.value(node.inputs[1])
    if places is not None:
        index = ", ".join(str(axis.tolist()) for axis in np.moveaxis(places, -1, 0))
    else:
        index = f"{o.last(c.tensor(node.inputs[1]))}.unbind(-1)"
    c.expression(node, o, f"{x}[{index}]", what="gather")


@LOWERINGS.of("GatherV2 Gather")
def gather(c: Context, node: Node) -> None:
    axis = c.ints(node, 2)[0] if len(node.inputs) > 2 else 0
    tensor = c.tensor(node.inputs[0])
    axis %= tensor.rank
    if node.integer("batch_dims"):
        _batch_gather(c, node, tensor, axis)
        return
    indices = c.value(node.inputs[1])
    o = Operands(c.tensor)
    if indices is None:
        index = o.last(c.tensor(node.inputs[1])) if c.is_data(node.inputs[1]) else o(c.tensor(node.inputs[1]))
        text = f"{o.last(tensor)}[{':, ' * axis}{index}]"
        c.expression(node, o, text, what="gather")
        return
    if indices.ndim == 1:
        text = f"{o(tensor)}[{':, ' * tensor.axis(axis)}{indices.tolist()}]"
        c.expression(node, o, text, first=tensor.first, what="gather")
        return
    text = f"{o.last(tensor)}[{':, ' * axis}{plain(indices) if not indices.ndim else indices.tolist()}]"
    c.expression(node, o, text, what="gather")


def _batch_gather(c: Context, node: Node, tensor: Tensor, axis: int) -> None:
    """Add a gather whose index differs along the first axes, such as from image to image."""
    o = Operands(c.tensor)
    x, constant = o.last(tensor), c.value(node.inputs[1])
    if constant is None:
        index = o.last(c.tensor(node.inputs[1]))
    else:
        index = f"torch.tensor({constant.tolist()}, device={o(tensor)}.device)"
    dims = node.integer("batch_dims") % (len(c.shape(node.inputs[1])) + 1)
    text = f"batch_gather({x}, {index}, {axis}, {dims})"
    c.expression(node, o, text, what="gather", helpers={"batch_gather"})


@LOWERINGS.of("Select SelectV2")
def select(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    first = binary_layout(c, node)
    condition = c.shape(node.inputs[0])
    if node.op == "Select" and len(condition) == 1 and len(c.shape(Ref(node.name))) > 1:
        raise Untranslated("its condition chooses rows")
    texts = [operand(c, o, ref, node, first) for ref in node.inputs]
    c.expression(node, o, f"torch.where({', '.join(texts)})", first=first, what="where")


@LOWERINGS.of("ArgMax ArgMin")
def index_of_extreme(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    axis = (c.ints(node, 1)[0] if len(node.inputs) > 1 else 0) % tensor.rank
    left = tensor.without([at for at in range(tensor.rank) if at != axis])
    text, place = (o.last(tensor), axis) if left is None else (o(tensor), tensor.axis(axis))
    c.expression(node, o, f"{text}.{node.op.lower()}({place})", first=bool(left))


@LOWERINGS.of("TopKV2 TopK")
def top_k(c: Context, node: Node) -> None:
    tensor = c.last(node.inputs[0])
    o = Operands(c.tensor)
    count = c.ints(node, 1)[0] if len(node.inputs) > 1 else node.integer("k")
    step = Step(node.name, [node.name], [], expression=f"{o(tensor)}.topk({count})", what="top k")
    step.inputs = o.names
    c.add(step, Ref(node.name), Ref(node.name, 1))


@LOWERINGS.of("ClipByValue")
def clip(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    low, high = (c.number(node, at) for at in (1, 2))
    c.expression(node, o, f"{o(tensor)}.clamp({low!r}, {high!r})", first=tensor.first, what="clamp")


@LOWERINGS.of("MirrorPad")
def mirror_pad(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    flat = sizes_of(c, node, 1)
    stored = tensor.stored(list(zip(flat[::2], flat[1::2], strict=True)))
    o = Operands(c.tensor)
    if node.text("mode") == "REFLECT" and tensor.rank > 2 and stored[:2] == [(0, 0), (0, 0)]:
        sides = o.sizes([side for pair in reversed(stored[2:]) for side in pair])
        c.expression(node, o, f'F.pad({o(tensor)}, ({sides}), mode="reflect")', first=tensor.first, what="reflect pad")
        return
    sides = ", ".join(f"({o.sizes(list(pair))})" for pair in stored)
    edge = 1 if node.text("mode") == "REFLECT" else 0
    text = f"mirror_pad({o(tensor)}, ({sides}), {edge})"
    c.expression(node, o, text, first=tensor.first, what="mirror pad", helpers={"mirror_pad"})


@LOWERINGS.of("Einsum")
def einsum(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    equation = node.text("equation")
    if not set(equation) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ,->."):
        raise Untranslated("its equation has other signs than letters")
    texts = [o.last(c.tensor(ref)) for ref in node.inputs]
    c.expression(node, o, f'torch.einsum("{equation}", {", ".join(texts)})')


@LOWERINGS.of("Cumsum Cumprod")
def cumulative(c: Context, node: Node) -> None:
    function, neutral = {"Cumsum": ("cumsum", 0), "Cumprod": ("cumprod", 1)}[node.op]
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    axis = tensor.axis(c.ints(node, 1)[0])
    turn = f".flip({axis})" if node.flag("reverse") else ""
    text = f"{o(tensor)}{turn}"
    exclusive = node.flag("exclusive")  # each result leaves its own value out
    text = f"shifted({text}, {axis}, {neutral})" if exclusive else text
    helpers = {"shifted"} if exclusive else ()
    c.expression(node, o, f"{text}.{function}({axis}){turn}", first=tensor.first, helpers=helpers)


@LOWERINGS.of("Fill")
def fill(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    sizes: list[Any] = sizes_of(c, node, 0)
    if not any(isinstance(size, Size) for size in sizes):
        raise Untranslated("it fills a shape that no input has")
    value = c.number(node, 1)
    text = f"torch.full(({o.sizes(sizes)},), {value!r})"
    if o.names:
        dtype = ", dtype={0}.dtype" if isinstance(value, float) else ""
        text = f"{text[:-1]}, device={{0}}.device{dtype})"
    c.expression(node, o, text)


@LOWERINGS.of("OneHot")
def one_hot(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    (depth,) = c.ints(node, 1)
    rank = len(c.shape(Ref(node.name)))
    axis = node.integer("axis", -1) % rank
    index = f"{o.last(c.tensor(node.inputs[0]))}.unsqueeze({axis})"
    behind = ", 1" * (rank - 1 - axis)
    places = f"torch.arange({depth}, device={{0}}.device){f'.reshape(-1{behind})' if behind else ''}"
    on, off = (c.number(node, at) for at in (2, 3))
    c.expression(node, o, f"torch.where({index} == {places}, {on!r}, {off!r})", what="one hot")


@LOWERINGS.of("Range")
def count(c: Context, node: Node) -> None:
    o = Operands(c.tensor)
    numbers = [size for at in range(3) for size in sizes_of(c, node, at)]
    if any(isinstance(number, float) for number in numbers):
        raise Untranslated("it counts in fractions")
    text = f"torch.arange({o.sizes(numbers)})"
    if o.names:
        text = text[:-1] + ", device={0}.device)"
    c.expression(node, o, text)
