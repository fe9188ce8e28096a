"""Reads safetensors files: the safetensors package checks them, and porter reads one tensor after the other.

The package maps the file into memory, and what was read stays there: a port of 2 GB would take as much.
"""

from __future__ import annotations

import json
import math
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
    names = _opened(path).keys()
    start, header = _header(path)
    entries = {}
    asides = {}
    for name in names:
        stored, shape = header[name]["dtype"], tuple(header[name]["shape"])
        halved = stored == BFLOAT16
        if not halved and stored not in DTYPES:
            asides[name] = unread(stored)
            continue
        dtype = np.dtype(np.float32) if halved else DTYPES[stored]
        if not fits(shape, dtype):
            raise unreadable(path, name, FormatError(f"it has the shape {shape}, which no array can have"))
        offset = start + header[name]["data_offsets"][0]
        entries[name] = Entry(shape, dtype, partial(_load, path, name, offset, shape, dtype, halved))
    return Checkpoint(path, "safetensors", entries, asides)


def metadata(path: Path) -> dict[str, str]:
    """Return the strings that a .safetensors file states about itself. Raises FormatError if its header is damaged."""
    return _opened(path).metadata() or {}


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="numpy")
    except SafetensorError as error:
        raise FormatError(f"{path} is not a whole safetensors file ({error}); copy or download it again") from None


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Return where the tensors' bytes begin, and the header of a file that the package has checked."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(size))
    return 8 + size, header


def _load(path: Path, name: str, offset: int, shape: tuple[int, ...], dtype: np.dtype, halved: bool) -> np.ndarray:
    """Return one tensor; bfloat16, which numpy lacks, as float32."""
    stored = np.dtype("<u2") if halved else dtype.newbyteorder("<")
    count = math.prod(shape)
    values = np.fromfile(path, stored, count, offset=offset)
    if values.size < count:
        raise unreadable(path, name, FormatError("the file ends before it"))
    values = widen_bfloat16(values) if halved else values.astype(dtype, copy=False)
    return values.reshape(shape)
