"""describe: a layer in one line of words."""

from __future__ import annotations

from collections.abc import Iterator

from porter.graph.analysis.layers import CONVOLUTIONS, Layer
from porter.graph.shapes import size_text


def describe(layer: Layer) -> str:
    """Return a layer's kernel, channels, stride, batch norm and activation in one line, without its name."""
    if layer.kind == "activation":
        return _activation(layer)
    before = f"{layer.before} >" if layer.before else ""
    after = [
        "bias" if layer.bias else "",
        layer.norm if layer.norm != layer.kind else "",
        _activation(layer),
    ]
    words = " ".join(word for word in (before, layer.kind, *_window(layer), _detail(layer)) if word)
    return " + ".join([words, *(word for word in after if word)])


def _activation(layer: Layer) -> str:
    """Return the activation with its slope, if it has one."""
    slope = layer.numbers.get("slope")
    return f"{layer.activation} {slope:.4g}" if layer.activation and slope is not None else layer.activation


def _window(layer: Layer) -> Iterator[str]:
    """Yield the kernel's size, the channels, the stride, the dilation and the padding, as far as they matter."""
    convolves, strided = layer.kind in CONVOLUTIONS, any(side != 1 for side in layer.strides)
    if layer.kernel and (convolves or "pool" in layer.kind):
        yield size_text(layer.kernel)
    if convolves and layer.channels is not None:
        yield f"{layer.in_channels}->{layer.channels}" if layer.in_channels else str(layer.channels)
    if strided:
        yield f"stride {_square(layer.strides)}"
    if layer.dilation:
        yield f"dilation {_square(layer.dilation)}"
    if (layer.padding != "SAME" or strided) and layer.kernel != (1, 1):
        yield layer.padding


def _detail(layer: Layer) -> str:
    if layer.kind == "concat":
        return f"of {len(layer.inputs)}"
    return f"({layer.detail})" if layer.detail and layer.kind in CONVOLUTIONS else layer.detail


def _square(sides: tuple[int, ...]) -> str:
    return str(sides[0]) if len(set(sides)) == 1 else size_text(sides)
