"""Keras' model configs: the names and settings of layers, which porter reads as data and never builds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from porter.errors import FormatError

# The order in which each layer's save_own_variables numbers its weights (keras/src/layers/).
_LEAVES = {
    "conv2d": ("kernel", "bias"),
    "depthwise_conv2d": ("kernel", "bias"),
    "separable_conv2d": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "conv2d_transpose": ("kernel", "bias"),
    "conv1d": ("kernel", "bias"),
    "conv3d": ("kernel", "bias"),
    "dense": ("kernel", "bias"),
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "seed_generator": ("seed_generator_state",),
}
_AUTOMATIC = re.compile(rf"({'|'.join(_LEAVES)})(_\d+)?")
"""Names that Keras gives to layers without one."""
_NORM = "batch_normalization"
_SWITCHES = {"gamma": "scale", "beta": "center"}
"""The settings of a batch norm that leave a weight out."""


class Layer(NamedTuple):
    """A layer of a config: its class as file groups spell it, its name, its settings, and the layers in it."""

    kind: str
    name: str | None
    settings: Mapping[str, Any]
    layers: tuple[Layer, ...]

    def by_group(self) -> dict[str, Layer]:
        """Return the layers in this one by the groups of a file: a group's name is the class and its number."""
        groups: dict[str, Layer] = {}
        seen: dict[str, int] = {}
        for layer in self.layers:
            number = seen[layer.kind] = seen.get(layer.kind, -1) + 1
            groups[f"{layer.kind}_{number}" if number else layer.kind] = layer
        return groups

    def names(self) -> Iterator[str]:
        """Yield the names of the layers at any depth."""
        for layer in self.layers:
            if layer.name:
                yield layer.name
            yield from layer.names()

    def weighted(self) -> Iterator[str]:
        """Yield the names of the layers at any depth that must have weights."""
        for layer in self.layers:
            if layer.name and any(layer.kind == kind for kind in _LEAVES):
                yield layer.name
            yield from layer.weighted()


def check_config(config: Any, path: Path) -> None:
    """Raise FormatError if a model has a Lambda layer: its Python code is lost in a port of the weights."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict) and part.get("class_name") in ("Lambda", "__lambda__"):
            settings = part.get("config")
            name = settings.get("name", "one") if isinstance(settings, dict) else "one"
            raise FormatError(
                f"{path}: its layer {name} is a Lambda, Python code that porter does not run: "
                "save the weights alone, model.save_weights('name.weights.h5')"
            )
        if isinstance(part, (dict, list)):
            waiting.extend(part.values() if isinstance(part, dict) else part)


def read_layer(config: Any) -> Layer:
    """Return the layer or model that ``config`` describes; raises LookupError or TypeError for anything else."""
    settings = config["config"]
    layers = settings.get("layers", ()) if isinstance(settings, dict) else settings  # Keras 1 lists a Sequential's
    inner = [*layers, settings["layer"]] if isinstance(settings, dict) and _wraps(settings) else layers
    name = settings.get("name", config.get("name")) if isinstance(settings, dict) else None
    found = tuple(read_layer(layer) for layer in inner)
    return Layer(snake_case(config["class_name"]), name, settings if isinstance(settings, dict) else {}, found)


def _wraps(settings: Mapping[str, Any]) -> bool:
    return isinstance(settings.get("layer"), dict) and "class_name" in settings["layer"]


def snake_case(name: str) -> str:
    """Name a class as Keras does (keras/src/utils/naming.py): BatchNormalization is batch_normalization."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def kind_of_name(name: str | None) -> str | None:
    """Return the class of a layer whose name Keras chose, None for any other name."""
    found = _AUTOMATIC.fullmatch(name or "")
    return found[1] if found else None


def is_known(kind: str | None) -> bool:
    """Tell whether porter knows the order of the weights of a layer of this class."""
    return kind in _LEAVES


def leaves_of(kind: str | None, ranks: tuple[int, ...], settings: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names of a layer's tensors in their stored order, None if that is unknown.

    ``ranks`` are the tensors' numbers of axes, ``settings`` those of the layer as far as the file has them. Without a
    ``kind`` that porter knows, the ranks tell the layer, but not the order of a stranger's four vectors.
    """
    if kind is None or not is_known(kind):
        form = _kind_by_form(ranks)
        kind = None if kind and form == _NORM else form
    leaves = _LEAVES.get(kind or "", ())
    if kind == _NORM:
        off = [leaf for leaf, switch in _SWITCHES.items() if settings.get(switch) is False]
        leaves = tuple(leaf for leaf in leaves if leaf not in off)
        if not settings and len(ranks) == len(leaves) - len(_SWITCHES):
            leaves = leaves[len(_SWITCHES) :]  # neither scaled nor centred
    # Only the bias, which is last, may be missing: without gamma, all other weights of a batch norm would shift.
    if leaves and len(ranks) == len(leaves) - 1 and leaves[-1] == "bias":
        leaves = leaves[:-1]
    return leaves if leaves and len(ranks) == len(leaves) else None


def _kind_by_form(ranks: tuple[int, ...]) -> str | None:
    """Return the kind of a layer of unstated class; two or three vectors may belong to several."""
    match ranks:
        case (4,) | (4, 1):
            return "conv2d"
        case (2,) | (2, 1):
            return "dense"
        case (4, 4) | (4, 4, 1):
            return "separable_conv2d"
        case (1, 1, 1, 1):
            return _NORM
        case _:
            return None
