"""Writes .keras, .h5 and .weights.h5 through Keras itself; these formats have no place for facts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from porter.export.output import Output
from porter.mapping.table import Table
from porter.nets.build import build


def write_model(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as a whole model, .keras or .h5 by the suffix, and return each tensor's SHA-256."""
    model, digests = _build(path, output)
    model.save(path)
    return digests


def write_weights(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as weights alone, .weights.h5, and return each tensor's SHA-256."""
    model, digests = _build(path, output)
    model.save_weights(path)
    return digests


def _build(path: Path, output: Output) -> tuple[Any, dict[str, str]]:
    """Return the network filled with the tensors, and each tensor's SHA-256, from the same pass.

    The network has the tensors' dtype and those optional parts that they have.
    """
    digests: dict[str, str] = {}

    def load(name: str) -> np.ndarray:
        values = output.stored(name)
        digests[name] = sha256(values.data).hexdigest()
        return output.tensors[name] if output.dtype else values  # Keras rounds itself

    entries = {name: entry._replace(load=partial(load, name)) for name, entry in output.tensors.entries.items()}
    options: dict[str, Any] = dict.fromkeys(Table.of(output.arch).parts_in("keras", output.tensors), True)
    if output.dtype:
        options["dtype"] = output.dtype
    output.require_room(path.parent)
    model = build(output.arch, "keras", replace(output.tensors, entries=entries), **options)
    for name in entries.keys() - digests.keys():
        load(name)
    return model, {name: digests[name] for name in entries}
