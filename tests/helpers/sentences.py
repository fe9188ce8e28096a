"""What every refusal is held against."""

from __future__ import annotations

import re
from pathlib import Path

_REMEDY = re.compile(
    r"([:;,—]|\n) +(copy|download|save|name|do not trust|give|take|remove|get it|freeze|unpack it|port it|look|keep)\b"
    r"|name the model|do not trust it|get it from|add a \[\[layer\]\]|or download it again|Copy it again"
)
_NOISE = re.compile(r"Traceback|<class|object at 0x|Errno|\\x[0-9a-f]{2}.*\\x|b'|LIBRARY|weights_only=")


def assert_reads_well(told: str, path: Path) -> None:
    """Assert that a refusal names the file at ``path``, or its checkpoint, and says what to do, and no internals."""
    assert path.name in told or str(path.with_suffix("")) in told, told
    assert _REMEDY.search(told), told
    assert not _NOISE.search(told), told
    assert len(told) < 1200, told
