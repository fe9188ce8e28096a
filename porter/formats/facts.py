"""facts_of(path): what porter wrote about a file of its own, in the file, in the record beside it or in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from porter.errors import FormatError
from porter.files.seals import record_beside
from porter.formats.identify import RECORD_NAMES, identify
from porter.formats.safetensors import metadata
from porter.formats.signatures import RECORD, SAFETENSORS


def facts_of(path: Path) -> Mapping[str, Any]:
    """Return the facts that porter wrote about the weights at ``path``; none if another program wrote them.

    They are claims: porter.verbs.check compares the digests. Raises FormatError if the facts are damaged.
    """
    if identify(path).kind is SAFETENSORS:
        stated: Mapping[str, Any] = {key: _value(text) for key, text in metadata(path).items()}
    else:
        records = (record_beside(path), *map(path.with_name, RECORD_NAMES))
        stated = next((_fields(record) for record in records if identify(record).kind is RECORD), {})
    return stated if isinstance(stated.get("model"), str) and "versions" in stated else {}


def _value(text: str) -> Any:
    """Return a value of a safetensors file's metadata, which holds strings alone: others are JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _fields(record: Path) -> Mapping[str, Any]:
    try:
        fields = json.loads(record.read_bytes())
    except (ValueError, RecursionError):
        raise FormatError(f"{record}, porter's record, is damaged: copy it again, or port again") from None
    return fields if isinstance(fields, dict) else {}


def is_decompiled(folder: str | Path) -> bool:
    """Tell whether ``folder`` holds a network that porter wrote as source, by porter's record in it."""
    record = Path(folder) / RECORD_NAMES[0]
    return identify(record).kind is RECORD and bool(_fields(record).get("decompiled"))
