"""read_model(path) -> Model: TensorFlow.js' model.json, or a weights_manifest.json alone.

Source: tfjs-core/src/io/types.ts and tfjs-converter/python/tensorflowjs/read_weights.py in tensorflow/tfjs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from porter.errors import FormatError
from porter.formats.dtypes import fits
from porter.formats.zip import whole

WHAT = "TensorFlow.js model"
_DTYPES = {
    "float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "u1", "uint16": "<u2", "int8": "i1", "int16": "<i2",
    "bool": "?", "complex64": "<c8",
}  # fmt: skip
_LARGEST = 1 << 29
"""Bytes of the largest model.json: V8, in which TensorFlow.js runs, has no longer texts."""


@dataclass(frozen=True)
class Weight:
    """One tensor: where its bytes are in the shards of its group, and how they are quantized.

    ``stored`` is None for strings. ``quantized`` marks integers that stand for ``values * scale + low``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    stored: np.dtype | None
    start: int
    size: int
    quantized: bool
    scale: float
    low: float


@dataclass(frozen=True)
class Group:
    """A list of tensors, and the shards that hold their bytes one behind the other."""

    shards: tuple[Path, ...]
    weights: tuple[Weight, ...]


@dataclass(frozen=True)
class Model:
    """What a model.json holds. ``topology`` is a GraphDef or a Keras model as JSON, None for a manifest alone."""

    path: Path
    topology: Any
    groups: tuple[Group, ...]
    signature: Any
    writer: str

    @property
    def is_graph(self) -> bool:
        return isinstance(self.topology, dict) and "node" in self.topology

    @property
    def weights(self) -> Iterator[tuple[Group, Weight]]:
        for group in self.groups:
            for weight in group.weights:
                yield group, weight


def read_model(path: Path) -> Model:
    """Read a model.json, and no weights. Raises FormatError if it or a shard is damaged, or if it names other files."""
    if path.stat().st_size > _LARGEST:
        raise FormatError(f"{path} is above {_LARGEST:,} bytes, which no TensorFlow.js model is: name another file")
    with whole(path, WHAT):
        content = json.loads(path.read_bytes())
    try:
        return _model(path, content)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        raise FormatError(f"{path} does not have TensorFlow.js' layout; copy or download it again") from None


def _model(path: Path, content: Any) -> Model:
    facts = content if isinstance(content, dict) else {}
    manifest = content if isinstance(content, list) else facts.get("weightsManifest") or []
    user = facts.get("userDefinedMetadata")
    signature = facts.get("signature") or (user.get("signature") if isinstance(user, dict) else None)
    by = [facts.get("generatedBy"), facts.get("convertedBy")]
    if isinstance(by[0], str) and re.fullmatch(r"[0-9]+(\.[0-9]+)+", by[0]):  # of a graph, TensorFlow's version alone
        by[0] = f"TensorFlow {by[0]}"
    writer = ", converted by ".join(text for text in by if isinstance(text, str) and text)
    groups = tuple(_group(path, group) for group in manifest)
    return Model(path, facts.get("modelTopology"), groups, signature, writer)


def _group(path: Path, group: Any) -> Group:
    shards = tuple(_shard(path, name) for name in group["paths"])
    total = sum(shard.stat().st_size for shard in shards)
    found: list[Weight] = []
    at = 0
    for listed in group["weights"]:
        weight = _weight(path, listed, at, shards)
        at += weight.size
        found.append(weight)
    if at != total:
        names = ", ".join(shard.name for shard in shards[:3])
        raise FormatError(
            f"{path} lists tensors of {at:,} bytes, but {names} {'has' if len(shards) == 1 else 'have'} {total:,}; "
            "copy or download them again"
        )
    return Group(shards, tuple(found))


def _shard(path: Path, name: Any) -> Path:
    """Return a file of weights, which must lie beside model.json or below."""
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or "\\" in name or ":" in name or "\0" in name or not inside.parts:
        raise FormatError(
            f"{path} names weights in {name!r}, outside its folder: do not trust it, get it from its author"
        )
    shard = path.parent / inside
    if not shard.is_file():
        raise FormatError(f"{shard} does not exist: it holds weights of {path.name}, copy it beside it")
    return shard


def _weight(path: Path, listed: Any, at: int, shards: Sequence[Path]) -> Weight:
    name, dtype = listed["name"], listed["dtype"]
    shape = tuple(int(size) for size in listed["shape"])
    quantization = listed.get("quantization") or {}
    if not isinstance(name, str) or not fits(shape, np.dtype(np.float32)):
        raise FormatError(f"{path}: {name} has the shape {shape}, which no array can have; copy or download it again")
    if dtype == "string":
        return Weight(name, shape, dtype, None, at, _strings(path, name, shape, at, shards), False, 1.0, 0.0)
    kind = quantization.get("dtype", dtype)
    if dtype not in _DTYPES or kind not in _DTYPES:
        raise FormatError(
            f"{path}: {name} has the dtype {kind}, which porter does not read: save the model with float32 weights"
        )
    stored = np.dtype(_DTYPES[kind])
    affine = bool(quantization) and stored.kind in "iu"
    scale, low = (float(quantization[key]) for key in ("scale", "min")) if affine else (1.0, 0.0)
    return Weight(name, shape, dtype, stored, at, math.prod(shape) * stored.itemsize, affine, scale, low)


def _strings(path: Path, name: str, shape: tuple[int, ...], at: int, shards: Sequence[Path]) -> int:
    """Return the bytes that a tensor of strings takes: a length of four bytes before each."""
    total = sum(shard.stat().st_size for shard in shards)
    size = 4 if math.prod(shape) == 0 else 0
    for _ in range(math.prod(shape)):
        if at + size + 4 > total:
            raise FormatError(f"{path}: {name} ends beyond its shards; copy or download them again")
        size += 4 + int.from_bytes(stored_bytes(shards, at + size, 4), "little")
    return size


def stored_bytes(shards: Sequence[Path], start: int, size: int) -> bytes:
    """Return ``size`` bytes of consecutive files from ``start`` on."""
    parts = []
    for shard in shards:
        length = shard.stat().st_size
        if start < length and size:
            with shard.open("rb") as file:
                file.seek(start)
                parts.append(file.read(min(size, length - start)))
            size -= len(parts[-1])
        start = max(0, start - length)
    return b"".join(parts)


def values_of(path: Path, group: Group, weight: Weight) -> np.ndarray:
    """Return a tensor's values, with its quantization undone. Raises FormatError."""
    assert weight.stored is not None
    raw = stored_bytes(group.shards, weight.start, weight.size)
    if len(raw) != weight.size:
        raise FormatError(f"{path}: {weight.name} ends beyond its shards; copy or download them again")
    values = np.frombuffer(raw, weight.stored).reshape(weight.shape)
    wanted = np.dtype(_DTYPES[weight.dtype])
    if weight.quantized:
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = values * weight.scale + weight.low
            values = np.round(scaled) if wanted.kind in "iu" else scaled
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(wanted)


def dtype_of(weight: Weight) -> np.dtype:
    """Return the dtype of a tensor's values. Raises KeyError for strings."""
    return np.dtype(_DTYPES[weight.dtype])
