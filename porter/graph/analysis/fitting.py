"""fits_size and size_tells: what a size of the images would tell of a graph that leaves it open."""

from __future__ import annotations

from collections.abc import Iterable

from porter.graph.analysis.analysis import Analysis
from porter.graph.analysis.costs import COUNTED, multiply_adds
from porter.graph.analysis.layers import Layer
from porter.graph.graph import Node
from porter.graph.shape_inference import infer_shapes
from porter.graph.shapes import Shapes

_POOLS = frozenset({"AvgPool", "MaxPool"})
_PRODUCTS = frozenset({"MatMul"})


def fits_size(analysis: Analysis, size: int) -> bool:
    """Tell whether a pool or a convolution covers its whole map of images of ``size``, and each matrix fits its input.

    A pool of 7x7 behind MobileNet's strides of 32 covers the map of 224x224 pixels alone.
    """
    shapes = infer_shapes(analysis.graph, size)
    nodes = [analysis.graph.nodes[name] for name in analysis.graph.nodes if name in analysis.paths.path]
    fits = all(_multiplies(node, shapes) for node in nodes if node.op in _PRODUCTS)
    return fits and any(_covers(node, shapes) for node in nodes)


def size_tells(analysis: Analysis, layers: Iterable[Layer], size: int) -> bool:
    """Tell whether images of ``size`` make the work of one of ``layers`` known."""
    shapes, nodes = infer_shapes(analysis.graph, size), analysis.graph.nodes
    counted = (nodes[name] for layer in layers for name in layer.nodes if name in nodes and nodes[name].op in COUNTED)
    return any(multiply_adds(node, shapes) is not None for node in counted)


def _covers(node: Node, shapes: Shapes) -> bool:
    """Tell whether a window of more than one pixel is as large as what it slides over."""
    if node.op not in _POOLS | {"Conv2D"} or node.text("padding") != "VALID" or not node.inputs:
        return False
    space = slice(2, 4) if node.channels_first else slice(1, 3)
    read = shapes[node.inputs[0]]
    weights = shapes[node.inputs[1]] if node.op == "Conv2D" and len(node.inputs) > 1 else None
    window = node.ints("ksize")[space] if node.op in _POOLS else tuple(weights or ())[:2]
    return read is not None and len(read) == 4 and tuple(read)[space] == window != (1, 1)


def _multiplies(node: Node, shapes: Shapes) -> bool:
    """Tell whether the two inner sizes of a matrix product are equal, as far as both are known."""
    first, second = (shapes[ref] for ref in node.inputs[:2]) if len(node.inputs) > 1 else (None, None)
    if not first or not second or len(first) != 2 or len(second) != 2:
        return True
    a = first[0 if node.flag("transpose_a") else 1]
    b = second[1 if node.flag("transpose_b") else 0]
    return None in (a, b) or a == b
