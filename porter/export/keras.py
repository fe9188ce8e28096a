"""Writes .keras, .h5 and .weights.h5 through Keras itself; these formats have no place for facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import PorterError
from porter.export.output import Output
from porter.mapping.table import Table
from porter.nets.build import build, build_unfilled


def write_model(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as a whole model, .keras, and return each tensor's SHA-256."""
    return _streamed(path, output, lambda model: model.save(path))


def write_weights(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as weights alone, .weights.h5, and return each tensor's SHA-256."""
    return _streamed(path, output, lambda model: model.save_weights(path))


def _streamed(path: Path, output: Output, save: Callable[[Any], None]) -> dict[str, str]:
    """Let Keras save a network that has no values, with those of ``output``, and return each tensor's SHA-256.

    To create the variables and to fill them takes a third of the time of a port of NASNet-A Large.
    """
    digests: dict[str, str] = {}

    def write() -> None:
        model, names = build_unfilled(output.arch, "keras", output.tensors, **_options(output))
        turn = output.in_turn([*names, *(output.tensors.entries.keys() - names.keys())], digests)
        for layer in model.layers:
            if layer.weights:
                layer.save_own_variables = partial(_store, layer, names, output, turn)
        save(model)
        for _ in turn:  # tensors that the network does not have
            pass

    output.require_room(path.parent)
    # Keras numbers layers without names by thread: so each file has the numbers of a first network.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(write).result()
    return {name: digests[name] for name in output.tensors}


def _store(
    layer: Any, names: dict[str, Any], output: Output, turn: Iterator[tuple[str, np.ndarray]], store: Any
) -> None:
    """Put the values of a layer's weights into ``store``, by their numbers, as Keras' own layers do."""
    import keras

    for number, weight in enumerate(layer.weights):
        name, values = next(turn)
        if names[name] is not weight:
            raise PorterError(f"Keras saves {weight.path} where porter has {name}: report this bug in porter")
        if output.dtype:
            values = keras.ops.cast(output.tensors[name], output.dtype)
        store[str(number)] = values


def write_legacy(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as a whole model, .h5, and return each tensor's SHA-256. Keras takes it from filled variables.

    The network has the tensors' dtype and those optional parts that they have.
    """
    digests: dict[str, str] = {}

    def load(name: str) -> np.ndarray:
        values = output.stored(name)
        digests[name] = sha256(values.data).hexdigest()
        return output.tensors[name] if output.dtype else values  # Keras rounds itself

    entries = {name: entry._replace(load=partial(load, name)) for name, entry in output.tensors.entries.items()}
    output.require_room(path.parent)
    model = build(output.arch, "keras", replace(output.tensors, entries=entries), **_options(output))
    for name in entries.keys() - digests.keys():
        load(name)
    model.save(path)
    return {name: digests[name] for name in entries}


def _options(output: Output) -> dict[str, Any]:
    """Return the options of the network: the tensors' dtype, and those optional parts that they have."""
    options: dict[str, Any] = dict.fromkeys(Table.of(output.arch).parts_in("keras", output.tensors), True)
    return options | ({"dtype": output.dtype} if output.dtype else {})
