"""Progress of long work, on a terminal only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console

T = TypeVar("T")


def track(steps: Iterable[T], what: str, count: int | None = None, /) -> Iterable[T]:
    """Show progress on standard error if that is a terminal, and nothing in a pipe."""
    errors = Console(stderr=True)
    if not errors.is_terminal:
        return steps
    from rich.progress import track as rich_track

    return rich_track(steps, what, count, console=errors, transient=True)
