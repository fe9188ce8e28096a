"""Writes .safetensors, which holds facts, digests and seal in its own header."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from porter.errors import PorterError
from porter.export.output import Output
from porter.files.early_flush import open_early
from porter.files.json import to_json
from porter.files.seals import BLANK, SEAL, TENSORS, sealed
from porter.formats.safetensors import BFLOAT16, DTYPES

_CODES = {dtype.name: code for code, dtype in DTYPES.items()}


def write_safetensors(path: Path, output: Output) -> dict[str, str]:
    """Write ``output`` one tensor at a time, and return each tensor's SHA-256, for which the header has room.

    The safetensors package's own writer needs all tensors in memory. Raises PorterError where the format has no such
    dtype. Source of the format: huggingface/safetensors, README.
    """
    sizes = {name: 2 if output.is_bfloat16(name) else output.entry(name).dtype.itemsize for name in output.tensors}
    # The package's own order, which aligns every dtype: the widest first, then by name.
    names = sorted(sizes, key=lambda name: (-sizes[name], name))
    digests = dict.fromkeys(names, BLANK)
    with open_early(path) as file:
        file.write(_header(_fields(output, names, sizes), output.room))
        for _, values in output.in_turn(names, digests):
            file.write(values.data)
    return digests


def _fields(output: Output, names: Sequence[str], sizes: Mapping[str, int]) -> dict[str, object]:
    """Return the header's fields, its digests blank; ``sizes`` are those of one value, in bytes."""
    digests = to_json(dict.fromkeys(names, BLANK))
    fields: dict[str, object] = {"__metadata__": {**output.facts.as_metadata(), TENSORS: digests, SEAL: BLANK}}
    end = 0
    for name in names:
        shape = output.tensors.entries[name].shape
        begin, end = end, end + sizes[name] * math.prod(shape)
        fields[name] = {"dtype": _stored_dtype(output, name), "shape": list(shape), "data_offsets": [begin, end]}
    return fields


def _stored_dtype(output: Output, name: str) -> str:
    if output.is_bfloat16(name):
        return BFLOAT16
    dtype = output.entry(name).dtype.name
    if dtype not in _CODES:
        raise PorterError(f"{name} has dtype {dtype}, which safetensors cannot hold: leave it out with `ignore`")
    return _CODES[dtype]


def _header(fields: Mapping[str, object], room: int) -> bytes:
    """Return the header with its length before it, padded to eight bytes and by ``room`` bytes for later facts."""
    text = _text(fields)
    text += b" " * (room + -(len(text) + room) % 8)
    return len(text).to_bytes(8, "little") + text


def _text(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def add_metadata(path: Path, facts: Mapping[str, str]) -> None:
    """Add ``facts`` to the header of a file that was written with room for them, those first, and seal the header."""
    with path.open("r+b") as file:
        length = file.read(8)
        size = int.from_bytes(length, "little")
        fields = json.loads(file.read(size))
        fields["__metadata__"] = {**facts, **{k: v for k, v in fields["__metadata__"].items() if k not in facts}}
        fields["__metadata__"] |= {SEAL: BLANK}
        text = _text(fields)
        if len(text) > size:
            raise PorterError(f"the header of {path} has no room for {', '.join(facts)}: report this bug in porter")
        file.seek(0)
        file.write(sealed(length + text.ljust(size)))
