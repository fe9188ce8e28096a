"""Frozen graphs: a GraphDef whose variables were turned into constants of the same names."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import FormatError
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.tensorflow.dtypes import TYPES, TFType, decode, fits
from porter.formats.tensorflow.source import load_graph

FORMAT = "TensorFlow frozen graph"


# What a variable's read is called: of the old kind of variables, and of resource variables.
_READ = re.compile(r"read|ReadVariableOp(_\d+)?")


def read_frozen(path: Path) -> Checkpoint:
    """Read a frozen graph's variables; the other constants are asides. Raises FormatError.

    A variable's constant is read through an Identity named ``…/read`` or ``…/ReadVariableOp``. Tools
    that optimize a graph drop those, so a constant of floats with axes counts as a variable as well.
    """
    graph = load_graph(path)
    read_by = {node.input[0].split(":")[0] for node in graph.node if node.input and is_read(node.op, node.name)}
    entries: dict[str, Entry] = {}
    asides: dict[str, str] = {}
    for node in graph.node:
        if node.op != "Const":
            continue
        proto = node.attr["value"].tensor
        shape = tuple(dim.size for dim in proto.tensor_shape.dim)
        if not is_variable(proto, node.name in read_by):
            asides[node.name] = "graph constant"
            continue
        entries[node.name] = Entry(shape, TYPES[proto.dtype].loaded, partial(tensor_values, path, node.name, proto))
    if not entries:
        raise FormatError(
            f"{path} is a graph without weights, not a frozen one: give --checkpoint the checkpoint that belongs to it"
        )
    return Checkpoint(path, FORMAT, entries, asides)


def is_read(op: str, name: str) -> bool:
    """Tell whether a node with an input reads a variable: an Identity named ``…/read`` or ``…/ReadVariableOp``."""
    return op == "Identity" and _READ.fullmatch(name.rsplit("/", 1)[-1]) is not None


def is_variable(proto: Any, read: bool) -> bool:
    """Tell whether a constant's TensorProto was a variable: one that is ``read``, or any floats with axes."""
    kind = TYPES.get(proto.dtype)
    return kind is not None and (read or (kind.loaded.kind == "f" and len(proto.tensor_shape.dim) > 0))


_VALUES = {
    1: "float_val", 2: "double_val", 3: "int_val", 4: "int_val", 5: "int_val", 6: "int_val", 8: "scomplex_val",
    9: "int64_val", 10: "bool_val", 11: "int_val", 12: "int_val", 13: "int_val", 14: "half_val", 15: "int_val",
    16: "int_val", 17: "int_val", 18: "dcomplex_val", 19: "half_val", 22: "uint32_val", 23: "uint64_val",
}  # fmt: skip
"""Which field of a TensorProto holds a dtype's values one by one (tensorflow/core/framework/tensor.proto)."""
_LARGEST_FILL = 1 << 28


def tensor_values(path: Path, name: str, proto: Any) -> np.ndarray:
    """Return a TensorProto's values: its raw bytes, or a list whose last value fills what it leaves out.

    A single value that fills the shape takes no more memory than itself. Raises FormatError.
    """
    kind = TYPES[proto.dtype]
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if not fits(shape, kind.loaded):
        raise FormatError(f"{path}: {name} has the shape {shape}, which no array can have; copy or download it again")
    count = math.prod(shape)
    try:
        raw = np.frombuffer(proto.tensor_content, kind.stored) if proto.tensor_content else _listed(proto, kind)
    except ValueError:
        raise FormatError(f"{path}: {name} has half a value at its end; copy or download it again") from None
    values = decode(raw, proto.dtype)
    missing = count - len(values)
    if missing > 0 and not proto.tensor_content:
        if len(values) <= 1:
            return np.broadcast_to(values.reshape(()) if len(values) else np.zeros((), kind.loaded), shape)
        if missing > _LARGEST_FILL:
            raise FormatError(f"{path}: {name} leaves out {missing} of its values; copy or download it again")
        values = np.concatenate([values, np.broadcast_to(values[-1:], missing)])
    if len(values) != count:
        raise FormatError(f"{path}: {name} has {len(values)} values for the shape {shape}; copy or download it again")
    return values.reshape(shape)


def _listed(proto: Any, kind: TFType) -> np.ndarray:
    """Return the values that a TensorProto lists one by one. Raises ValueError where half a complex is missing."""
    listed = getattr(proto, _VALUES[proto.dtype])
    if kind.stored.kind == "c":  # real and imaginary parts alternate
        return np.array(listed, kind.stored.type(0).real.dtype).view(kind.stored)
    if _VALUES[proto.dtype] == "half_val":
        return np.array(listed, np.int32).astype(np.uint16).view(kind.stored)
    if _VALUES[proto.dtype] == "int_val":  # as TensorFlow does, keep the low bits of what is too large
        return np.array(listed, np.int32).astype(kind.stored)
    return np.array(listed, kind.stored)
