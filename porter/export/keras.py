"""Writes .keras, .h5 and .weights.h5 through Keras itself; these formats have no place for facts."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from porter.export.output import Output
from porter.mapping.table import Table
from porter.nets.build import build


def write_model(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as a whole model, .keras or .h5 by the suffix, and return each tensor's SHA-256."""
    _build(path, output).save(path)
    return _digests(output)


def write_weights(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` as weights alone, .weights.h5, and return each tensor's SHA-256."""
    _build(path, output).save_weights(path)
    return _digests(output)


def _build(path: Path, output: Output) -> Any:
    """Return the network filled with the tensors, in their dtype and with those optional parts that they have."""
    options: dict[str, Any] = dict.fromkeys(Table.of(output.arch).parts_in("keras", output.tensors), True)
    if output.dtype:
        options["dtype"] = output.dtype
    output.require_room(path.parent)
    return build(output.arch, "keras", output.tensors, **options)


def _digests(output: Output) -> dict[str, str]:
    return {name: sha256(output.stored(name).data).hexdigest() for name in output.tensors}
