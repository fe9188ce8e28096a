"""Progress of long work: a tracker wraps the steps, and shows them or nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol[T]):
    """Wraps an iterable to show progress under a description, given the number of steps if it has no length."""

    def __call__(self, steps: Iterable[T], what: str, count: int | None = None, /) -> Iterable[T]: ...


def untracked(steps: Iterable[T], _what: str, _count: int | None = None, /) -> Iterable[T]:
    """Show nothing: what a library does."""
    return steps
