"""Settings of the process that the command line has for itself; a library leaves those of its caller alone."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc: mallopt(3)
_REUSED = 1 << 22
"""Bytes of the largest tensor whose memory is reused. Keeping that of larger ones would show in a port's peak."""
_THREADS = "OPENBLAS_NUM_THREADS"


def collect_seldom() -> None:
    """Collect garbage seldom, and not at the exit.

    Frameworks and graphs keep millions of objects alive: collecting often takes up to a third of the time. At the exit
    it takes 0.04 s of a port.
    """
    gc.set_threshold(100_000, 50, 50)
    atexit.register(gc.freeze)


def reuse_memory() -> None:
    """Let a tensor take the memory of the last one.

    glibc gives the memory of large tensors back to the system, which clears each page anew: 0.15 s of a port of 356 MB.
    """
    import ctypes  # takes a tenth of the time of `port --help`

    with suppress(AttributeError, OSError, TypeError):  # another C library, or another system
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _REUSED)
        mallopt(_M_TRIM_THRESHOLD, 2 * _REUSED)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let numpy, if the body imports it, start no threads for products of matrices, which porter never asks for.

    They spin until they have work: 0.1 s of CPU in each command. Frameworks, imported later, keep theirs.
    """
    if _THREADS in os.environ:
        yield
        return
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        del os.environ[_THREADS]
