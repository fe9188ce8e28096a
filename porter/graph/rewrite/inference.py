"""inference_graph: the graph that TensorFlow runs in inference, without training's conditions and without dropout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef

from porter.formats.tensorflow.graphdef import node_of
from porter.graph.analysis.control.inference import View
from porter.graph.graph import VARIABLE_OPS
from porter.graph.rewrite.inline import flat, inlined

_FLOAT = 1
"""TensorFlow's number of float32 (tensorflow/core/framework/types.proto)."""
_FARTHEST = 64


def inference_graph(graph: Any, view: View, masked: Mapping[str, str], first: Iterable[str] = ()) -> Any:
    """Return the GraphDef ``graph`` with the sides of its conditions that ``view`` takes.

    The nodes ``masked`` end a dropout: each returns the node that it names, whose values the dropout masks.
    ``first`` is that of build_graph.
    """
    changed = view.choices or view.graph.inlined
    found = flat(view.graph, graph) if changed and not view.loops else inlined(graph, first)
    nodes = {node.name: node for node in found.node}
    decided = GraphDef(versions=found.versions, library=found.library)
    for node in found.node:
        if node.name in masked:
            decided.node.append(_passing(node, masked[node.name], nodes))
        elif node.op == "Identity" and found is not graph:
            decided.node.append(_passing(node, node.input[0], nodes))  # it may be what is left of a Merge or Switch
        else:
            decided.node.append(node)
            if node.op in ("Const", *VARIABLE_OPS):
                del decided.node[-1].input[:]  # those of a branch wait for its condition
    return decided


def _passing(node: Any, tensor: str, nodes: Mapping[str, Any]) -> Any:
    """Return an Identity of ``tensor`` in the place of a node."""
    found = NodeDef(name=node.name, op="Identity", device=node.device, input=[tensor])
    found.input.extend(name for name in node.input if name.startswith("^"))
    found.attr["T"].type = _dtype(node, nodes)
    return found


def _dtype(node: Any, nodes: Mapping[str, Any]) -> int:
    """Return the number of the dtype that a node computes; nodes of a lowered If do not state theirs."""
    for _ in range(_FARTHEST):
        for key in ("T", "dtype", "DstT"):
            if key in node.attr:
                return int(node.attr[key].type)
        if not node.input or node_of(node.input[0]) not in nodes:
            break
        node = nodes[node_of(node.input[0])]
    return _FLOAT
