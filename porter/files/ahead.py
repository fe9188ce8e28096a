"""Works ahead: a second thread computes the next results while the caller uses the last one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 1
"""Results in the making or waiting, besides the one that the caller uses: more only take memory."""


def ahead(compute: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield ``compute(item)`` for each of ``items``, in their order. An error of ``compute`` is raised in its turn.

    It gains time where ``compute`` and its caller release the interpreter's lock: numpy, hashlib and files do.
    """
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(thread.submit(compute, item))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
