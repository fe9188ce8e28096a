"""channels_last: rewrites a graph's NCHW ops to compute in NHWC, the only layout of TensorFlow's kernels on CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.errors import FormatError
from porter.graph.functions import build_graph
from porter.graph.graph import Graph, parse_ref
from porter.graph.rewrite.entry import TO_CHANNELS_FIRST, TO_CHANNELS_LAST, transposed, turn
from porter.graph.rewrite.wide_ops import Pieces, reordered

_OPS = frozenset(
    """
    AvgPool BiasAdd Conv2D DepthToSpace DepthwiseConv2dNative FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 MaxPool
    SpaceToDepth _FusedConv2D
    """.split()
)
"""Ops with a data_format whose first input and first output have that layout."""
_TRANSPOSED = "Conv2DBackpropInput"
"""It has the layout in its third input, and in the sizes that are its first."""
_PER_AXIS = ("strides", "ksize", "dilations")
_RESHAPING = frozenset({"Reshape", "Shape", "ShapeN", "Size", "Rank"})


def channels_last(graph: Any, path: Path | str) -> tuple[Any, frozenset[str]]:
    """Return ``graph`` with NHWC ops between transposes, and the nodes whose values of four axes are NCHW.

    Every node keeps its name and its value. Raises FormatError, which names ``path``, for an NCHW op that porter does
    not rewrite.
    """
    built = build_graph(graph)
    turned = {node.name for node in built.nodes.values() if node.channels_first}
    if not turned:
        return graph, frozenset()
    last = GraphDef(versions=graph.versions, library=graph.library)
    for node in graph.node:
        inputs = [_moved(tensor, turned) for tensor in node.input]
        if node.name not in turned:
            last.node.add().CopyFrom(node)
            last.node[-1].input[:] = inputs
            continue
        if node.op not in (*_OPS, _TRANSPOSED):
            raise FormatError(f"{path}: {node.op} at {node.name} is in NCHW: export the inference graph in NHWC")
        dtype = node.attr["T"].type or 1
        data = 2 if node.op == _TRANSPOSED else 0
        turn(last, f"{node.name}/from_nchw", inputs[data], TO_CHANNELS_LAST, dtype)
        inputs[data] = f"{node.name}/from_nchw"
        if node.op == _TRANSPOSED:
            inputs[0] = reordered(Pieces(last, node.name), inputs[0], TO_CHANNELS_LAST)
        inner = last.node.add()
        inner.CopyFrom(node)
        inner.name = f"{node.name}/nhwc"
        inner.input[:] = inputs
        inner.attr["data_format"].s = b"NHWC"
        _reorder(inner)
        turn(last, node.name, inner.name, TO_CHANNELS_FIRST, dtype)
    return last, _channels_first(built)


def _moved(tensor: str, turned: set[str]) -> str:
    """Return the input, where the second and later outputs of a rewritten node are those of the op inside."""
    ref = parse_ref(tensor)
    return f"{ref.node}/nhwc:{ref.slot}" if ref.node in turned and ref.slot else tensor


def _reorder(node: Any) -> None:
    """Put the attributes that have a number for each axis into NHWC's order."""
    for name in _PER_AXIS:
        if name in node.attr and len(node.attr[name].list.i) == 4:
            _set(node.attr[name].list.i, [node.attr[name].list.i[axis] for axis in TO_CHANNELS_LAST])
    if "explicit_paddings" in node.attr and len(node.attr["explicit_paddings"].list.i) == 8:
        pads = node.attr["explicit_paddings"].list.i
        _set(pads, [pads[2 * axis + end] for axis in TO_CHANNELS_LAST for end in (0, 1)])


def _set(field: Any, values: Sequence[int]) -> None:
    del field[:]
    field.extend(values)


def _channels_first(graph: Graph) -> frozenset[str]:
    """Return the nodes that compute in NCHW, and those that pass its values on."""
    found: set[str] = set()
    for name in graph.order:
        node = graph.nodes[name]
        order = transposed(graph, node)
        follows = node.op not in _RESHAPING and any(ref.node in found for ref in node.inputs)
        if node.channels_first or order == TO_CHANNELS_FIRST or (order is None and follows):
            found.add(name)
    return frozenset(found)
