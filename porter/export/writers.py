"""The registry of formats that porter writes: by framework and suffix."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from porter.errors import PorterError
from porter.export.keras import write_model, write_weights
from porter.export.output import Output
from porter.export.pth import write_pth
from porter.export.safetensors import add_metadata, write_safetensors


@dataclass(frozen=True)
class Format:
    """One format of files.

    ``write`` writes an output to a path and returns each tensor's SHA-256, see porter.files.seals. ``add_facts`` adds
    facts to a file that is already written. It is None where the format has no place for facts and digests: then a
    record holds them. ``builds`` marks a format whose writer builds porter's own network: it takes the framework's own
    names alone.
    """

    write: Callable[[Path, Output], dict[str, str]]
    add_facts: Callable[[Path, Mapping[str, str]], None] | None = None
    builds: bool = False


SAFETENSORS = Format(write_safetensors, add_metadata)

FORMATS: dict[str, dict[str, Format]] = {
    "tf": {".safetensors": SAFETENSORS},
    "torch": {".safetensors": SAFETENSORS, ".pth": Format(write_pth)},
    "keras": {
        ".weights.h5": Format(write_weights, builds=True),
        ".keras": Format(write_model, builds=True),
        ".h5": Format(write_model, builds=True),
        ".safetensors": SAFETENSORS,
    },
}
"""The formats of each framework by suffix; a longer suffix stands before the shorter one that it ends in."""


def find_format(path: Path, framework: str) -> Format:
    """Return the format that the suffix of ``path`` names. Raises PorterError if ``framework`` has no such format."""
    formats = FORMATS[framework]
    for suffix, found in formats.items():
        if path.name.endswith(suffix) and path.name != suffix:
            return found
    *most, last = formats
    suffixes = f"{', '.join(most)} or {last}" if most else last
    raise PorterError(f"`out` {path} has no suffix that porter writes for {framework}: end it in {suffixes}")
