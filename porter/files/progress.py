"""Progress of long work: a tracker wraps the steps and may show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol[T]):
    """Wraps an iterable to show its progress, with a description, and the number of steps if it has no length."""

    def __call__(self, steps: Iterable[T], what: str, count: int | None = None, /) -> Iterable[T]: ...


def untracked(steps: Iterable[T], _what: str, _count: int | None = None, /) -> Iterable[T]:
    """Return ``steps`` and show nothing, the default in a library."""
    return steps
