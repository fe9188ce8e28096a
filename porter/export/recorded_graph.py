"""fitted_graph: the original's recorded inference graph, fitted to the tensors of a port."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from porter.catalog.goldens import recorded
from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.export.output import Output
from porter.mapping.dialects import ORIGINAL
from porter.mapping.table import Table

_HANDLE = "VarHandleOp"
_FLOAT32 = np.dtype(np.float32)


def trainable(arch: Arch) -> Collection[str]:
    """Return the variables that the original trains."""
    return frozenset(recorded(arch.golden).recipe["trainable"])


def fitted_graph(output: Output) -> Any:
    """Return the original's graph of float32 variables, for the classes and image channels of the output's tensors.

    It computes every endpoint whose variables are there. Raises PorterError where the recorded graph is of another
    size, of other layers than the model's, or where the tensors are not float32.
    """
    from porter.graph.rewrite.prune import prune
    from porter.mapping.original_graph import original_graph, set_classes

    arch, entries = output.arch, output.tensors.entries
    golden, table = recorded(arch.golden), Table.of(arch)
    if not golden.graph.is_file() or not arch.wired_as_base:
        raise PorterError(f"porter has no graph of {arch.name}: write a .ckpt")
    if golden.input_size != arch.input_size:
        raise PorterError(
            f"porter has the graph of {arch.name} for images of {golden.input_size}x{golden.input_size} alone: write a "
            f".ckpt, or port it as {golden.model}"
        )
    if output.dtype or any(entry.dtype != _FLOAT32 for entry in entries.values()):
        raise PorterError("the original's graph computes in float32, and the tensors have another dtype: write a .ckpt")
    graph = original_graph(arch, channels=output.facts.values["in_channels"])
    nodes = {node.name: node for node in graph.node}
    outputs = [
        endpoint.where[ORIGINAL]
        for endpoint in table.endpoints
        if ORIGINAL in endpoint.where and endpoint.where[ORIGINAL] in nodes
    ]
    there = [op for op in outputs if _variables(nodes, op) <= entries.keys()]
    if not there:
        raise PorterError(f"the tensors fill no part of the original's graph of {arch.name}: write a .ckpt")
    fitted = prune(graph, there, golden.graph)
    for node in fitted.node:
        if node.op == _HANDLE:
            del node.attr["shape"].shape.dim[:]
            for size in entries[node.name].shape:
                node.attr["shape"].shape.dim.add(size=size)
    set_classes(fitted, table, golden.num_classes, output.facts.values["num_classes"])
    return fitted


def _variables(nodes: Mapping[str, Any], op: str) -> set[str]:
    """Return the variables that ``op`` depends on."""
    from porter.formats.tensorflow.graphdef import node_of
    from porter.mapping.original_graph import reach

    return {
        name
        for name in reach([op], lambda name: [node_of(tensor) for tensor in nodes[name].input])
        if nodes[name].op == _HANDLE
    }
