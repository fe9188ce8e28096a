"""Shape rules of ops that rearrange arrays, or compute shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from porter.graph.graph import Node, Ref
from porter.graph.shapes import LARGEST_VALUE, MOST_OUTPUTS, Rules, Shapes

RULES = Rules()

_STAND_IN = 7919
"""A prime that replaces an unknown size while NumPy slices; it is larger than any axis of a network."""
_STAND_IN_CUT = 3000


@RULES.of("Shape ShapeN")
def shape_of(s: Shapes, node: Node) -> None:
    for index, ref in enumerate(node.inputs):
        shape = s[ref]
        s.set(node, None if shape is None else (len(shape),), index)
        if shape is not None:
            s.values[Ref(node.name, index)] = np.array(shape, object if None in shape else np.int64)


@RULES.of("Rank")
def rank(s: Shapes, node: Node) -> None:
    s.set_value(node, len(s.known(node)))


@RULES.of("Size")
def size(s: Shapes, node: Node) -> None:
    s.set_value(node, math.prod(s.known(node)))  # type: ignore[arg-type] # an unknown size raises TypeError


@RULES.of("Reshape")
def reshape(s: Shapes, node: Node) -> None:
    target = [None if size is None else int(size) for size in np.atleast_1d(s.value(node, 1)).tolist()]
    shape = s.input(node)
    count = None if shape is None or None in shape else math.prod(size for size in shape if size is not None)
    known = math.prod(size for size in target if size not in (None, -1)) if None not in target else None
    if -1 in target and count is not None and known:
        target[target.index(-1)] = count // known
    final = [None if size is None or size < 0 else size for size in target]
    s.set(node, final)
    value = s.value_or_none(node)
    if value is not None and None not in final:
        s.values[Ref(node.name)] = value.reshape([size or 0 for size in final])


@RULES.of("Squeeze")
def squeeze(s: Shapes, node: Node) -> None:
    shape = s.known(node)
    axes = {axis % len(shape) for axis in node.ints("squeeze_dims") or node.ints("axis")}
    s.set(node, [size for at, size in enumerate(shape) if not (at in axes if axes else size == 1)])
    value = s.value_or_none(node)
    if value is not None:
        s.set_value(node, value.squeeze(tuple(axes) or None))


@RULES.of("ExpandDims")
def expand_dims(s: Shapes, node: Node) -> None:
    shape = list(s.known(node))
    axis = s.ints(node, 1)[0]
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, 1)
    s.set(node, shape)
    value = s.value_or_none(node)
    if value is not None:
        s.set_value(node, value.reshape([size or 0 for size in shape]))


@RULES.of("Transpose")
def transpose(s: Shapes, node: Node) -> None:
    shape = s.known(node)
    s.set(node, [shape[at] for at in s.ints(node, 1)])


@RULES.of("Pad PadV2 MirrorPad")
def pad(s: Shapes, node: Node) -> None:
    sizes = zip(s.known(node), s.pairs(node, 1), strict=True)
    s.set(node, [None if size is None else size + before + after for size, (before, after) in sizes])


@RULES.of("Tile")
def tile(s: Shapes, node: Node) -> None:
    sizes = zip(s.known(node), s.ints(node, 1), strict=True)
    s.set(node, [None if size is None else size * times for size, times in sizes])


@RULES.of("Fill RandomUniform TruncatedNormal RandomStandardNormal")
def fill(s: Shapes, node: Node) -> None:
    sizes = np.atleast_1d(s.value(node, 0)).tolist()
    s.set(node, [None if size is None else int(size) for size in sizes])


@RULES.of("BroadcastTo")
def broadcast_to(s: Shapes, node: Node) -> None:
    s.set(node, s.ints(node, 1))


@RULES.of("Concat ConcatV2")
def concat(s: Shapes, node: Node) -> None:
    axis_at = 0 if node.op == "Concat" else len(node.inputs) - 1
    axis = int(s.value(node, axis_at))
    parts = [ref for at, ref in enumerate(node.inputs) if at != axis_at]
    shapes = [shape for ref in parts if (shape := s[ref]) is not None]
    values = [value for ref in parts if (value := s.values.get(ref)) is not None]
    if len(shapes) == len(parts):
        joined = list(shapes[0])
        joined[axis] = sum(shape[axis] for shape in shapes)  # type: ignore[misc] # an unknown size raises TypeError
        s.set(node, joined)
    if len(values) == len(parts):
        s.set_value(node, np.concatenate(values))


@RULES.of("Pack")
def pack(s: Shapes, node: Node) -> None:
    shape = s.input(node)
    if shape == ():
        # An unknown scalar among known ones leaves one size unknown, not the whole shape.
        numbers = [None if (value := s.values.get(ref)) is None else value.item() for ref in node.inputs]
        s.set_value(node, np.array(numbers, object if None in numbers else None))
    elif shape is not None:
        axis = node.integer("axis")
        packed = list(shape)
        packed.insert(axis if axis >= 0 else len(packed) + 1 + axis, len(node.inputs))
        s.set(node, packed)
        values = [value for ref in node.inputs if (value := s.values.get(ref)) is not None]
        if len(values) == len(node.inputs) and sum(value.size for value in values) <= LARGEST_VALUE:
            s.set_value(node, np.stack(values, axis))  # such as the paddings of an atrous convolution


@RULES.of("Unpack")
def unpack(s: Shapes, node: Node) -> None:
    shape, value = s.known(node), s.value_or_none(node)
    axis = node.integer("axis") % len(shape)
    rest = [size for at, size in enumerate(shape) if at != axis]
    for index in range(min(node.attr("num").i, MOST_OUTPUTS)):
        s.set(node, rest, index)
        if value is not None and value.ndim == 1:
            s.values[Ref(node.name, index)] = np.asarray(value[index])


@RULES.of("Split SplitV")
def split(s: Shapes, node: Node) -> None:
    data_at, axis_at = (1, 0) if node.op == "Split" else (0, 2)
    shape = list(s.known(node, data_at))
    axis = s.ints(node, axis_at)[0] % len(shape)
    whole = shape[axis]
    sizes: list[int | None]
    if node.op == "Split":
        count = min(node.attr("num_split").i, MOST_OUTPUTS)
        sizes = [None if whole is None else whole // count] * count
    else:
        stated = s.ints(node, 1)[:MOST_OUTPUTS]
        rest = None if whole is None else whole - sum(size for size in stated if size >= 0)
        sizes = [size if size >= 0 else rest for size in stated]
    for index, part in enumerate(sizes):
        s.set(node, [part if at == axis else size for at, size in enumerate(shape)], index)
    value = s.value_or_none(node, data_at)
    if value is not None and None not in sizes:
        ends = np.cumsum(np.array(sizes, int))
        for index, piece in enumerate(np.split(value, ends[:-1], axis)):
            s.values[Ref(node.name, index)] = piece


@RULES.of("OneHot")
def one_hot(s: Shapes, node: Node) -> None:
    shape = list(s.known(node))
    axis = node.integer("axis", -1)
    shape.insert(axis if axis >= 0 else len(shape), s.ints(node, 1)[0])
    s.set(node, shape)


@RULES.of("GatherV2 Gather")
def gather(s: Shapes, node: Node) -> None:
    shape, indices = s.known(node, 0), s.known(node, 1)
    axis = (s.ints(node, 2)[0] if len(node.inputs) > 2 else 0) % len(shape)
    batch = node.integer("batch_dims") % (len(indices) + 1)
    s.set(node, (*shape[:axis], *indices[batch:], *shape[axis + 1 :]))
    value, places = s.value_or_none(node, 0), s.value_or_none(node, 1)
    if value is not None and places is not None and axis == 0:
        s.set_value(node, value[np.asarray(places, np.int64)])


@RULES.of("GatherNd")
def gather_at_places(s: Shapes, node: Node) -> None:
    shape, (*places, axes) = s.known(node, 0), s.known(node, 1)
    s.set(node, (*places, *shape[axes:]))


@RULES.of("Slice")
def slice_of(s: Shapes, node: Node) -> None:
    begin, sizes = s.ints(node, 1), s.ints(node, 2)
    axes = zip(s.known(node), begin, sizes, strict=True)
    s.set(node, [size if size >= 0 else None if whole is None else whole - start for whole, start, size in axes])
    value = s.value_or_none(node)
    if value is not None and len(begin) == 1:
        s.set_value(node, value[begin[0] :][: sizes[0] if sizes[0] >= 0 else None])


@RULES.of("StridedSlice")
def strided_slice(s: Shapes, node: Node) -> None:
    index = strided_index(s, node)
    value, shape = s.value_or_none(node), s.input(node)
    if value is not None:
        s.set_value(node, value[index])
    elif shape is None:
        s.set(node, None)
    else:
        stand_in = np.broadcast_to(np.int8(0), [_STAND_IN if size is None else size for size in shape])
        found = stand_in[index].shape
        s.set(node, [None if size > _STAND_IN_CUT and None in shape else size for size in found])


def strided_index(s: Shapes, node: Node) -> tuple[Any, ...]:
    """Return a StridedSlice as a NumPy index; bit n of each mask is about entry n."""
    masks = {name: node.integer(f"{name}_mask") for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    index: list[Any] = []
    for at, (begin, end, step) in enumerate(zip(s.ints(node, 1), s.ints(node, 2), s.ints(node, 3), strict=True)):
        bit = 1 << at
        if masks["ellipsis"] & bit:
            index.append(Ellipsis)
        elif masks["new_axis"] & bit:
            index.append(None)
        elif masks["shrink_axis"] & bit:
            index.append(begin)
        else:
            index.append(slice(None if masks["begin"] & bit else begin, None if masks["end"] & bit else end, step))
    return tuple(index)
