"""Cuts a Keras network to its feature maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from porter.mapping.stored_names import layer_name


def cut(
    model: keras.Model, places: Sequence[str], chosen: Sequence[int], size: int, stem: Mapping[str, str]
) -> tuple[keras.Model, list[int]]:
    """Return ``model`` with the outputs of the layers ``places`` that are ``chosen``, and the channels of all.

    ``size`` and ``stem`` are unused: Keras knows every shape.
    """
    maps = [model.get_layer(layer_name(place)).output for place in places]
    features = keras.Model(model.inputs[0], [maps[at] for at in chosen], name=f"{model.name}_features")
    return features, [int(each.shape[-1]) for each in maps]
