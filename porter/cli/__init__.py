"""The command line: parse, call a verb, print, exit. Every verb returns its result and prints nothing."""

import os
import sys

NAMES = ("port", "porter")


def called_as() -> str:
    """Return the name that the command was called by; any other program counts as `port`."""
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    return name if name in NAMES else NAMES[0]
