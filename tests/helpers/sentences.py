"""The rules for every error message: it names the file, says what to do next, and is written in plain English."""

from __future__ import annotations

import re
from pathlib import Path

REFUSED = (
    "is told",
    "are told",
    "the wrong one is named",
    "what becomes of",
    "what is odd",
    "of which",
    "for whom",
    "held against",
    "is no number",
    "is none that",
    "is found in no",
    "was not written as it should be",
    "no float64 that proves",
    "a name is data",
    "departs",
    "stand behind",
    "stands behind",
    "points behind",
    "ends behind",
    "brings its",
    "brings the",
    "makes one expect",
    "is whole",
    "than before",
    "without a word",
)
"""Phrases that no text of porter uses, in lower case; CONTRIBUTING.md has a plain one for each."""

_REMEDY = re.compile(
    r"([:;,—] +|\n *)"
    r"(copy|download|save|name|do not trust|give|take|remove|get it|freeze|unpack it|port it|look|keep)\b"
    r"|name the model|do not trust it|get it from|add a \[\[layer\]\]"
    r"|or download (it|the checkpoint) again|Copy it again"
)
_NOISE = re.compile(r"Traceback|<class|object at 0x|Errno|\\x[0-9a-f]{2}.*\\x|b'|LIBRARY|weights_only=")


def assert_reads_well(message: str, path: Path) -> None:
    """Assert that an error names the file at ``path`` or its checkpoint, says what to do, and hides internals."""
    assert path.name in message or str(path.with_suffix("")) in message, message
    assert _REMEDY.search(message), message
    assert not _NOISE.search(message), message
    assert not refused_in(message), message
    assert len(message) < 1200, message


def refused_in(text: str) -> list[str]:
    """Return the phrases of REFUSED in ``text``, also those broken over two lines."""
    plain = " ".join(text.lower().split())
    return [phrase for phrase in REFUSED if re.search(rf"\b{re.escape(phrase)}\b", plain)]
