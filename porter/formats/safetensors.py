"""safetensors, read through the safetensors package."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from porter.errors import FormatError, unreadable
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.tensorflow.dtypes import BFLOAT16, decode, fits, unread

_DTYPES = {
    "F16": np.float16, "F32": np.float32, "F64": np.float64, "BOOL": np.bool_,
    "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64,
    "U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64,
}  # fmt: skip


def read_safetensors(path: Path) -> Checkpoint:
    """Read a .safetensors file. Raises FormatError where its header is damaged."""
    try:
        file: Any = safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise FormatError(f"{path} is not a whole safetensors file ({error}); copy or download it again") from None
    entries = {}
    asides = {}
    for name in file.keys():  # noqa: SIM118 - the handle is not a mapping
        part = file.get_slice(name)
        stored, shape = part.get_dtype(), tuple(part.get_shape())
        halved = stored == "BF16"
        if not halved and stored not in _DTYPES:
            asides[name] = unread(stored)
            continue
        dtype = np.dtype(np.float32 if halved else _DTYPES[stored])
        if not fits(shape, dtype):
            raise unreadable(path, name, FormatError(f"it has the shape {shape}, which no array can have"))
        load = partial(_bfloat16, path, name) if halved else partial(file.get_tensor, name)
        entries[name] = Entry(shape, dtype, load)
    return Checkpoint(path, "safetensors", entries, asides)


def _bfloat16(path: Path, name: str) -> np.ndarray:
    """Return a bfloat16 tensor as float32: numpy has no such dtype for the package to return."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))[name]
        begin, end = header["data_offsets"]
        file.seek(8 + size + begin)
        stored = np.frombuffer(file.read(end - begin), "<u2")
    return decode(stored, BFLOAT16).reshape(header["shape"])
