"""Digests that prove porter's files whole: one per tensor, one per file, and a seal over the text that holds them.

All are SHA-256 in lower-case hexadecimal. A tensor's covers its stored bytes, little-endian in C order. A text's seal
is its last field ``"sha256"``: the digest of the text with 64 zeros in place of the seal.
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
    """Return ``text`` with its seal instead of the 64 zeros."""
    begin, _ = _place(text)
    return text[:begin] + hashlib.sha256(text).hexdigest().encode() + text[begin + len(BLANK) :]


def is_sealed(text: bytes) -> bool | None:
    """Tell whether ``text`` is unchanged since it was sealed; None if it has no seal."""
    begin, seal = _place(text)
    if not seal:
        return None
    blank = text[:begin] + BLANK.encode() + text[begin + len(BLANK) :]
    return hashlib.sha256(blank).hexdigest().encode() == seal


def has_seal(text: bytes) -> bool:
    """Tell whether ``text`` holds a seal, valid or not."""
    return _SEAL.search(text) is not None


def _place(text: bytes) -> tuple[int, bytes]:
    begin, seal = 0, b""
    for found in _SEAL.finditer(text):  # a checkpoint may have a file called sha256: the last match is the seal
        begin, seal = found.start(1), found[1]
    return begin, seal


def write_record(path: Path, facts: Mapping[str, Any], files: Mapping[str, str], tensors: Mapping[str, str]) -> None:
    """Write a record of ``facts``, the digests of ``files`` by name, and those of ``tensors`` that no file can hold."""
    fields = {**facts, FILES: dict(files), **({TENSORS: dict(tensors)} if tensors else {}), SEAL: BLANK}
    path.write_bytes(sealed(f"{to_json(fields, indent=2)}\n".encode()))


def record_beside(path: Path) -> Path:
    """Return the path of the record of ``path``, for formats that cannot hold their own digests."""
    return path.with_name(f"{path.name}.json")


def is_ours(record: Path) -> bool:
    """Tell whether porter wrote ``record``, which may be the config.json of a folder."""
    try:
        fields = json.loads(record.read_text(encoding="utf-8"))
        return "porter" in fields["versions"] and "model" in fields
    except (OSError, ValueError, KeyError, TypeError):
        return False
