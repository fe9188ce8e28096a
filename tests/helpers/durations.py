"""Marks tests as long by how long they took when they were last measured.

tests/durations.txt lists every test that took LONG seconds or more; `make durations` writes it anew. A test that the
file does not list is not long: new tests run in `make quick` until somebody measures them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from helpers.places import TESTS

FILE = TESTS / "durations.txt"
LONG = 0.15
"""Seconds from which on a test is long."""


class Durations:
    """Sums up each test's setup and call, in the process that starts the workers."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown":
            self.seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        write(self.seconds, FILE)


def write(seconds: dict[str, float], path: Path) -> None:
    """Write the tests of LONG ``seconds`` and more to ``path``, sorted by name."""
    rows = [f"{taken:6.2f} {test}\n" for test, taken in sorted(seconds.items()) if taken >= LONG]
    path.write_text("".join(rows), encoding="utf-8")


def read(path: Path) -> set[str]:
    """Return the names of the long tests in ``path``."""
    return {line.split(maxsplit=1)[1] for line in path.read_text(encoding="utf-8").splitlines()}
