"""A node's attributes as short text."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from porter.errors import FormatError
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.tensorproto import tensor_values
from porter.graph.graph import Node
from porter.graph.shapes import proto_shape, shape_text

_HIDDEN = frozenset({"_class", "_output_shapes", "T", "dtype", "Tidx", "N", "Tpaddings", "Tshape", "use_cudnn_on_gpu"})
_MOST_ENTRIES = 20
_MOST_VALUES = 8


def attributes(node: Node, hidden: frozenset[str] = _HIDDEN) -> dict[str, str]:
    """Return a node's attributes as text, without those that only repeat dtypes."""
    return {key: attribute_text(node.proto.attr[key]) for key in sorted(node.proto.attr) if key not in hidden}


def attribute_text(value: Any) -> str:
    """Return an AttrValue in a few words: of a tensor its dtype, its shape and up to eight values."""
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return "unset"
        case "s":
            return _text(value.s)
        case "b":
            return "true" if value.b else "false"
        case "f":
            return f"{value.f:.6g}"
        case "shape":
            return shape_text(proto_shape(value.shape))
        case "tensor":
            return _tensor_text(value.tensor)
        case "func":
            return str(value.func.name)
        case "list":
            return _list_text(value.list)
    return str(getattr(value, kind))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _list_text(values: Any) -> str:
    parts = [*values.i, *(f"{number:.6g}" for number in values.f), *values.b]
    parts += [_text(text) for text in values.s[:_MOST_ENTRIES]]
    parts += [shape_text(proto_shape(shape)) for shape in values.shape[:_MOST_ENTRIES]]
    parts += list(values.type[:_MOST_ENTRIES])
    more = ", …" if len(parts) > _MOST_ENTRIES else ""
    return f"[{', '.join(str(part) for part in parts[:_MOST_ENTRIES])}{more}]"


def _tensor_text(proto: Any) -> str:
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.dtype not in TYPES:
        return f"strings {shape_text(shape)} {', '.join(_text(text) for text in proto.string_val[:3])}".rstrip()
    text = f"{TYPES[proto.dtype].name} {shape_text(shape)}"
    if math.prod(shape) > _MOST_VALUES:
        return text
    try:
        values = tensor_values(Path(), "", proto)
    except FormatError:
        return f"{text}, damaged"
    numbers = values.reshape(-1).tolist()
    return f"{text}: {', '.join(f'{n:.6g}' if values.dtype.kind == 'f' else str(n) for n in numbers)}"
