"""The name that porter's command was called by, `port` or `porter`, in every text that names a command of porter's."""

from __future__ import annotations

import os
import re
import sys

NAMES = ("port", "porter")
_NAMED = r"(?:MODEL|convert|verify|check|inspect|list|fetch|seed)\b"
_COMMAND = re.compile(rf"(^ *|`)port (?={_NAMED}|\S+ --)", re.MULTILINE)


def called_as() -> str:
    """Return the name that the command was called by; any other program counts as `port`."""
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    return name if name in NAMES else NAMES[0]


def as_called(text: str) -> str:
    """Return ``text`` with the called name in its commands, which begin a line or stand in backticks."""
    return _COMMAND.sub(lambda found: f"{found[1]}{called_as()} ", text)
