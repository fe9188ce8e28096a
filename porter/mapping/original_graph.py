"""original_graph: the original's inference graph of a model, as recorded or made of the recorded graph's scopes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from porter.catalog.goldens import recorded
from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.mapping.dialects import ORIGINAL
from porter.mapping.shapes import expected_shapes
from porter.mapping.table import Table


def original_graph(arch: Arch, size: int | None = None, channels: int | None = None) -> Any:
    """Return the GraphDef of ``arch``, variables not frozen; ``size`` and ``channels`` as Recorded.load_graph has them.

    Where the number of cells is not the golden's, each cell is a copy of a cell of the golden that is wired alike.
    Raises PorterError where the golden has none.
    """
    from porter.graph.rewrite.scopes import with_scopes

    graph = recorded(arch.golden).load_graph(size, channels)
    if arch.chain is None:
        _flatten_to(graph, arch)
        return graph
    scopes, chain = arch.chain
    base, layers, lacking = Table.load(arch.table), _layers(Table.of(arch)), set[str]()
    for new, old in chain:
        copied = {new + layer.removeprefix(old) for layer in _layers(base) if layer.startswith(f"{old}/")}
        lacking |= copied - layers
        if unknown := sorted(layer for layer in layers - copied if layer.startswith(f"{new}/")):
            raise PorterError(
                f"{arch.name} has the layer {unknown[0]}, and no layer of the recorded {arch.golden} is like it: "
                "verify it against its own graph"
            )
    return with_scopes(graph, scopes, chain, _outputs(base, scopes), lacking)


def _flatten_to(graph: Any, arch: Arch) -> None:
    """Set the number of features that a Reshape before a fully connected layer states to what the layer reads."""
    from porter.formats.tensorflow.graphdef import node_of

    if arch.golden == arch.name:
        return
    nodes, shapes = {node.name: node for node in graph.node}, expected_shapes(arch, Table.of(arch), ORIGINAL)
    for node in graph.node:
        if node.op != "MatMul":
            continue
        features, weights = (nodes[node_of(tensor)] for tensor in node.input[:2])
        variable = node_of(weights.input[0]) if weights.input else weights.name
        if features.op == "Reshape" and variable in shapes:
            for size in _sizes(nodes, node_of(features.input[1])):
                _replace(size.attr["value"].tensor, recorded(arch.golden).variables[variable][0], shapes[variable][0])


def set_classes(graph: Any, table: Table, old: int, new: int) -> None:
    """Set the sizes that reshapes behind the head's variables state to ``new`` classes instead of ``old``.

    Those behind the boxes of all classes but the background state one less. 0 classes leave ``graph`` as it is.
    """
    from porter.formats.tensorflow.graphdef import node_of

    if new in (0, old):
        return
    readers: dict[str, list[str]] = {}
    nodes = {node.name: node for node in graph.node}
    for node in graph.node:
        for tensor in node.input:
            readers.setdefault(node_of(tensor), []).append(node.name)
    for foreground in (False, True):
        heads = [pair for pair in table.pairs(ORIGINAL, ORIGINAL) if pair.head and pair.foreground == foreground]
        for name in reach((pair.source for pair in heads), lambda name: readers.get(name, [])):
            if nodes[name].op == "Reshape":
                for size in _sizes(nodes, node_of(nodes[name].input[1])):
                    _replace(size.attr["value"].tensor, old - foreground, new - foreground)


def _sizes(nodes: Mapping[str, Any], shape: str) -> list[Any]:
    """Return the constants that the shape of a Reshape is made of."""
    from porter.formats.tensorflow.graphdef import node_of

    parts = [shape] if nodes[shape].op != "Pack" else [node_of(tensor) for tensor in nodes[shape].input]
    return [nodes[part] for part in parts if nodes[part].op == "Const"]


def _replace(tensor: Any, old: int, new: int) -> None:
    """Replace the size ``old`` in a tensor of int32."""
    if tensor.tensor_content:
        sizes = np.frombuffer(tensor.tensor_content, "<i4")
        tensor.tensor_content = np.where(sizes == old, np.int32(new), sizes).astype("<i4").tobytes()
    tensor.int_val[:] = [new if size == old else size for size in tensor.int_val]


def reach(starts: Iterable[str], following: Callable[[str], Iterable[str]]) -> set[str]:
    """Return ``starts`` and every node that follows them."""
    found, waiting = set[str](), list(starts)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(following(name))
    return found


def _layers(table: Table) -> set[str]:
    """Return the original's names of the layers."""
    return {layer.names[ORIGINAL][0] for layer in table.layers if ORIGINAL in layer.names}


def _outputs(table: Table, scopes: Sequence[str]) -> list[str]:
    """Return the op of the endpoint before the first of ``scopes``, then that of the endpoint in each."""
    ops = [endpoint.where[ORIGINAL] for endpoint in table.endpoints if ORIGINAL in endpoint.where]
    first = next(at for at, op in enumerate(ops) if op.startswith(f"{scopes[0]}/"))
    return ops[first - 1 : first + len(scopes)]
