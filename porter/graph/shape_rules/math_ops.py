"""Shape rules of matrix products, reductions and ranges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from porter.graph.graph import Node, Ref
from porter.graph.shapes import LARGEST_VALUE, Rules, Shapes, broadcast

RULES = Rules()

_REDUCTIONS: dict[str, Callable[..., Any]] = {"Prod": np.prod, "Sum": np.sum, "Max": np.max, "Min": np.min}


@RULES.of("_FusedMatMul FusedMatMul MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3")
def matrix_product(s: Shapes, node: Node) -> None:
    a, b = s.known(node, 0), s.known(node, 1)
    transpose_a = node.flag("transpose_a") or node.flag("adj_x")
    transpose_b = node.flag("transpose_b") or node.flag("adj_y")
    batch = broadcast(a[:-2], b[:-2]) or ()
    s.set(node, (*batch, a[-1] if transpose_a else a[-2], b[-2] if transpose_b else b[-1]))


@RULES.of("Mean Sum Prod Max Min All Any")
def reduction(s: Shapes, node: Node) -> None:
    shape = s.known(node)
    axes = {axis % max(1, len(shape)) for axis in s.ints(node, 1)}
    keep = node.flag("keep_dims")
    s.set(node, [1 if at in axes else size for at, size in enumerate(shape) if keep or at not in axes])
    value = s.value_or_none(node)
    if value is not None and node.op in _REDUCTIONS:
        s.values[Ref(node.name)] = np.asarray(_REDUCTIONS[node.op](value, axis=tuple(axes), keepdims=keep))


@RULES.of("ArgMax ArgMin")
def index_of_extreme(s: Shapes, node: Node) -> None:
    shape = s.known(node)
    axis = s.ints(node, 1)[0] % len(shape)
    s.set(node, [size for at, size in enumerate(shape) if at != axis])


@RULES.of("Range")
def number_range(s: Shapes, node: Node) -> None:
    s.set(node, (None,))
    start, limit, delta = (s.ints(node, index)[0] for index in range(3))
    s.set(node, (max(0, -((start - limit) // delta)),))
    if (limit - start) // delta <= LARGEST_VALUE:
        s.set_value(node, np.arange(start, limit, delta))


@RULES.of("RFFT RFFT2D RFFT3D IRFFT IRFFT2D IRFFT3D")
def real_transform(s: Shapes, node: Node) -> None:
    """A spectrum of real numbers has half of the last axis, and the number in the middle."""
    shape, lengths = list(s.known(node)), s.ints(node, 1)
    shape[-len(lengths) :] = lengths
    if node.op.startswith("RFFT"):
        shape[-1] = lengths[-1] // 2 + 1
    s.set(node, shape)


@RULES.of("SparseToDense")
def sparse_to_dense(s: Shapes, node: Node) -> None:
    """Ports of ONNX graphs set the sizes of a Reshape with it."""
    shape = s.ints(node, 1)
    s.set(node, shape)
    if math.prod(shape) <= LARGEST_VALUE:
        dense = np.full(shape, s.value(node, 3))
        places = np.asarray(s.value(node, 0), np.int64)
        places = places.reshape(-1, len(shape)) if places.size else np.empty((0, len(shape)), np.int64)
        dense[tuple(places.T)] = s.value(node, 2)
        s.set_value(node, dense)


@RULES.of("Einsum")
def einsum(s: Shapes, node: Node) -> None:
    terms, _, result = node.text("equation").partition("->")
    sizes: dict[str, int | None] = {}
    for index, term in enumerate(terms.split(",")):
        sizes |= dict(zip(term, s.known(node, index), strict=True))
    s.set(node, [sizes[letter] for letter in result])
