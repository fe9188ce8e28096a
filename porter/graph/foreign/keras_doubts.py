"""doubts: what a Keras config states that Keras itself does not write, such as a setting under a damaged name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from porter.errors import first_of
from porter.graph.foreign.keras_activations import NAMES, activation_in

_CHOICES = {
    "padding": {"valid", "same", "causal", "full"},
    "data_format": {"channels_first", "channels_last", "default"},
    "interpolation": {
        "nearest", "bilinear", "bicubic", "area", "lanczos3", "lanczos5", "gaussian", "mitchellcubic",
    },
    "merge_mode": {"concat", "sum", "mul", "ave"},
}  # fmt: skip
"""The values of settings that are one of a few words (keras/src/layers/)."""
_FEWEST = 3
"""Layers of one class from which on they tell which settings the class has."""

Settings = tuple[str, str, Mapping[str, Any]]
"""A layer's name, class and settings."""


def doubts(layers: Iterable[Settings]) -> Iterator[str]:
    """Yield a sentence for each kind of doubt about the layers of one config, whose classes porter knows."""
    layers = list(layers)
    odd = dict.fromkeys(name for _, _, settings in layers if (name := activation_in(settings)) and name not in NAMES)
    if odd:
        yield f"porter does not know what {first_of('activation', tuple(odd))} computes."
    words = [
        f"{key} of {name} is {value}"
        for name, _, settings in layers
        for key, allowed in _CHOICES.items()
        if isinstance(value := settings.get(key), str) and value.lower() not in allowed
    ]
    if words:
        yield f"Keras has no such setting: {_first(words)}."
    renamed = list(_renamed(layers))
    if renamed:
        yield f"The config may be damaged: {_first(renamed)}."


def _renamed(layers: Iterable[Settings]) -> Iterator[str]:
    """Yield the settings that one layer has under another name than all others of its class: Keras writes all alike."""
    classes: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for name, kind, settings in layers:
        classes.setdefault(kind, []).append((name, settings))
    for kind, alike in classes.items():
        if len(alike) < _FEWEST:
            continue
        counts = Counter(key for _, settings in alike for key in settings)
        for name, settings in alike:
            lacking = [key for key in counts if counts[key] == len(alike) - 1 and key not in settings]
            own = [key for key in settings if counts[key] == 1]
            if lacking and own:
                yield f"{name} has the setting {own[0]}, and each other {kind} has {lacking[0]}"


def _first(parts: list[str]) -> str:
    return parts[0] + (f", and {len(parts) - 1} more" if len(parts) > 1 else "")
