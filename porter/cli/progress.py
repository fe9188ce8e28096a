"""Progress of long work, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def track(steps: Iterable[T], what: str, count: int | None = None, /) -> Iterable[T]:
    """Show progress on standard error if that is a terminal, and nothing in a pipe."""
    if not sys.stderr.isatty():
        return steps
    from rich.console import Console
    from rich.progress import track as rich_track

    return rich_track(steps, what, count, console=Console(stderr=True), transient=True)
