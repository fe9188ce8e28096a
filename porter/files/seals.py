"""Digests by which porter's files can be checked: each tensor's, each file's, and a seal over the text that holds them.

All are SHA-256 in lower-case hexadecimal: a tensor's over its bytes as they are stored, little-endian in C order. A
text is sealed by its last field ``"sha256"``, the digest of the text with 64 zeros in that place.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from porter.files.json import to_json

TENSORS, FILES, SEAL = "tensors_sha256", "files_sha256", "sha256"
BLANK = "0" * 64
_SEAL = re.compile(rb'"sha256": ?"([0-9a-f]{64})"')


def sealed(text: bytes) -> bytes:
    """Return ``text`` with its seal, in place of the zeros that hold its place."""
    begin, _ = _place(text)
    return text[:begin] + hashlib.sha256(text).hexdigest().encode() + text[begin + len(BLANK) :]


def is_sealed(text: bytes) -> bool | None:
    """Tell whether ``text`` is as it was when it was sealed; None where it has no seal."""
    begin, seal = _place(text)
    if not seal:
        return None
    blank = text[:begin] + BLANK.encode() + text[begin + len(BLANK) :]
    return hashlib.sha256(blank).hexdigest().encode() == seal


def _place(text: bytes) -> tuple[int, bytes]:
    begin, seal = 0, b""
    for found in _SEAL.finditer(text):  # a checkpoint may be a file called sha256: the last one counts
        begin, seal = found.start(1), found[1]
    return begin, seal


def write_record(path: Path, facts: Mapping[str, Any], files: Mapping[str, str], tensors: Mapping[str, str]) -> None:
    """Write ``facts``, the digests of ``files`` by name and those of the ``tensors`` where a file cannot hold them."""
    fields = {**facts, FILES: dict(files), **({TENSORS: dict(tensors)} if tensors else {}), SEAL: BLANK}
    path.write_bytes(sealed(f"{to_json(fields, indent=2)}\n".encode()))


def record_beside(path: Path) -> Path:
    """Return where the record of ``path`` lies, if that cannot hold its own digests."""
    return path.with_name(f"{path.name}.json")


def is_ours(record: Path) -> bool:
    """Tell whether porter wrote ``record``, or the config.json of a folder."""
    try:
        fields = json.loads(record.read_text(encoding="utf-8"))
        return "porter" in fields["versions"] and "model" in fields
    except (OSError, ValueError, KeyError, TypeError):
        return False
