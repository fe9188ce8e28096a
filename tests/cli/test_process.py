"""Settings of the process: the command line makes them for itself, and a library leaves those of its caller alone."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from porter.cli.process import collect_seldom, one_blas_thread, reuse_memory

THREADS = "OPENBLAS_NUM_THREADS"
FAULTS = """
import resource, sys
from porter.cli.process import reuse_memory
if sys.argv[1] == "reuse":
    reuse_memory()
for _ in range(20):
    [bytearray(b"x") * 2_000_000 for _ in range(3)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    [bytearray(b"x") * 2_000_000 for _ in range(3)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.fixture
def thresholds() -> Iterator[None]:
    """Those that Python starts with; another test may have run the command line in this process."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_garbage_is_collected_seldom_and_not_at_the_exit(thresholds: None, monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Any] = []
    monkeypatch.setattr(atexit, "register", at_exit.append)
    collect_seldom()
    assert gc.isenabled()
    assert gc.get_threshold()[0] > 10_000
    assert at_exit == [gc.freeze]


def test_numpy_starts_one_thread_and_what_is_imported_later_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(THREADS, raising=False)
    with one_blas_thread():
        assert os.environ[THREADS] == "1"
    assert THREADS not in os.environ
    with pytest.raises(RuntimeError, match="body"), one_blas_thread():
        raise RuntimeError("body")
    assert THREADS not in os.environ


def test_a_number_of_threads_that_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, "2")
    with one_blas_thread():
        assert os.environ[THREADS] == "2"
    assert os.environ[THREADS] == "2"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory by rules of its own")
def test_a_tensor_takes_the_memory_of_the_last_one() -> None:
    """The system clears each new page at its first use, a page fault: 1,464 of them for three tensors of 2 MB."""
    runs = [subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
            for how in ("reuse", "leave")]  # fmt: skip
    reused, left = (int(run.stdout) for run in runs)
    assert reused < 1_000 < 10_000 < left


@pytest.mark.parametrize("error", [OSError("no such library"), AttributeError("mallopt"), TypeError("None")])
def test_another_c_library_needs_no_setting(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def missing(name: str | None) -> Any:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", missing)
    reuse_memory()


def test_a_library_leaves_the_settings_of_its_caller() -> None:
    script = f"""
import gc, os
before = gc.get_threshold(), os.environ.get("{THREADS}")
import porter
porter.verify, porter.port
assert (gc.get_threshold(), os.environ.get("{THREADS}")) == before
"""
    subprocess.run([sys.executable, "-c", script], check=True)
