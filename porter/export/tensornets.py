"""Writes tensornets' .npz, which has no place for facts."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

from porter.catalog.goldens import recorded
from porter.errors import PorterError
from porter.export.output import Output
from porter.formats.numpy.npz_writer import write_listed
from porter.mapping.dialects import ORIGINAL
from porter.mapping.table import Table


def write_npz(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` in the order in which tensornets makes its variables; return each tensor's SHA-256.

    Raises PorterError for bfloat16, which numpy lacks.
    """
    if output.dtype == "bfloat16":
        raise PorterError("a .npz file cannot hold bfloat16: take `save_dtype=\"float16\"`, or leave it out")
    digests: dict[str, str] = {}
    names = _in_order(output)

    def arrays() -> Iterator[np.ndarray]:
        for name in output.track(names, "writing"):
            values = output.stored(name)
            digests[name] = sha256(values.data).hexdigest()
            yield values

    output.require_room(path.parent)
    write_listed(path, [f"{name}:0" for name in names], arrays())
    return digests


def _in_order(output: Output) -> list[str]:
    """Return the tensors' names in the order of the original's graph, which tensornets' networks share."""
    table = Table.load(output.arch.table)
    made = {name: at for at, name in enumerate(recorded(output.arch.golden).all_variables)}
    place: dict[str, tuple[int, int]] = {}
    for layer in table.layers:
        original = layer.tensors(table.record(ORIGINAL)).values()
        first = min((made[each.name] for each in original if each.name in made), default=len(made))
        for at, each in enumerate(layer.tensors(table.record(output.dialect)).values()):
            place[each.name] = first, at
    return sorted(output.tensors, key=lambda name: place[name])
