"""Fault: one mistake and how to plant it, in the code, in the weights or in the built network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

Tensors = dict[str, np.ndarray]
Network = Any


@dataclass(frozen=True)
class Fault:
    """One mistake in ``framework``.

    ``diverges`` is the endpoint of the changed layer. ``cause`` is a word of the cause that the diagnosis should guess,
    empty without an expectation. ``weights`` changes the ported tensors, ``network`` the built network, and ``module``
    attributes of porter's modules while the network is built and run.
    """

    name: str
    framework: str
    diverges: str
    cause: str
    weights: Callable[[Tensors], None] | None = None
    network: Callable[[Network], Any] | None = None
    module: Mapping[str, Any] | None = None


@contextmanager
def planted(fault: Fault) -> Iterator[None]:
    """Change the attributes that ``fault.module`` names as "module:Class.attribute", and restore them at the end."""
    from importlib import import_module

    changed = []
    for place, value in (fault.module or {}).items():
        module, _, path = place.partition(":")
        owner: Any = import_module(module)
        *outer, attribute = path.split(".")
        for name in outer:
            owner = getattr(owner, name)
        changed.append((owner, attribute, getattr(owner, attribute)))
        setattr(owner, attribute, value)
    try:
        yield
    finally:
        for owner, attribute, value in changed:
            setattr(owner, attribute, value)


# ---- weights, in any framework


def swap(one: str, other: str) -> Callable[[Tensors], None]:
    """Swap two tensors."""

    def plant(tensors: Tensors) -> None:
        tensors[one], tensors[other] = tensors[other], tensors[one]

    return plant


def change(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Tensors], None]:
    """Replace a tensor by ``change(tensor)``."""

    def plant(tensors: Tensors) -> None:
        tensors[name] = np.ascontiguousarray(change(tensors[name]))

    return plant


def both(*plants: Callable[[Tensors], None]) -> Callable[[Tensors], None]:
    """Plant several changes of the weights as one fault."""

    def plant(tensors: Tensors) -> None:
        for one in plants:
            one(tensors)

    return plant


def swap_scopes(one: str, other: str) -> Callable[[Tensors], None]:
    """Swap all tensors of two scopes with the same tensors."""

    def plant(tensors: Tensors) -> None:
        for name in [name for name in tensors if name.startswith(one)]:
            twin = other + name.removeprefix(one)
            tensors[name], tensors[twin] = tensors[twin], tensors[name]

    return plant


# ---- PyTorch


def torch_epsilon(name: str, epsilon: float) -> Callable[[Network], None]:
    """Set the epsilon of one batch norm."""

    def plant(network: Network) -> None:
        network.get_submodule(name).eps = epsilon

    return plant


def torch_forward(name: str, forward: Callable[..., Any]) -> Callable[[Network], None]:
    """Replace a layer's forward by ``forward(layer, original, x)``."""

    def plant(network: Network) -> None:
        layer = network.get_submodule(name)
        original = layer.forward
        layer.forward = lambda x: forward(layer, original, x)

    return plant


def without(name: str) -> Callable[[Network], None]:
    """Leave out a layer."""

    def plant(network: Network) -> None:
        from torch import nn

        network.set_submodule(name, nn.Identity())

    return plant


def rewire(cell: str, change: Callable[[Any], Any]) -> Callable[[Network], None]:
    """Change the wiring of one cell."""

    def plant(network: Network) -> None:
        module = network.get_submodule(cell)
        module.wiring = change(module.wiring)

    return plant


def unshifted(path: str) -> Callable[[Network], None]:
    """Leave out the shift of a factorized reduction's second path."""

    def plant(network: Network) -> None:
        network.get_submodule(path).pixels.offset = 0

    return plant


def padded(before: int, after: int, mode: str = "constant") -> Callable[..., Any]:
    """Return a convolution's forward that pads by ``before`` and ``after`` in both directions."""

    def forward(layer: Any, _original: Any, x: Any) -> Any:
        import torch.nn.functional as F

        x = F.pad(x, (before, after, before, after), mode=mode)
        return F.conv2d(x, layer.weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)

    return forward


# ---- Keras


def keras_config(layer: str, **changes: Any) -> Callable[[Network], Any]:
    """Rebuild a model with ``changes`` in the configuration of one layer, or of all layers that end in ``*ending``."""

    def plant(network: Network) -> Any:
        import keras

        config = network.get_config()
        for entry in config["layers"]:
            if entry["config"]["name"] == layer or (
                layer.startswith("*") and entry["config"]["name"].endswith(layer[1:])
            ):
                entry["config"].update(changes)
        changed = keras.Model.from_config(config)
        changed.set_weights(network.get_weights())
        return changed

    return plant
