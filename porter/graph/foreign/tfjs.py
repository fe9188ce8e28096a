"""read_tfjs_graph(path) -> Source: the network of a TensorFlow.js model.

A graph-model is a GraphDef whose constants lie in shards: its weights become variables without values, and its other
constants get theirs. A layers-model is a Keras model.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import FormatError
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.dtypes import TYPES
from porter.formats.tensorflow.graph_source import Signature, Source
from porter.formats.tensorflow.graphdef import has_nodes
from porter.formats.tfjs.model import Model, dtype_of, read_model, values_of
from porter.formats.tfjs.weights import FORMAT, notes_on, topology_graph
from porter.graph.foreign.builder import Sides, Value
from porter.graph.foreign.keras import keras_source


def read_tfjs_graph(path: Path) -> Source:
    """Read the network in a model.json. Raises FormatError."""
    model = read_model(path)
    if not model.is_graph:
        return keras_source(open_checkpoint(path), model.writer)
    graph = topology_graph(model)
    if not has_nodes(graph):
        raise FormatError(f"{path} holds no whole graph; copy or download it again")
    _take_weights(model, graph)
    notes = tuple(f"{note}." for note in notes_on(model))
    return Source(
        path, f"{FORMAT} (graph)", graph, signatures=tuple(_signature(model)), notes=notes, writer=model.writer
    )


def _take_weights(model: Model, graph: Any) -> None:
    """Turn the constants that are weights into variables, and give the others their values."""
    stored = {weight.name: (group, weight) for group, weight in model.weights}
    for node in [*graph.node, *(node for function in graph.library.function for node in function.node_def)]:
        if node.op != "Const" or node.name not in stored:
            continue
        group, weight = stored[node.name]
        if weight.stored is None:
            continue
        if weight.shape and dtype_of(weight).kind == "f":
            node.op = "VariableV2"
            node.attr["value"].Clear()
            Sides(weight.shape).write(node.attr["shape"].shape)
        else:
            value = _constant(values_of(model.path, group, weight), node.attr["dtype"].type)
            node.attr["value"].tensor.Clear()
            value.write(node.attr["value"].tensor)
            node.attr["dtype"].type = value.dtype


def _constant(values: np.ndarray, stated: int) -> Value:
    """Return a constant in the dtype that the graph states, which its readers expect: TensorFlow.js has no int64."""
    whole = stated in TYPES and values.dtype.kind in "iu" and TYPES[stated].stored.kind in "iu"
    return Value(values, stated) if whole else Value(values)


def _signature(model: Model) -> Iterator[Signature]:
    """Yield the signature that model.json states: tensors by name, ``{"name": "x:0", "dtype": ...}`` each."""
    sides = [model.signature.get(side) if isinstance(model.signature, dict) else None for side in ("inputs", "outputs")]
    inputs, outputs = (_named(side) for side in sides)
    if outputs:
        yield Signature("serving_default", inputs, outputs)


def _named(side: Any) -> dict[str, str]:
    parts = side.items() if isinstance(side, dict) else ()
    return {
        str(key): info["name"] for key, info in parts if isinstance(info, dict) and isinstance(info.get("name"), str)
    }
