"""Writes tensornets' .npz, which has no place for facts."""

from __future__ import annotations

from pathlib import Path

from porter.errors import PorterError
from porter.export.output import Output
from porter.formats.numpy.npz_writer import write_listed


def write_npz(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` and return each tensor's SHA-256. The tensors come in the order of tensornets' own variables.

    Raises PorterError for bfloat16, which numpy lacks.
    """
    if output.dtype == "bfloat16":
        raise PorterError('a .npz file cannot hold bfloat16: take `save_dtype="float16"`, or leave it out')
    digests: dict[str, str] = {}
    names = list(output.tensors)

    arrays = (values for _, values in output.in_turn(names, digests))
    output.require_room(path.parent)
    write_listed(path, [f"{name}:0" for name in names], arrays)
    return digests
