"""Reads frozen graphs: a GraphDef with its variables turned into constants of the same names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path

from porter.errors import FormatError, plural
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.tensorflow.convolutions import find_convolutions
from porter.formats.tensorflow.dequantize import dequantized_entry, is_dequantized
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.graphdef import node_of
from porter.formats.tensorflow.source import load_graph
from porter.formats.tensorflow.tensorproto import tensor_values

FORMAT = "TensorFlow frozen graph"

# The names of the nodes that read variables: reference variables, and resource variables.
_READ = re.compile(r"read|ReadVariableOp(_\d+)?")


def is_read(op: str, name: str) -> bool:
    """Tell whether a node is an Identity called ``…/read`` or ``…/ReadVariableOp``, which read variables."""
    return op == "Identity" and bool(_READ.fullmatch(name.rsplit("/", 1)[-1]))


def was_variable(name: str, dtype: int, shape: Collection[int], read: Collection[str]) -> bool:
    """Tell whether the constant ``name`` of a frozen graph was a variable.

    ``dtype`` is TensorFlow's number, and ``read`` has the names of the nodes that an `is_read` node reads. Tools that
    optimize graphs drop those nodes, so any constant of floats with axes counts as a variable too.
    """
    kind = TYPES.get(dtype)
    return kind is not None and (name in read or (bool(shape) and kind.loaded.kind == "f"))


def pipeline_data(reads: Iterable[tuple[str, str]]) -> set[str]:
    """Return the nodes that datasets alone read: images, not weights. ``reads`` are pairs (op, node that it reads)."""
    data: set[str] = set()
    others: set[str] = set()
    for op, name in reads:
        (data if "Dataset" in op else others).add(name)
    return data - others


def read_frozen(path: Path) -> Checkpoint:
    """Read a frozen graph's variables; its other constants become asides. Raises FormatError.

    A Dequantize of constants is the variable that a tool has stored as integers, which are asides.
    """
    graph = load_graph(path)
    nodes = {node.name: node for node in graph.node}
    read = {node_of(node.input[0]) for node in graph.node if node.input and is_read(node.op, node.name)}
    packed = [node for node in graph.node if is_dequantized(node, nodes)]
    parts = {node_of(tensor) for node in packed for tensor in node.input[:3]}
    entries: dict[str, Entry] = {}
    data = pipeline_data((node.op, node_of(tensor)) for node in graph.node for tensor in node.input)
    asides: dict[str, str] = {}
    for node in graph.node:
        if is_dequantized(node, nodes):
            entries[node.name] = dequantized_entry(path, node, nodes)
        if node.op != "Const":
            continue
        proto = node.attr["value"].tensor
        shape = tuple(dim.size for dim in proto.tensor_shape.dim)
        if node.name in parts:
            asides[node.name] = "quantized constant"
        elif node.name in data:
            asides[node.name] = "constant of the input pipeline"
        elif was_variable(node.name, proto.dtype, shape, read):
            load = partial(tensor_values, path, node.name, proto)
            entries[node.name] = Entry(shape, TYPES[proto.dtype].loaded, load)
        else:
            asides[node.name] = "graph constant"
    if not entries:
        raise FormatError(
            f"{path} is a graph without weights, not a frozen one: give the checkpoint that belongs to it as "
            "`checkpoint`"
        )
    notes = (_on_quantized(len(packed)),) if packed else ()
    return Checkpoint(path, FORMAT, entries, asides, notes=notes, convolutions=find_convolutions(graph))


def _on_quantized(count: int) -> str:
    are, them = ("is", "it") if count == 1 else ("are", "them")
    return (
        f"{plural(count, 'weight')} {are} stored as integers behind Dequantize, and taken as the floats that "
        f"TensorFlow computes from {them}"
    )
