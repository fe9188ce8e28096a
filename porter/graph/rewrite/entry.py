"""find_entry: where images enter the network of a graph, whatever lies before it.

The entry is the tensor that takes the place of the recorded graph's own input. It is found from the stem, the layer
that reads the network's first kernel: from there back past as many paddings and other steps as the recorded graph has
between its input and its stem. Names of other nodes play no part. What lies before the entry (queue, decoder, scaling,
resize) is the graph's own preprocessing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.errors import FormatError
from porter.formats.tensorflow.graphdef import node_of
from porter.formats.tensorflow.tensorproto import tensor_values
from porter.graph.graph import Graph, Node, Ref, parse_ref
from porter.graph.shapes import Shape

LAYERS = {
    "Conv2D": 1,
    "DepthwiseConv2dNative": 1,
    "MatMul": 1,
    "_FusedConv2D": 1,
    "_FusedDepthwiseConv2dNative": 1,
    "_FusedMatMul": 1,
    "FusedPadConv2D": 2,
    "FusedResizeAndPadConv2D": 3,
}
"""Ops that apply a kernel, and the input that it is."""
PASSING = frozenset({"Identity", "StopGradient", "CheckNumerics", "EnsureShape"})
"""Ops that return their first input."""
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
_PADS = frozenset({"Pad", "PadV2", "MirrorPad"})
_PAD = "Pad"


@dataclass(frozen=True)
class Entry:
    """Where images enter: the tensor, whether it is NCHW, its dtype's number, and the node of the stem.

    ``passed`` are the nodes between the tensor and the stem. ``shape`` is the tensor's; None where it is unknown.
    """

    tensor: Ref
    channels_first: bool
    dtype: int
    stem: str
    passed: tuple[str, ...]
    shape: Shape = None

    @property
    def nhwc(self) -> tuple[int, ...]:
        """The shape of the images, batch first and channels last, with -1 for an open side."""
        shape = self.shape
        if shape is None or len(shape) != 4:
            return (-1, -1, -1, -1)
        if self.channels_first:
            shape = tuple(shape[axis] for axis in TO_CHANNELS_LAST)
        return tuple(-1 if side is None else side for side in shape)


def find_stem(graph: Graph, kernels: Collection[str], outputs: Iterable[str]) -> Node | None:
    """Return the first layer on the way to ``outputs`` that reads one of ``kernels``.

    Where the graph has none of these variables, it is the only layer that no other layer comes before. None where
    several are.
    """
    needed = graph.needed(outputs)
    reading = _reading(graph, [name for name in kernels if name in graph.nodes], needed)
    if reading:
        return next(graph.nodes[name] for name in graph.order if name in reading)
    layers = [name for name in needed if _is_layer(graph.nodes[name])]
    behind = graph.reached(other for name in layers for other in graph.consumers[name])
    first = [name for name in layers if name not in behind]
    return graph.nodes[first[0]] if len(first) == 1 else None


def _reading(graph: Graph, kernels: Iterable[str], needed: Collection[str]) -> set[str]:
    """Return the layers that read ``kernels``, directly or through nodes that are no layers."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = list(kernels)
    while waiting:
        name = waiting.pop()
        for other in graph.consumers[name]:
            node = graph.nodes[other]
            if node.op not in LAYERS:
                waiting += [other] if other not in seen else []
                seen.add(other)
            elif other in needed and _is_layer(node) and node.inputs[LAYERS[node.op]].node == name:
                found.add(other)
    return found


def _is_layer(node: Node) -> bool:
    """Tell whether ``node`` is a layer with images and a kernel; a damaged graph's may lack them."""
    return node.op in LAYERS and len(node.inputs) > LAYERS[node.op]


def steps_before(graph: Graph, stem: Node) -> list[str]:
    """Return the ops between the stem and the graph's input, nearest first; every kind of padding is a Pad."""
    steps = [_PAD] if _pads(stem) else []
    ref = stem.inputs[0]
    while (node := graph.nodes.get(ref.node)) is not None and node.inputs:
        if node.op not in PASSING and transposed(graph, node) is None:
            steps.append(_kind(node))
        ref = node.inputs[0]
    return steps


def find_entry(graph: Graph, stem: Node, steps: Iterable[str], path: Path | str) -> Entry:
    """Return the entry of the network whose first layer is ``stem``, where ``steps`` of it come before.

    Raises FormatError, which names ``path``, where no tensor is the entry, or where it is not a float.
    """
    if stem.op == "FusedResizeAndPadConv2D":
        raise FormatError(
            f"{path}: its first layer {stem.name} resizes the images too (FusedResizeAndPadConv2D): freeze the graph "
            "without fuse_resize_pad_conv"
        )
    dtype = stem.attr("T").type if stem.attr("T") is not None else 1
    if dtype not in (1, 2):
        raise FormatError(f"{path}: its first layer {stem.name} does not compute in float32: freeze the float32 graph")
    waiting = list(steps)
    if _pads(stem) and _PAD in waiting:
        waiting.remove(_PAD)
    ref, first, passed = stem.inputs[0], stem.channels_first, list[str]()
    # A damaged graph may lead back to a node that is passed already.
    while (node := graph.nodes.get(ref.node)) is not None and node.inputs and node.name not in passed:
        turned = transposed(graph, node)
        if waiting and _kind(node) == waiting[0]:
            waiting.pop(0)
        elif turned is not None and (waiting or (first and turned == TO_CHANNELS_FIRST)):
            first = turned == TO_CHANNELS_LAST
        elif node.op not in PASSING:
            break
        passed.append(node.name)
        ref = node.inputs[0]
    return Entry(ref, first, dtype, stem.name, tuple(passed))


def transposed(graph: Graph, node: Node) -> tuple[int, ...] | None:
    """Return the order of axes where ``node`` turns NHWC into NCHW or back, else None."""
    if node.op != "Transpose" or len(node.inputs) < 2:
        return None
    order = graph.nodes.get(node.inputs[1].node)
    if order is None or order.op != "Const" or order.attr("value") is None:
        return None
    axes = tuple(int(axis) for axis in tensor_values(Path(), order.name, order.attr("value").tensor).ravel())
    return axes if axes in (TO_CHANNELS_FIRST, TO_CHANNELS_LAST) else None


def _kind(node: Node) -> str:
    return _PAD if node.op in _PADS else node.op


def _pads(stem: Node) -> bool:
    """Tell whether the layer pads its own input."""
    return stem.text("padding") in ("SAME", "EXPLICIT") or stem.op == "FusedPadConv2D"


def entered(graph: Any, entry: Entry) -> Any:
    """Return ``graph`` with a placeholder of NHWC images in place of the entry."""
    name, layout = (free_name(graph, wanted) for wanted in ("network_input", "network_input_nchw"))
    cut = GraphDef(versions=graph.versions, library=graph.library)
    placeholder = cut.node.add(name=name, op="Placeholder")
    placeholder.attr["dtype"].type = entry.dtype
    for size in entry.nhwc:
        placeholder.attr["shape"].shape.dim.add(size=size)
    if entry.channels_first:
        turn(cut, layout, name, TO_CHANNELS_FIRST, entry.dtype)
    # The preprocessing is not run, so that nothing may wait for it.
    before = _before(graph, entry)
    for node in graph.node:
        kept = cut.node.add()
        kept.CopyFrom(node)
        kept.input[:] = [
            (layout if entry.channels_first else name) if parse_ref(tensor) == entry.tensor else tensor
            for tensor in node.input
            if not (tensor.startswith("^") and tensor[1:] in before)
        ]
    return cut


def turn(graph: Any, name: str, tensor: str, order: tuple[int, ...], dtype: int) -> None:
    """Add a Transpose called ``name`` to the GraphDef ``graph``."""
    axes = graph.node.add(name=f"{name}/order", op="Const")
    axes.attr["dtype"].type = axes.attr["value"].tensor.dtype = 3  # int32
    axes.attr["value"].tensor.tensor_shape.dim.add(size=len(order))
    axes.attr["value"].tensor.int_val.extend(order)
    node = graph.node.add(name=name, op="Transpose", input=[tensor, axes.name])
    node.attr["T"].type = dtype
    node.attr["Tperm"].type = 3


def free_name(graph: Any, wanted: str) -> str:
    """Return ``wanted``, made longer until no node has the name."""
    names = {node.name for node in graph.node}
    while wanted in names:
        wanted += "_"
    return wanted


def _before(graph: Any, entry: Entry) -> set[str]:
    """Return the nodes that the entry, or a node passed on the way to it, waits for."""
    nodes = {node.name: node for node in graph.node}
    found: set[str] = set()
    waiting = [entry.tensor.node]
    waiting += [tensor[1:] for name in entry.passed for tensor in nodes[name].input if tensor.startswith("^")]
    while waiting:
        name = waiting.pop()
        if name not in found and name in nodes:
            found.add(name)
            waiting += [node_of(tensor) for tensor in nodes[name].input]
    return found
