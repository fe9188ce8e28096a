"""The registry of formats that porter writes: by dialect and suffix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from porter.errors import PorterError
from porter.export.checkpoint import checkpoint_files, write_checkpoint
from porter.export.frozen import write_frozen
from porter.export.keras import write_legacy, write_model, write_weights
from porter.export.output import Output
from porter.export.pth import write_pth
from porter.export.safetensors import add_metadata, write_safetensors
from porter.export.tensornets import write_npz
from porter.mapping.dialects import Dialect


@dataclass(frozen=True)
class Format:
    """One format of files.

    ``write`` writes an output to a path and returns each tensor's SHA-256, see porter.files.seals. ``add_facts`` adds
    facts to a file that is already written. It is None where the format has no place for facts and digests: then a
    record holds them. ``builds`` marks a format that holds the framework's own network besides the weights: it takes
    the framework's own names alone. ``files`` returns the files that ``write`` makes for a path, the one that readers
    begin with last; ``write`` takes that one's path.
    """

    write: Callable[[Path, Output], dict[str, str]]
    add_facts: Callable[[Path, Mapping[str, str]], None] | None = None
    builds: bool = False
    files: Callable[[Path], Sequence[Path]] = lambda path: (path,)


SAFETENSORS = Format(write_safetensors, add_metadata)

FORMATS: dict[str, dict[str, Format]] = {
    "tf": {
        ".ckpt": Format(write_checkpoint, files=checkpoint_files),
        ".pb": Format(write_frozen, builds=True),
        ".safetensors": SAFETENSORS,
    },
    "torch": {".safetensors": SAFETENSORS, ".pth": Format(write_pth)},
    "keras": {
        ".keras": Format(write_model, builds=True),
        ".weights.h5": Format(write_weights, builds=True),
        ".h5": Format(write_legacy, builds=True),
        ".safetensors": SAFETENSORS,
    },
    "tensornets": {".npz": Format(write_npz)},
}
"""The formats by suffix: those of each framework, and those that one of its dialects alone has.

The first of each is the usual one. A longer suffix stands before the shorter one that it ends in.
"""


def usual_suffix(dialect: Dialect) -> str:
    """Return the suffix of the format in which people keep weights of ``dialect``."""
    return next(iter(formats_of(dialect)))


def formats_of(dialect: Dialect) -> dict[str, Format]:
    """Return the formats of ``dialect``: its own, and those of its framework that take its names."""
    of_framework = FORMATS[dialect.framework]
    if dialect.name == dialect.framework:
        return of_framework
    return {
        **FORMATS.get(dialect.name, {}),
        **{suffix: each for suffix, each in of_framework.items() if not each.builds},
    }


def find_format(path: Path, dialect: Dialect) -> Format:
    """Return the format that the suffix of ``path`` names. Raises PorterError if ``dialect`` has no such format."""
    formats = formats_of(dialect)
    found = _of_suffix(path, formats)
    if found:
        return found
    *most, last = formats
    suffixes = f"{', '.join(most)} or {last}" if most else last
    if _of_suffix(path, FORMATS[dialect.framework]):
        raise PorterError(
            f"`out` {path} holds porter's own {dialect.framework} network, which has no names of {dialect.name}: "
            f"end it in {suffixes}"
        )
    raise PorterError(f"`out` {path} has no suffix that porter writes for {dialect.name}: end it in {suffixes}")


def _of_suffix(path: Path, formats: Mapping[str, Format]) -> Format | None:
    return next((each for suffix, each in formats.items() if path.name.endswith(suffix) and path.name != suffix), None)
