"""read_converted(path) -> Model: a .tflite file's model, with the constants marked that its converter made.

A converter writes more constants than its source has weights. Three kinds are recognised, each by what it is used for:
the first states of loops, pieces of a vector that the file has in whole, and further copies of one weight.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from porter.formats.tflite.model import Model, Subgraph, Tensor, kernels, origins, read_model
from porter.formats.tflite.values import is_weight, load

_BODY = 1
"""The option of WHILE that numbers the subgraph of its steps."""
_FEWEST = 3
"""Different values of a piece: fewer may stand in two vectors by chance."""
_WORK = 1 << 28
"""Bytes that the search for pieces compares in one file."""
_STEP = 64
"""What a look at a vector costs, in bytes that are compared."""


def read_converted(path: Path) -> Model:
    """Read a model's structure, and the values that tell what its constants are. Raises FormatError."""
    model = read_model(path)
    differ = _Differ(model)
    for tensor in _first_states(model):
        if not differ.within(tensor):  # a learned first state is a weight
            tensor.made = "first state of a loop"
    for tensor in _pieces(model):
        tensor.made = "piece of another constant"
    _mark_shared(model, differ)
    return model


def _first_states(model: Model) -> Iterator[Tensor]:
    """Yield the constants that a loop starts with and then changes, such as the zeros of a recurrent layer."""
    for graph in model.subgraphs:
        constants = origins(graph)
        for operator in graph.operators:
            number = operator.integer(_BODY) if operator.op == "WHILE" else -1
            if not 0 <= number < len(model.subgraphs):
                continue
            body = model.subgraphs[number]
            for at, before, after in zip(operator.inputs, body.inputs, body.outputs, strict=False):
                if at in constants and before != after and is_weight(graph.tensors[constants[at]]):
                    yield graph.tensors[constants[at]]


def _pieces(model: Model) -> Iterator[Tensor]:
    """Yield the constants that are part of a vector, in each row the same: a converter has cut a bias in advance."""
    weights = [tensor for graph in model.subgraphs for tensor in graph.tensors if tensor.constant and is_weight(tensor)]
    plain = [tensor for tensor in weights if not len(tensor.scales) and tensor.sparse is None]
    vectors = {tensor.start: tensor for tensor in plain if len(tensor.shape) == 1}
    used = {id(tensor) for graph in model.subgraphs for tensor in _kernels(graph)}
    left = _WORK  # beyond it a stranger's file keeps its pieces as weights
    for tensor in plain:
        if len(tensor.shape) < 2 or id(tensor) in used or not vectors:
            continue
        longer = [vector for vector in vectors.values() if _longer(vector, tensor)]
        left -= _STEP * len(vectors) + tensor.size + sum(vector.size for vector in longer)
        if left < 0:
            return
        rows = load(model.path, model.data, tensor).reshape(-1, tensor.shape[-1] or 1) if longer else np.zeros((0, 1))
        if len(rows) and (rows == rows[0]).all() and len(np.unique(rows[0])) >= _FEWEST:
            raw = bytes(model.data[tensor.start : tensor.start + tensor.size // len(rows)])
            if any(_holds(model, vector, raw, rows.dtype.itemsize) for vector in longer):
                yield tensor


def _kernels(graph: Subgraph) -> Iterator[Tensor]:
    return (graph.tensors[number] for number, _, _ in kernels(graph))


def _longer(vector: Tensor, tensor: Tensor) -> bool:
    return vector.dtype == tensor.dtype and (vector.shape[0] or 0) > (tensor.shape[-1] or 0)


def _holds(model: Model, vector: Tensor, raw: bytes, width: int) -> bool:
    """Tell whether a vector's bytes have ``raw`` in them, at the beginning of a value of ``width`` bytes."""
    whole = bytes(model.data[vector.start : vector.start + vector.size])
    at = whole.find(raw)
    while at > 0 and at % width:
        at = whole.find(raw, at + 1)
    return at >= 0


class _Differ:
    """Tells whether a constant has different values; it reads each buffer once."""

    def __init__(self, model: Model) -> None:
        self.data = model.data
        self.known: dict[tuple[int, int, int], bool] = {}

    def within(self, tensor: Tensor) -> bool:
        count = math.prod(size or 0 for size in tensor.shape)
        width = max(1, tensor.size // max(1, count))
        key = (tensor.start, tensor.size, width)
        if key not in self.known:
            raw = np.frombuffer(self.data, np.uint8, tensor.size, tensor.start)
            rows = raw[: len(raw) // width * width].reshape(-1, width)
            self.known[key] = bool((rows != rows[:1]).any())
        return self.known[key]


def _mark_shared(model: Model, differ: _Differ) -> None:
    """Mark the tensors of one buffer as one weight, but not those of one number: converters merge equal buffers."""
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors if tensor.constant and is_weight(tensor)]
    counts = Counter(tensor.start for tensor in tensors)
    for tensor in tensors:
        tensor.shared = counts[tensor.start] > 1 and differ.within(tensor)
