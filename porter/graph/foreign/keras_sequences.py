"""Recurrent layers and attention of a Keras config, each as one op with its weights. Source: keras/src/layers/rnn/.

porter.graph.analysis.costs counts their products, as it does for the ops of the same kind in TensorFlow Lite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from porter.graph.foreign.keras_call import Call
from porter.graph.shapes import Shape

GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}
"""The layers with a cell that porter knows, and the gates of the cell."""


def recurrent(call: Call) -> str:
    """Write a recurrent layer."""
    return _written(call, call.kind, call.settings, 1)


def both_ways(call: Call) -> str:
    """Write a Bidirectional layer, which runs a second layer from the last step to the first."""
    inner = call.settings["layer"]
    kind, settings = str(inner["class_name"]).rpartition(">")[2], inner["config"]
    if kind not in GATES:
        return call.opaque()
    merged = call.settings.get("merge_mode", "concat") == "concat"
    return _written(call, kind, settings, 2, 2 if merged else 1)


def _written(call: Call, kind: str, settings: Mapping[str, Any], ways: int, wider: int = 1) -> str:
    units, shape = int(settings["units"]), call.shape
    steps = shape[1:-1] if shape and settings.get("return_sequences") else ()
    result: Shape = None if shape is None else (shape[0], *steps, wider * units)
    weights = call.stored_weights()
    for way in ("forward_layer", "backward_layer")[:ways] if not weights else ():
        cell = replace(call, path=f"{call.path}/{way}") if ways > 1 else call
        for leaf, rows in (("kernel", shape[-1] if shape else None), ("recurrent_kernel", units)):
            weights.append(cell.weight(leaf, (rows, GATES[kind] * units)))
        if settings.get("use_bias", True):
            twice = (2,) if kind == "GRU" and settings.get("reset_after", True) else ()
            weights.append(cell.weight("bias", (*twice, GATES[kind] * units)))
    each = ways * GATES[kind] * units * ((shape[-1] or 0) + units) if shape else 0
    found = call.add(kind, [call.inputs[0], *weights], each=each, ways=ways)
    call.builder.record(result)
    return found


def attention(call: Call) -> str:
    """Write a MultiHeadAttention over its query and its value."""
    heads, size = int(call.settings["num_heads"]), int(call.settings["key_dim"])
    value = int(call.settings.get("value_dim") or size)
    shape, channels = call.shape, call.channels
    ends = call.settings.get("output_shape")
    last = (int(ends),) if isinstance(ends, int) else tuple(int(side) for side in ends or ())
    weights = call.stored_weights()
    if not weights:
        for leaf, each in (("query", size), ("key", size), ("value", value)):
            weights.append(call.weight(f"{leaf}/kernel", (channels, heads, each)))
        weights.append(call.weight("attention_output/kernel", (heads, value, *(last or (channels,)))))
        if call.settings.get("use_bias", True):
            sides = ((heads, size), (heads, size), (heads, value), last or (channels,))
            names = ("query", "key", "value", "attention_output")
            weights += [call.weight(f"{name}/bias", side) for name, side in zip(names, sides, strict=True)]
    read = list(call.inputs[:2]) if len(call.inputs) > 1 else [call.inputs[0]] * 2
    found = call.add(call.kind, [*read, *weights], heads=heads, each=size + value)
    call.builder.record((*shape[:-1], *last) if shape and last else shape)
    return found
