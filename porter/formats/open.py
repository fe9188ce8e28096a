"""open_checkpoint(path) -> Checkpoint, for whatever TensorFlow, PyTorch, Keras or numpy saved."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from porter.errors import FormatError
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.identify import Identity, identify
from porter.formats.locate import resolve_path
from porter.formats.signatures import Kind, refusal

__all__ = ["Checkpoint", "Entry", "open_checkpoint"]


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint by its bytes; `resolve_path` lists what ``path`` may name.

    Raises PorterError if nothing is there, FormatError if the file is damaged or of a format that porter does not read.
    """
    return _read(identify(resolve_path(Path(path)).path))


def _read(found: Identity) -> Checkpoint:
    kind, first = cast(Kind, found.kind), found.files[0]
    if not kind.reader:
        raise FormatError(refusal(first, kind))
    module, _, name = kind.reader.partition(":")
    read = getattr(importlib.import_module(f"porter.formats.{module}"), name)
    return cast(Checkpoint, read(found.path, found.files) if kind.sharded else read(first))
