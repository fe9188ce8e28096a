"""read_tflite(path) -> Checkpoint: the weights of a TensorFlow Lite model, as floats in TensorFlow's layout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from porter.errors import FormatError, plural
from porter.formats.checkpoint import Checkpoint, Convolution, Entry
from porter.formats.dtypes import unread
from porter.formats.tensorflow.dtypes import dtype_name
from porter.formats.tflite.converted import read_converted
from porter.formats.tflite.model import Layout, Model, Subgraph, Tensor, kernels, layouts, origins
from porter.formats.tflite.schema import BITS
from porter.formats.tflite.values import check_size, is_scaled, is_weight, load, stored_dtype

FORMAT = "TensorFlow Lite model"
_CONVOLUTION = re.compile(r"(^|/)(Conv2D|convolution|depthwise|separable_conv2d)(_\d+)?$")
"""How the names of TensorFlow's convolutions end."""


def read_tflite(path: Path) -> Checkpoint:
    """Read the weights of a .tflite file; other constants become asides. Raises FormatError.

    Kernels have TensorFlow's layout: HWIO, HWOI of a transposed convolution, IO of a dense layer.
    """
    model = read_converted(path)
    entries: dict[str, Entry] = {}
    asides: dict[str, str] = {}
    stored_as: dict[str, str] = {}
    for graph in model.subgraphs:
        for number, layout in layouts(graph).items():
            tensor = graph.tensors[number]
            if is_weight(tensor):
                entries[tensor.name] = _entry(model, tensor, layout)
                if tensor.name != tensor.stored_name:
                    stored_as[tensor.name] = tensor.stored_name
            else:
                asides[tensor.name] = _role(tensor)
    if not entries:
        raise FormatError(f"{path} has no weights: name the model that it was made from")
    return Checkpoint(
        path,
        FORMAT,
        entries,
        asides,
        stored_as=stored_as,
        notes=notes_on(model),
        convolutions=tuple(_convolutions(model.subgraphs[0])),
    )


def notes_on(model: Model) -> tuple[str, ...]:
    """Return how the file stores its weights, a sentence for each way that is not float32."""
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors if tensor.constant]
    weights = [tensor for tensor in tensors if is_weight(tensor)]
    scaled, sparse = sum(map(is_scaled, weights)), sum(tensor.sparse is not None for tensor in weights)
    packed = sum(tensor.dtype in BITS for tensor in weights)
    blockwise = sum(tensor.blockwise for tensor in tensors)
    ways = (
        (scaled, "weight", "stored as integers with scales, and taken as floats"),
        (packed, "weight", "packed to less than a byte for each value, and counted in bytes"),
        (sparse, "weight", "stored without zeros, and taken with them"),
        (blockwise, "tensor", "quantized in blocks, which porter does not read"),
    )
    return tuple(f"{plural(count, what)} {'is' if count == 1 else 'are'} {how}" for count, what, how in ways if count)


def _role(tensor: Tensor) -> str:
    if tensor.blockwise:
        return "a tensor quantized in blocks"
    if tensor.made:
        return tensor.made
    return "graph constant" if stored_dtype(tensor) is not None else unread(dtype_name(tensor.dtype))


def _entry(model: Model, tensor: Tensor, layout: Layout) -> Entry:
    try:
        check_size(tensor)
    except FormatError as error:
        raise FormatError(f"{model.path}: {tensor.name} {error}; copy or download it again") from None
    kind = stored_dtype(tensor)
    assert kind is not None
    shape = tuple(size or 0 for size in layout.shape)
    dtype = np.dtype(np.float32) if is_scaled(tensor) else kind
    return Entry(shape, dtype, partial(_loaded, model, tensor, layout))


def _loaded(model: Model, tensor: Tensor, layout: Layout) -> np.ndarray:
    return layout.applied(load(model.path, model.data, tensor))


def _convolutions(graph: Subgraph) -> Iterator[Convolution]:
    """Yield the convolutions by which constants without the original's names are found.

    TensorFlow's converter lists the ops that it fused: the convolution last, in the names of its kernel and its output.
    """
    constants = origins(graph)
    for kernel, kind, operator in kernels(graph):
        if kind in ("conv", "depthwise") and operator.outputs:
            bias = constants.get(operator.inputs[2]) if len(operator.inputs) > 2 else None
            fused = graph.tensors[kernel].stored_name.rpartition(";")[2]
            op = fused if _CONVOLUTION.search(fused) else graph.tensors[operator.outputs[0]].name
            yield Convolution(op, graph.tensors[kernel].name, None if bias is None else graph.tensors[bias].name)
