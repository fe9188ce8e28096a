"""Works ahead: other threads compute the next results while the caller uses the last one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(compute: Callable[[T], R], items: Iterable[T], threads: int = 1) -> Iterator[R]:
    """Yield ``compute(item)`` for each of ``items``, in their order. An error of ``compute`` is raised in its turn.

    As many results as ``threads`` are in the making or waiting, besides the one that the caller uses: more would only
    take memory. It gains time where ``compute`` and its caller release the interpreter's lock: numpy, hashlib and
    files do.
    """
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(compute, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
