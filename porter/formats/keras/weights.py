"""Reads Keras' files by the names in them: .keras, .weights.h5 and legacy .h5, with containers at any depth.

Variables are called ``layer/leaf`` behind the names of their containers; a legacy file has their whole paths.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from porter.errors import FormatError
from porter.formats.checkpoint import Checkpoint
from porter.formats.keras.config import Layer, check_config, read_layer
from porter.formats.keras.contents import Contents
from porter.formats.keras.hdf5 import H5
from porter.formats.keras.legacy import is_legacy, read_legacy
from porter.formats.keras.numbered import read_numbered
from porter.formats.zip import open_archive, said, whole

_LARGEST_RATIO = 64
"""Keras stores members uncompressed, and trained weights hardly compress; deflate's own bound is 1032."""


def read_keras(path: Path) -> Checkpoint:
    """Read a ``.keras`` archive: its config names the layers, its HDF5 file holds the weights. Raises FormatError."""
    with open_archive(path, ".keras file", _LARGEST_RATIO) as archive, whole(path, ".keras file"):
        config = json.loads(archive.read("config.json"))
        facts = json.loads(archive.read("metadata.json")) if "metadata.json" in archive.namelist() else None
        weights = archive.read("model.weights.h5")
    check_config(config, path)
    with _well_formed(path):
        model = read_layer(config)
        version = facts.get("keras_version") if isinstance(facts, dict) else None
        return _checkpoint(read_numbered(H5(path, weights), model), "Keras archive", model, _dated(config, version))


def read_h5(path: Path) -> Checkpoint:
    """Read a ``.weights.h5`` file, or a legacy ``.h5`` of a model or its weights. Raises FormatError."""
    with _well_formed(path):
        file = H5(path)
        if not is_legacy(file):
            return _checkpoint(read_numbered(file, None), "Keras weights", None, None)
        text = file.text(file.root, "model_config")
        config = None if text is None else json.loads(text)
        check_config(config, path)
        model = read_layer(config) if config else None
        config = _dated(config, file.text(file.root, "keras_version"))
        return _checkpoint(read_legacy(file), "Keras legacy HDF5", model, config)


def _dated(config: Any, version: Any) -> Any:
    """Return a model's config with the version of the Keras that wrote the file, where TensorFlow.js has it too."""
    return {"keras_version": version, **config} if isinstance(config, dict) and isinstance(version, str) else config


def _checkpoint(contents: Contents, kind: str, model: Layer | None, config: Any) -> Checkpoint:
    """Return a file's contents, compared with the layers of its config if it lists any."""
    listed = None
    if model is not None and model.layers:
        contents.layers = set(model.names())
        listed = {layer.name for layer in model.layers if layer.name}, tuple(model.weighted())
    return replace(contents.checkpoint(kind, listed), config=config)


_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError, MemoryError, struct.error)


@contextmanager
def _well_formed(path: Path) -> Iterator[None]:
    """Turn the errors that a file of another structure causes into one sentence."""
    try:
        yield
    except _MALFORMED as error:
        raise FormatError(f"{path} does not have Keras' layout ({said(error)}); copy or download it again") from None
