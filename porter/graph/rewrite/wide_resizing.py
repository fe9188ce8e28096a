"""Resizing, whose TensorFlow kernels return float32 alone, as pieces that TensorFlow computes in float64.

Sources: tensorflow/core/util/image_resizer_state.h, tensorflow/core/kernels/image/resize_bicubic_op.cc and
resize_area_op.cc.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from porter.graph.rewrite.wide_ops import Pieces, entry

_DOUBLE, _INT32, _BOOL = 2, 3, 10
_TABLE = 1024
"""TensorFlow looks up cubic weights in a table of so many places."""
_HEIGHT, _WIDTH = 1, 2


def open_bilinear(graph: Any, node: Any) -> None:
    """Add a ResizeBilinear as gathers of rows and columns."""
    add = Pieces(graph, node.name)
    x, half = node.input[0], node.attr["half_pixel_centers"].b
    for axis, old, new, last in _axes(add, node):
        places, _ = _places(add, node, old, new)
        places = add("Maximum", places, add.number(0.0)) if half else places
        low = add("Floor", places)
        part = add("Reshape", add("Sub", places, low), _shape(add, new, axis), Tshape=_INT32)
        first = add("Cast", low, T=None, SrcT=_DOUBLE, DstT=_INT32)
        indices = (first, add("Add", first, add.integer(1), T=_INT32))
        a, b = (_lines(add, x, _bounded(add, index, last), axis) for index in indices)
        x = add("Add", a, add("Mul", add("Sub", b, a), part), name=node.name if axis == _WIDTH else "")


def open_bicubic(graph: Any, node: Any) -> None:
    """Add a ResizeBicubic as weighted gathers of rows and columns."""
    add = Pieces(graph, node.name)
    x, half = node.input[0], node.attr["half_pixel_centers"].b
    for axis, old, new, last in _axes(add, node):
        places, _ = _places(add, node, old, new)
        low = add("Floor", places)
        steps = add("Round", add("Mul", add("Sub", places, low), add.number(float(_TABLE))))
        weights = _cubic(add, add("RealDiv", steps, add.number(float(_TABLE))), -0.5 if half else -0.75)
        first = add("Cast", low, T=None, SrcT=_DOUBLE, DstT=_INT32)
        indices = [add("Add", first, add.integer(at), T=_INT32) for at in (-1, 0, 1, 2)]
        inside = [_bounded(add, add("Maximum", index, add.integer(0), T=_INT32), last) for index in indices]
        if half:  # what lies outside has no weight
            weights = [
                add("Mul", weight, add("Cast", add("Equal", a, b, T=_INT32), T=None, SrcT=_BOOL, DstT=_DOUBLE))
                for weight, a, b in zip(weights, indices, inside, strict=True)
            ]
            whole = _sum(add, weights)
            weights = [add("RealDiv", weight, whole) for weight in weights]
        parts = [
            add("Mul", _lines(add, x, index, axis), add("Reshape", weight, _shape(add, new, axis), Tshape=_INT32))
            for index, weight in zip(inside, weights, strict=True)
        ]
        x = _sum(add, parts, node.name if axis == _WIDTH else "")


def _cubic(add: Pieces, part: str, a: float) -> list[str]:
    """Add the weights of the four lines around a place, for ``part`` of the way from the second to the third."""
    ways = [
        add("Add", part, add.number(1.0)), part, add("Sub", add.number(1.0), part), add("Sub", add.number(2.0), part)
    ]  # fmt: skip
    found = []
    for way, near in zip(ways, (False, True, True, False), strict=True):
        if near:  # ((a + 2) d - (a + 3)) d d + 1
            inner = add("Sub", add("Mul", way, add.number(a + 2)), add.number(a + 3))
            found.append(add("Add", add("Mul", add("Mul", inner, way), way), add.number(1.0)))
        else:  # ((d - 5) d + 8) d a - 4 a
            inner = add("Add", add("Mul", add("Sub", way, add.number(5.0)), way), add.number(8.0))
            found.append(add("Sub", add("Mul", add("Mul", inner, way), add.number(a)), add.number(4 * a)))
    return found


def open_area(graph: Any, node: Any) -> None:
    """Add a ResizeArea as products with the parts of the old lines that each new one covers."""
    add = Pieces(graph, node.name)
    x = node.input[0]
    for axis, old, new, _ in _axes(add, node):
        begins, step = _places(add, node, old, new)
        begins = add("Reshape", begins, add.integer(-1, 1, shape=(2,)), Tshape=_INT32)
        ends = add("Add", begins, step)
        lines = add("Range", add.integer(0), old, add.integer(1), T=None, Tidx=_INT32)
        lines = add("Cast", lines, T=None, SrcT=_INT32, DstT=_DOUBLE)
        behind = add("Add", lines, add.number(1.0))
        covered = add("Sub", add("Minimum", ends, behind), add("Maximum", begins, lines))
        parts = add("Maximum", covered, add.number(0.0))
        parts = add("RealDiv", parts, add.sums(parts, 1))  # what lies behind the map counts for nothing
        x = add("Einsum", parts, x, name=node.name if axis == _WIDTH else "")
        product = add.graph.node[-1]
        product.attr["equation"].s = b"oh,nhwc->nowc" if axis == _HEIGHT else b"ow,nhwc->nhoc"
        product.attr["N"].i = 2


def _axes(add: Pieces, node: Any) -> Iterator[tuple[int, str, str, str]]:
    """Yield height and width: the axis, its old and its new size, and the last of the old lines."""
    shape = add("Shape", node.input[0], out_type=_INT32)
    for at, axis in enumerate((_HEIGHT, _WIDTH)):
        old, new = (entry(add, tensor, index) for tensor, index in ((shape, axis), (node.input[1], at)))
        yield axis, old, new, add("Sub", old, add.integer(1), T=_INT32)


def _sum(add: Pieces, parts: list[str], name: str = "") -> str:
    found, *others = parts
    for number, part in enumerate(others, start=1):
        found = add("Add", found, part, name=name if number == len(others) else "")
    return found


def _lines(add: Pieces, x: str, index: str, axis: int) -> str:
    return add("GatherV2", x, index, add.integer(axis), T=None, Tparams=_DOUBLE, Tindices=_INT32, Taxis=_INT32)


def _places(add: Pieces, node: Any, old: str, new: str) -> tuple[str, str]:
    """Add where each new line stands among the old ones, and the step from one to the next."""
    one = add.integer(1)
    line = add("Range", add.integer(0), new, one, T=None, Tidx=_INT32)
    line = add("Cast", line, T=None, SrcT=_INT32, DstT=_DOUBLE)
    if node.attr["align_corners"].b:  # which has no meaning for a single line
        less = add("Minimum", add("Sub", new, one, T=_INT32), one, T=_INT32)
        old, new = (add("Sub", size, less, T=_INT32) for size in (old, new))
    sizes = [add("Cast", size, T=None, SrcT=_INT32, DstT=_DOUBLE) for size in (old, new)]
    step = add("RealDiv", *sizes)
    if not node.attr["half_pixel_centers"].b:
        return add("Mul", line, step), step
    return add("Sub", add("Mul", add("Add", line, add.number(0.5)), step), add.number(0.5)), step


def _bounded(add: Pieces, index: str, last: str) -> str:
    return add("Minimum", index, last, T=_INT32)


def _shape(add: Pieces, size: str, axis: int) -> str:
    """Add the shape [1, size, 1, 1] or [1, 1, size, 1]."""
    parts = [size if at == axis else add.integer(1) for at in range(4)]
    packed = add("Pack", *parts, T=_INT32)
    add.graph.node[-1].attr["N"].i = 4
    return packed
