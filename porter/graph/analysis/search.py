"""find_nodes: the nodes whose name or op a pattern matches, with shapes, attributes and neighbours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from porter.errors import PorterError
from porter.graph.analysis.analysis import Analysis
from porter.graph.graph import Node, Ref
from porter.graph.shapes import Shape, proto_shape

_HIDDEN = frozenset({"_class", "_output_shapes", "T", "dtype", "Tidx", "N", "Tpaddings", "Tshape", "use_cudnn_on_gpu"})


@dataclass(frozen=True)
class Found:
    """One node. ``inputs`` and ``outputs`` are its neighbours and the shapes between them."""

    name: str
    op: str
    shape: Shape
    dtype: str
    purpose: str
    attributes: dict[str, str]
    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "name": self.name,
            "op": self.op,
            "shape": self.shape,
            "dtype": self.dtype,
            "purpose": self.purpose,
            "attributes": self.attributes,
            "inputs": [{"tensor": name, "shape": shape} for name, shape in self.inputs],
            "outputs": [{"node": name, "shape": shape} for name, shape in self.outputs],
        }


def find_nodes(analysis: Analysis, pattern: str) -> list[Found]:
    """Return the nodes whose name or op ``pattern``, a regular expression, is found in; raises PorterError."""
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise PorterError(f"--find {pattern!r} is no regular expression: {error}") from None
    nodes = analysis.graph.nodes.values()
    return [found_node(analysis, node) for node in nodes if wanted.search(node.name) or wanted.search(node.op)]


def found_node(analysis: Analysis, node: Node) -> Found:
    """Return what there is to say of one node."""
    graph, shapes = analysis.graph, analysis.shapes
    inputs = [(_tensor(ref), shapes[ref]) for ref in node.inputs]
    inputs += [(f"^{name}", None) for name in node.controls]
    outputs = []
    for name in graph.consumers[node.name]:
        read = next(ref for ref in graph.nodes[name].inputs if ref.node == node.name)
        outputs.append((name, shapes[read]))
    return Found(
        node.name,
        node.op,
        shapes.of(node.name),
        analysis.dtype(node.name),
        analysis.paths.aside.get(node.name, "inference"),
        attributes(node),
        tuple(inputs),
        tuple(outputs),
    )


def _tensor(ref: Ref) -> str:
    return f"{ref.node}:{ref.slot}" if ref.slot else ref.node


def attributes(node: Node, hidden: frozenset[str] = _HIDDEN) -> dict[str, str]:
    """Return a node's attributes as short text, without those that only name dtypes."""
    return {key: attribute_text(node.proto.attr[key]) for key in sorted(node.proto.attr) if key not in hidden}


def attribute_text(value: Any) -> str:
    """Return an AttrValue in a few words: a tensor is its dtype, shape and, if small, its values."""
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return "unset"
        case "s":
            return str(value.s.decode("utf-8", "backslashreplace"))
        case "b":
            return "true" if value.b else "false"
        case "f":
            return f"{value.f:.6g}"
        case "shape":
            return _shape_text(proto_shape(value.shape))
        case "tensor":
            return _tensor_text(value.tensor)
        case "func":
            return str(value.func.name)
        case "list":
            parts = [*value.list.i, *(f"{f:.6g}" for f in value.list.f), *value.list.b]
            parts += [text.decode("utf-8", "backslashreplace") for text in value.list.s[:20]]
            parts += [_shape_text(proto_shape(shape)) for shape in value.list.shape[:20]]
            parts += list(value.list.type[:20])
            return f"[{', '.join(str(part) for part in parts[:20])}{', …' if len(parts) > 20 else ''}]"
    return str(getattr(value, kind))


def _shape_text(shape: Shape) -> str:
    return "unknown" if shape is None else "x".join("?" if size is None else str(size) for size in shape) or "scalar"


def _tensor_text(proto: Any) -> str:
    from pathlib import Path

    from porter.errors import FormatError
    from porter.formats.tensorflow.dtypes import TYPES
    from porter.formats.tensorflow.tensorproto import tensor_values

    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.dtype not in TYPES:
        strings = [text.decode("utf-8", "backslashreplace") for text in proto.string_val[:3]]
        return f"strings {_shape_text(shape)} {', '.join(strings)}".rstrip()
    text = f"{TYPES[proto.dtype].name} {_shape_text(shape)}"
    count = 1
    for size in shape:
        count *= size
    if count > 8:
        return text
    try:
        values = tensor_values(Path(), "", proto)
    except FormatError:
        return f"{text}, damaged"
    numbers = values.reshape(-1).tolist()
    return f"{text}: {', '.join(f'{n:.6g}' if values.dtype.kind == 'f' else str(n) for n in numbers)}"
