"""A layer in words: what a person would write beside its box."""

from __future__ import annotations

from porter.graph.analysis.layers import CONVOLUTIONS, Layer, size_text


def describe(layer: Layer) -> str:
    """Return a layer's kernel, stride, channels, norm and activation in one line, without its name."""
    parts = [f"{layer.before} >"] if layer.before else []
    parts += [layer.kind]
    if layer.kernel and (layer.kind in CONVOLUTIONS or "pool" in layer.kind):
        parts.append(size_text(layer.kernel))
    if layer.kind in CONVOLUTIONS and layer.channels is not None:
        parts.append(f"{layer.in_channels}->{layer.channels}" if layer.in_channels else str(layer.channels))
    if any(side != 1 for side in layer.strides):
        parts.append(f"stride {_one(layer.strides)}")
    if layer.dilation:
        parts.append(f"dilation {_one(layer.dilation)}")
    if (
        layer.padding
        and (layer.padding != "SAME" or any(side != 1 for side in layer.strides))
        and layer.kernel != (1, 1)
    ):
        parts.append(layer.padding)
    if layer.detail:
        parts.append(f"({layer.detail})" if layer.kind in CONVOLUTIONS else layer.detail)
    if layer.kind == "concat":
        parts.append(f"of {len(layer.inputs)}")
    text = " ".join(parts)
    if layer.bias:
        text += " + bias"
    if layer.norm and layer.kind != "batch norm":
        text += " + batch norm"
    if layer.activation and layer.kind != "activation":
        text += f" + {layer.activation}"
    elif layer.kind == "activation":
        text = layer.activation
    return text


def _one(sides: tuple[int, ...]) -> str:
    return str(sides[0]) if len(set(sides)) == 1 else size_text(sides)
