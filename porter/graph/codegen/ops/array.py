"""Ops that rearrange arrays: the axes that they name follow the layout."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from porter.graph.codegen.context import Context, Lowerings
from porter.graph.codegen.operands import Operands
from porter.graph.codegen.sizes import Size
from porter.graph.codegen.step import Free
from porter.graph.codegen.tensor import Tensor, Untranslated
from porter.graph.graph import Node, Ref

LOWERINGS = Lowerings()


@LOWERINGS.of("Concat ConcatV2")
def concat(c: Context, node: Node) -> None:
    at = 0 if node.op == "Concat" else len(node.inputs) - 1
    refs = [ref for index, ref in enumerate(node.inputs) if index != at]
    tensors = [c.tensor(ref) for ref in refs]
    axis = c.ints(node, at)[0]
    first = any(tensor.first for tensor in tensors)
    o = Operands(c.tensor)
    texts = [o.aligned(tensor, tensor.rank, first) for tensor in tensors]
    place = Tensor("", tensors[0].shape, first).axis(axis)
    c.expression(node, o, f"torch.cat([{', '.join(texts)}], {place})", first=first, what="concat")


@LOWERINGS.of("Reshape")
def reshape(c: Context, node: Node) -> None:
    ref, out = node.inputs[0], Ref(node.name)
    tensor = c.tensor(ref)
    if c.facts.same_shape(ref, out):
        c.alias(node, tensor)
        return
    shape = c.shape(out)
    o = Operands(c.tensor)
    if _only_pixels(tensor, shape):
        flatten(c, node, tensor)
        return
    text = o.last(tensor)
    behind = tensor.shape[1:]
    if len(shape) == 2 and tensor.rank > 2 and shape[0] is tensor.shape[0] is None and _product(behind) == shape[1]:
        flatten(c, node, c.last(ref))
        return
    if tensor.rank == 2 and shape == (tensor.shape[0], 1, 1, tensor.shape[1]):
        c.expression(node, o, f"{o(tensor)}[:, :, None, None]", first=True, what="reshape")
        return
    sizes = reshaped_sizes(c, node, shape)
    c.expression(node, o, f"{text}.reshape({o.sizes(sizes)})", what="reshape")


def _product(sizes: Free) -> int | None:
    """Return the product of sizes, None if one is free."""
    return None if None in sizes else math.prod(size or 0 for size in sizes)


def flatten(c: Context, node: Node, tensor: Tensor) -> None:
    """Add a step that joins all axes behind the batch."""
    c.module(node, tensor, "nn.Flatten", {}, expression="{0}.flatten(1)", what="flatten")


def _only_pixels(tensor: Tensor, shape: tuple[int | None, ...]) -> bool:
    """Tell whether a reshape drops sizes of 1 between the batch and the channels."""
    return (
        tensor.first and len(shape) == 2 and all(size == 1 for size in tensor.shape[1:-1])
        and shape[0] == tensor.shape[0] and shape[1] == tensor.shape[-1]
    )  # fmt: skip


def reshaped_sizes(c: Context, node: Node, shape: tuple[int | None, ...]) -> list[Any]:
    """Return a Reshape's sizes: those that are fixed, one -1 for a free one, and expressions for others."""
    free = [at for at, size in enumerate(shape) if size is None]
    if len(free) <= 1:
        return [-1 if size is None else size for size in shape]
    stated = c.arithmetic.of(node.inputs[1])
    if stated is None or len(np.atleast_1d(stated)) != len(shape):
        raise Untranslated("its shape is computed from data")
    sizes = [size if size is not None else value for size, value in zip(shape, np.atleast_1d(stated), strict=True)]
    if not any(_is(size, -1) for size in sizes):
        sizes[free[0]] = -1
    return sizes


def _is(value: Any, number: int) -> bool:
    return not isinstance(value, Size) and bool(value == number)


@LOWERINGS.of("Squeeze")
def squeeze(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    axes = {axis % max(1, tensor.rank) for axis in node.ints("squeeze_dims") or node.ints("axis")}
    axes = axes or {at for at, size in enumerate(tensor.shape) if size == 1}
    left = [at for at in range(tensor.rank) if at not in axes]
    kept = tensor.without(left)
    o = Operands(c.tensor)
    if left == [0, tensor.rank - 1] and tensor.rank > 2:
        flatten(c, node, tensor)
        return
    places = sorted(axes) if kept is None else sorted(tensor.axis(axis) for axis in axes)
    text = o.last(tensor) if kept is None else o(tensor)
    dims = str(places[0]) if len(places) == 1 else f"({', '.join(map(str, places))})"
    c.expression(node, o, f"{text}.squeeze({dims})", first=bool(kept), what="squeeze")


@LOWERINGS.of("ExpandDims")
def expand_dims(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    rank = len(c.shape(Ref(node.name)))
    axis = c.ints(node, 1)[0] % rank
    o = Operands(c.tensor)
    first = tensor.first and axis not in (0, rank - 1)
    place = axis + 1 if first else axis
    text = o(tensor) if first else o.last(tensor)
    c.expression(node, o, f"{text}.unsqueeze({place})", first=first, what="unsqueeze")


@LOWERINGS.of("Transpose")
def transpose(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    order = c.ints(node, 1)
    rank = tensor.rank
    stored = [0, rank - 1, *range(1, rank - 1)]
    to_first = order == stored and rank >= 3
    to_last = rank >= 3 and order == [0, *range(2, rank), 1]
    if to_first and tensor.first:  # it has this order already
        c.alias(node, Tensor(tensor.name, c.shape(Ref(node.name)), False))
    elif to_last and not tensor.first:
        c.alias(node, Tensor(tensor.name, c.shape(Ref(node.name)), True))
    else:
        o = Operands(c.tensor)
        text = o.last(tensor)
        swapped = rank == 2 and order == [1, 0]
        text = f"{text}.T" if swapped else f"{text}.permute({', '.join(map(str, order))})"
        c.expression(node, o, text, what="transpose")


@LOWERINGS.of("Pad PadV2")
def pad(c: Context, node: Node) -> None:
    value = c.number(node, 2) if node.op == "PadV2" else 0
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    flat = sizes_of(c, node, 1)
    text = pad_text(o, tensor, list(zip(flat[::2], flat[1::2], strict=True)))
    if not text:
        c.alias(node, tensor)
        return
    numbers = re.fullmatch(r"\d+(, \d+)+", text)
    sides = o.argument("pad", tuple(map(int, text.split(", ")))) if numbers else f"({text})"
    filled = f", value={o.argument('value', value)}" if value else ""
    c.expression(node, o, f"F.pad({o(tensor)}, {sides}{filled})", first=tensor.first, what="pad")


def pad_text(o: Operands, tensor: Tensor, pads: list[tuple[Any, Any]]) -> str:
    """Return the pads of F.pad, the last axis first; '' where nothing is padded."""
    stored = tensor.stored(pads)
    while stored and all(_is(side, 0) for side in stored[0]):
        stored = stored[1:]
    return o.sizes([side for pair in reversed(stored) for side in pair])


@LOWERINGS.of("StridedSlice")
def strided_slice(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    entries = _strided_entries(c, node, tensor.rank)
    first = tensor.first and all(isinstance(entry, tuple) for entry in entries) and len(entries) == tensor.rank
    text = o(tensor) if first else o.last(tensor)
    backwards = [axis for axis, entry in enumerate(_of_axes(entries)) if isinstance(entry, tuple) and entry[2] < 0]
    if backwards:
        places = sorted(tensor.axis(axis) if first else axis for axis in backwards)
        text = f"{text}.flip({', '.join(map(str, places))})"
        entries = [_turned(entry) for entry in entries]
    index = _index(o, tensor.stored(entries) if first else entries)
    if not index and not backwards:
        c.alias(node, tensor)
        return
    c.expression(node, o, f"{text}[{index}]" if index else text, first=first, what="slice")


def _of_axes(entries: list[Any]) -> list[Any]:
    """Return the entries of a StridedSlice that belong to axes of its input."""
    return [entry for entry in entries if entry is not None]


def _turned(entry: Any) -> Any:
    """Return an entry that steps backwards as one of the flipped axis, whose place -1 - i is i."""
    if not isinstance(entry, tuple) or entry[2] > 0:
        return entry
    begin, end, step = entry
    begin = None if begin is None or _is(begin, -1) else -1 - begin
    return (begin, None if end is None else -1 - end, -step)


def _strided_entries(c: Context, node: Node, rank: int) -> list[Any]:
    """Return a StridedSlice as one entry for each axis: (begin, end, step), a number, or None for a new axis."""
    masks = {name: node.integer(f"{name}_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    begins, ends, steps = (sizes_of(c, node, at) for at in (1, 2, 3))
    entries: list[Any] = []
    for at, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        bit = 1 << at
        if masks["ellipsis"] & bit:
            named = sum(not (masks["new_axis"] >> other) & 1 for other in range(len(begins)) if other != at)
            entries += [(None, None, 1)] * (rank - named)
        elif masks["new_axis"] & bit:
            entries.append(None)
        elif masks["shrink_axis"] & bit:
            entries.append(begin)
        else:
            if isinstance(step, Size) or not step:
                raise Untranslated("data decides its step")
            start = None if masks["begin"] & bit or (step > 0 and _is(begin, 0)) else begin
            entries.append((start, None if masks["end"] & bit else end, step))
    filled = sum(entry is not None for entry in entries)
    return entries + [(None, None, 1)] * (rank - filled)


def sizes_of(c: Context, node: Node, index: int) -> list[Any]:
    """Return an input of integers and sizes. Raises Untranslated where data computes it."""
    found = c.arithmetic.of(node.inputs[index])
    if found is None:
        raise Untranslated(f"its input {index} is computed from data")
    return np.atleast_1d(found).ravel().tolist()


def _index(o: Operands, entries: list[Any]) -> str:
    """Return the text of an index, without the whole axes at its end."""
    while entries and entries[-1] == (None, None, 1):
        entries = entries[:-1]
    return ", ".join(_entry(o, entry) for entry in entries)


def _entry(o: Operands, entry: Any) -> str:
    if not isinstance(entry, tuple):
        return "None" if entry is None else o.size(entry)
    begin, end, step = entry
    texts = ["" if side is None else o.size(side) for side in (begin, end)]
    return ":".join(texts if _is(step, 1) else [*texts, o.size(step)])


@LOWERINGS.of("Slice")
def slice_of(c: Context, node: Node) -> None:
    tensor = c.tensor(node.inputs[0])
    o = Operands(c.tensor)
    entries: list[Any] = []
    out = c.shape(Ref(node.name))
    axes = zip(sizes_of(c, node, 1), sizes_of(c, node, 2), tensor.shape, out, strict=True)
    for at, (begin, size, whole, left) in enumerate(axes):
        rest = _is(size, -1) or (_is(begin, 0) and _whole(size, node.inputs[0], at, whole, left))
        end = None if rest else begin + size
        entries.append((None if _is(begin, 0) else begin, end, 1))
    index = _index(o, tensor.stored(entries))
    if not index:
        c.alias(node, tensor)
        return
    c.expression(node, o, f"{o(tensor)}[{index}]", first=tensor.first, what="slice")


def _whole(size: Any, ref: Ref, axis: int, whole: int | None, left: int | None) -> bool:
    """Tell whether a slice's size is all of its axis."""
    return size.same(Size.of(ref, axis)) if isinstance(size, Size) else whole is not None and whole == left
