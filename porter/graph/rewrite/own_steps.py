"""own_steps: the part of a graph before its network, which prepares images."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.formats.tensorflow.dtypes import STRING
from porter.graph.functions import build_graph
from porter.graph.graph import Graph, Node, Ref, parse_ref
from porter.graph.rewrite.entry import Entry, free_name
from porter.graph.rewrite.prune import prune
from porter.graph.rewrite.safety import FEEDS, ops_of, what_ops_do
from porter.graph.shape_inference import infer_shapes
from porter.graph.shapes import Shape

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2")
_DEFAULTED = "PlaceholderWithDefault"
_SOURCE = re.compile(rf"{'|'.join(_PLACEHOLDERS)}|{_DEFAULTED}|\w*Dequeue\w*|IteratorGetNext(Sync)?|(Map)?Unstage")


@dataclass(frozen=True)
class OwnSteps:
    """A graph's own preprocessing: ``graph`` computes the tensor ``output`` from the placeholder ``input``.

    ``dtype`` and ``shape`` are the input's, in TensorFlow's numbers; an open batch counts as 1. ``behind`` names the op
    of a queue or iterator whose images go in. ``channels_first`` is the layout of the output. ``refused`` completes
    "not run: …", None where the steps can run.
    """

    graph: Any
    output: Ref
    channels_first: bool
    input: str = ""
    dtype: int = 0
    shape: Shape = None
    behind: str = ""
    refused: str | None = None

    @property
    def encoded(self) -> bool:
        """Whether the input is a file's bytes, and not pixels."""
        return self.dtype == STRING


def own_steps(graph: Any, entry: Entry, path: Path | str) -> OwnSteps | None:
    """Return the steps of ``graph`` before its ``entry``; None where images go straight into the network."""
    pruned = prune(graph, [entry.tensor.node], path)
    built = build_graph(pruned)
    sources = _sources(built, entry.tensor)
    steps = OwnSteps(pruned, entry.tensor, entry.channels_first)
    if len(sources) != 1:
        return _refused(steps, _why_not(pruned) or _which(sources))
    source = sources[0]
    node = built.nodes[source.node]
    placeholder = node.op in (*_PLACEHOLDERS, _DEFAULTED)
    if source == entry.tensor:
        return None if placeholder else _refused(steps, f"nothing stands between {node.op} and the network")
    shape = infer_shapes(built)[source]
    name, dtype = free_name(graph, "own_input"), _dtype(node, source.slot)
    cut = prune(_cut(pruned, source, name, dtype, shape), [entry.tensor.node], path)
    behind = "" if placeholder else node.op
    steps = OwnSteps(cut, entry.tensor, entry.channels_first, name, dtype, shape, behind)
    why = _why_not(cut)
    return _refused(steps, why) if why else steps


def _refused(steps: OwnSteps, why: str) -> OwnSteps:
    return OwnSteps(steps.graph, steps.output, steps.channels_first, refused=why)


def _which(sources: list[Ref]) -> str:
    names = ", ".join(dict.fromkeys(ref.node for ref in sources))
    return f"it has several inputs ({names})" if sources else "it has no input that images could be fed to"


def _why_not(graph: Any) -> str | None:
    """Say which ops of ``graph`` porter does not run here; queues are no reason where another is."""
    found = what_ops_do(graph.node)
    what = next((what for what in found if what != FEEDS), next(iter(found), None))
    return None if what is None else f"some ops {what} ({ops_of(found[what])})"


def _sources(graph: Graph, tensor: Ref) -> list[Ref]:
    """Return the outputs of inputs, queues and iterators that ``tensor`` is computed from, the nearest ones."""
    found: dict[Ref, None] = {}
    seen: set[Ref] = set()
    waiting = [tensor]
    while waiting:
        ref = waiting.pop()
        node = graph.nodes.get(ref.node)
        if node is None or ref in seen:
            continue
        seen.add(ref)
        if _SOURCE.fullmatch(node.op) and not _is_option(node):
            found[ref] = None
        else:
            waiting += node.inputs
    return list(found)


def _is_option(node: Node) -> bool:
    """Tell whether an input has a default and is no image, as is_training has."""
    shape = node.attr("shape")
    return node.op == _DEFAULTED and shape is not None and not shape.shape.unknown_rank and len(shape.shape.dim) < 3


def _dtype(node: Node, slot: int) -> int:
    """Return TensorFlow's number of the dtype of an input's output ``slot``."""
    for name in ("component_types", "output_types", "dtypes"):
        types = node.attr(name)
        if types is not None and slot < len(types.list.type):
            return int(types.list.type[slot])
    dtype = node.attr("dtype")
    return int(dtype.type) if dtype is not None else 1


def _cut(graph: Any, source: Ref, name: str, dtype: int, shape: Shape) -> Any:
    """Return ``graph`` with the placeholder ``name`` in place of ``source``."""
    cut = GraphDef(versions=graph.versions, library=graph.library)
    placeholder = cut.node.add(name=name, op="Placeholder")
    placeholder.attr["dtype"].type = dtype
    if shape is None:
        placeholder.attr["shape"].shape.unknown_rank = True
    else:
        for size in shape:
            placeholder.attr["shape"].shape.dim.add(size=-1 if size is None else size)
    for node in graph.node:
        kept = cut.node.add()
        kept.CopyFrom(node)
        kept.input[:] = [name if parse_ref(tensor) == source else tensor for tensor in node.input]
    return cut
