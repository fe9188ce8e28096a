"""activated: an activation of a Keras config as nodes of TensorFlow's ops, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from porter.graph.foreign.keras_call import Call

_ACTIVATIONS = {
    "relu": "Relu", "relu6": "Relu6", "elu": "Elu", "selu": "Selu", "sigmoid": "Sigmoid", "tanh": "Tanh",
    "softplus": "Softplus", "softsign": "Softsign", "softmax": "Softmax", "exponential": "Exp",
    "leaky_relu": "LeakyRelu", "log_softmax": "LogSoftmax",
}  # fmt: skip
_SWISH, _HARD_SWISH = ("swish", "silu"), ("hard_swish", "hard_silu")
NAMES = frozenset({
    *_ACTIVATIONS, *_SWISH, *_HARD_SWISH, "hard_sigmoid", "gelu", "mish", "celu", "glu", "hard_tanh", "hard_shrink",
    "log_sigmoid", "soft_shrink", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh_shrink",
    "threshold",
})  # fmt: skip
"""Keras' activations besides linear, which computes nothing (keras/src/activations/)."""


def activation_of(call: Call) -> str:
    """Return the name of a layer's activation, '' for none."""
    return activation_in(call.settings)


def activation_in(settings: Mapping[str, Any]) -> str:
    """Return the name of the activation in a layer's settings, '' for none.

    A setting of another form than text is a class and its settings.
    """
    given = settings.get("activation")
    if isinstance(given, Mapping):
        inner = given.get("config")
        named = inner.get("name") if isinstance(inner, Mapping) else inner
        given = named if isinstance(named, str) else given.get("class_name")
    name = str(given or "").rpartition(">")[2]
    return "" if name == "linear" else name


def activated(call: Call, tensor: str, name: str) -> str:
    """Add an activation by its name in Keras; one that porter has no op for becomes an op of that name."""
    if name.lower() in _SWISH:
        return call.add("Mul", [tensor, call.add("Sigmoid", [tensor], last=False)])
    if name.lower() in _HARD_SWISH:
        return call.add("Mul", [tensor, _hard_gate(call, tensor, last=False)])
    if name.lower() == "hard_sigmoid":
        return _hard_gate(call, tensor, last=True)
    op = _ACTIVATIONS.get(name.lower())
    if op:
        return call.add(op, [tensor])
    return call.add_alike(name, [tensor], call.builder.shape(tensor))


def _hard_gate(call: Call, tensor: str, last: bool) -> str:
    """relu6(x + 3) / 6, Keras' hard sigmoid."""
    gate = call.add("AddV2", [tensor, call.constant("three", 3.0)], last=False)
    gate = call.add("Relu6", [gate], last=False)
    return call.add("Mul", [gate, call.constant("sixth", 1 / 6)], last=last)
