"""prepend_all: folds a layer into its only reader: an activation or pad in front, a depthwise before a 1x1."""

from __future__ import annotations

import re
from collections.abc import Iterable

from porter.graph.analysis.layers import CONVOLUTIONS, ROW, Layer

_SPACE = re.compile(r"\d+\+\d+(, \d+\+\d+)*")
"""The detail of a pad of height and width alone."""


def prepend_all(layers: list[Layer], outputs: Iterable[str]) -> list[Layer]:
    """Return the layers that remain; layers that compute one of the nodes ``outputs`` are never folded."""
    readers: dict[int, list[Layer]] = {}
    for layer in layers:
        for source in layer.inputs:
            if isinstance(source, Layer):
                readers.setdefault(id(source), []).append(layer)
    ends = set(outputs)
    gone: set[int] = set()
    for layer in reversed(layers):  # a pad stands in front of SpaceToBatchND, and that in front of its convolution
        following = readers.get(id(layer), [])
        if len(following) == 1 and not ends & set(layer.nodes) and _prepend(layer, following[0]):
            _take_over(layer, following[0], readers)
            gone.add(id(layer))
    return [layer for layer in layers if id(layer) not in gone]


def _take_over(layer: Layer, into: Layer, readers: dict[int, list[Layer]]) -> None:
    """Move a folded layer's nodes and inputs to its reader."""
    into.nodes = layer.nodes + into.nodes
    into.inputs = [part for source in into.inputs for part in (layer.inputs if source is layer else [source])]
    for source in layer.inputs:
        if isinstance(source, Layer):
            readers[id(source)] = [into if other is layer else other for other in readers[id(source)]]


def _prepend(layer: Layer, into: Layer) -> bool:
    """Describe ``layer`` in ``into`` if it belongs there; tell whether it does."""
    if layer.kind == "activation" and into.kind in CONVOLUTIONS and not into.before and into.inputs == [layer]:
        into.before = layer.activation
        return True
    if layer.kind == "pad" and into.padding == "VALID" and _SPACE.fullmatch(layer.detail):
        into.padding = f"explicit {layer.detail}"
        return True
    if layer.kind == ROW and len(into.kernel) == 1:
        return True
    if layer.kind == "SpaceToBatchND" and into.kind in CONVOLUTIONS and layer.dilation:
        into.dilation, into.padding = layer.dilation, _atrous_padding(layer, into)
        return True
    return _separable(layer, into)


def _atrous_padding(layer: Layer, into: Layer) -> str:
    """Return the padding of the convolution that SpaceToBatchND begins, by its sizes or, with open ones, by its pads.

    It is '' where neither is known.
    """
    source = layer.inputs[0] if layer.inputs else None
    if not isinstance(source, Layer):
        return "SAME"
    read, computed = (shape[1:-1] if shape else (None,) for shape in (source.shape, into.shape))
    if None in read or None in computed:
        return layer.padding
    return "SAME" if read == computed else "VALID"


def _separable(layer: Layer, into: Layer) -> bool:
    plain = not (layer.norm or layer.bias or layer.activation)
    pointwise = into.kind == "conv" and set(into.kernel) == {1} and set(into.strides) <= {1} and not into.before
    if layer.kind != "depthwise" or not plain or not pointwise:
        return False
    into.kind, into.kernel, into.strides = "separable", layer.kernel, layer.strides
    into.padding, into.dilation, into.in_channels = layer.padding, layer.dilation, layer.in_channels
    into.before = layer.before
    return True
