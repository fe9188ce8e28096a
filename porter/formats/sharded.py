"""Reads the weights that transformers and others save in several files, by the index that lists each tensor's file.

Source: transformers/modeling_utils.py, which writes ``{"metadata": …, "weight_map": {tensor: file}}`` to
``model.safetensors.index.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from porter.errors import FormatError, PorterError, listing, plural, summary
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.open import open_checkpoint

SUFFIX = ".index.json"


def read_sharded(index: Path) -> Checkpoint:
    """Read an index and the headers of the files that it names. Raises FormatError if they do not fit each other."""
    places = _places(index)
    entries: dict[str, Entry] = {}
    asides: dict[str, str] = {}
    notes: list[str] = []
    kind = ""
    for name in sorted(set(places.values())):
        shard = _opened(index, name)
        listed = {tensor for tensor, place in places.items() if place == name}
        if unlike := sorted(listed ^ (shard.entries.keys() | shard.asides.keys())):
            raise FormatError(
                f"{shard.path} does not hold the tensors that {index.name} lists for it: copy or download all files "
                f"of one model{listing(summary(unlike))}"
            )
        entries |= shard.entries
        asides |= shard.asides
        notes += shard.notes
        kind = shard.format
    shards = tuple(index.with_name(name) for name in sorted(set(places.values())))
    return Checkpoint(
        index, f"{kind} in {plural(len(shards), 'file')}", entries, asides, (index, *shards), notes=tuple(notes)
    )


def _places(index: Path) -> dict[str, str]:
    """Return the file of each tensor."""
    try:
        fields: Any = json.loads(index.read_bytes())
        places = fields["weight_map"]
        if places and isinstance(places, dict) and all(isinstance(name, str) for name in places.values()):
            return places
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise FormatError(f"{index} is not a whole index of weights in several files: copy or download it again")


def _opened(index: Path, name: str) -> Checkpoint:
    """Open the file ``name`` that the index lists. Raises FormatError, which names both files."""
    path = _beside(index, name)
    try:
        return open_checkpoint(path)
    except PorterError as error:
        raise FormatError(f"{index} lists {name}, which cannot be read: {error}") from None


def _beside(index: Path, name: str) -> Path:
    """Return the file ``name`` beside the index; a name cannot lead anywhere else."""
    path = index.with_name(name) if name and name not in (".", "..") and not {"/", "\\", "\0"} & set(name) else None
    if path is None or name.endswith(SUFFIX):  # indexes of indexes may have no end
        raise FormatError(f"{index} lists the file {name!r}, which is not one beside it: do not trust it")
    if not path.is_file():
        raise FormatError(f"{path} is missing: {index.name} lists tensors in it; copy all files of the model beside it")
    return path
