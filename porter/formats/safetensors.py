"""Reads safetensors files through the safetensors package."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from porter.errors import FormatError, unreadable
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.dtypes import fits, unread, widen_bfloat16

DTYPES: dict[str, np.dtype] = {
    code: np.dtype(name)
    for code, name in {
        "F16": "float16", "F32": "float32", "F64": "float64", "BOOL": "bool",
        "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
        "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    }.items()
}  # fmt: skip
"""The format's dtypes as numpy dtypes. Source: huggingface/safetensors, README."""
BFLOAT16 = "BF16"
"""The format's dtype that numpy lacks; porter loads it as float32."""


def read_safetensors(path: Path) -> Checkpoint:
    """Read a .safetensors file. Raises FormatError if its header is damaged."""
    file = _opened(path)
    entries = {}
    asides = {}
    for name in file.keys():  # noqa: SIM118 - the handle is not a mapping
        part = file.get_slice(name)
        stored, shape = part.get_dtype(), tuple(part.get_shape())
        halved = stored == BFLOAT16
        if not halved and stored not in DTYPES:
            asides[name] = unread(stored)
            continue
        dtype = np.dtype(np.float32) if halved else DTYPES[stored]
        if not fits(shape, dtype):
            raise unreadable(path, name, FormatError(f"it has the shape {shape}, which no array can have"))
        load = partial(_bfloat16, path, name) if halved else partial(file.get_tensor, name)
        entries[name] = Entry(shape, dtype, load)
    return Checkpoint(path, "safetensors", entries, asides)


def metadata(path: Path) -> dict[str, str]:
    """Return the strings that a .safetensors file states about itself. Raises FormatError if its header is damaged."""
    return _opened(path).metadata() or {}


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise FormatError(f"{path} is not a whole safetensors file ({error}); copy or download it again") from None


def _bfloat16(path: Path, name: str) -> np.ndarray:
    """Return a bfloat16 tensor as float32; the package cannot return it, because numpy lacks the dtype."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))[name]
        begin, end = header["data_offsets"]
        file.seek(8 + size + begin)
        stored = np.frombuffer(file.read(end - begin), "<u2")
    return widen_bfloat16(stored).reshape(header["shape"])
