"""tests/durations.txt keeps the long tests, and `make quick` leaves out those alone."""

from __future__ import annotations

from pathlib import Path

from helpers import durations


def test_only_long_tests_are_kept_and_read(tmp_path: Path) -> None:
    path = tmp_path / "durations.txt"
    seconds = {"test_b.py::test_long[a b]": 12.34, "test_a.py::test_long": durations.LONG, "test_a.py::test_short": 0.1}
    durations.write(seconds, path)
    assert path.read_text().splitlines() == ["  0.15 test_a.py::test_long", " 12.34 test_b.py::test_long[a b]"]
    assert durations.read(path) == {"test_a.py::test_long", "test_b.py::test_long[a b]"}
    assert durations.read(durations.FILE)
