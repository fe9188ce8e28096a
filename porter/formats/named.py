"""refuse_other_suffix: refuses an output whose name says another format than porter writes there."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from porter.errors import PorterError
from porter.formats.signatures import KINDS

_DOCUMENTS = (".csv", ".html", ".htm", ".json", ".md", ".onnx", ".pdf", ".png", ".py", ".svg", ".toml", ".txt")
"""Suffixes that no kind of file with tensors claims."""


def refuse_other_suffix(argument: str, out: str | Path, writes: str, own: Collection[str] = ()) -> None:
    """Raise PorterError where the name ``out`` ends in the suffix of a format that is none of ``own``.

    ``writes`` ends the sentence: what porter writes there, and what to name instead. A folder that exists, or a name
    with a final slash, says itself what it is.
    """
    known = {suffix for kind in KINDS for suffix in kind.suffixes}.union(_DOCUMENTS).difference(own)
    name = Path(out).name.lower()
    found = max((suffix for suffix in known if name.endswith(suffix)), key=len, default="")
    if found and not name.endswith(tuple(own)) and not str(out).endswith("/") and not Path(out).is_dir():
        raise PorterError(f"`{argument}` {out} ends in {found}, but {writes}")
