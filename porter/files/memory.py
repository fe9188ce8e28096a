"""peak_memory: the most memory that this process has held."""

from __future__ import annotations

import sys


def peak_memory() -> int | None:
    """Return the largest resident set of this process so far, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # man 2 getrusage: bytes on macOS, KiB on Linux
