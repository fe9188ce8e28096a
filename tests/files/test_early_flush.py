"""Files whose bytes begin their way to the disk early hold what was written, whatever the sizes of the writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from porter.files import early_flush
from porter.files.early_flush import STEP, open_early


def test_every_byte_is_there(tmp_path: Path) -> None:
    parts = [np.random.default_rng(size).bytes(size) for size in (0, 1, 9_000, STEP + 3, 5, STEP)]
    with open_early(tmp_path / "file") as file:
        for part in parts:
            file.write(part)
    assert (tmp_path / "file").read_bytes() == b"".join(parts)


@pytest.mark.parametrize("step", [1, 4096, 1 << 40])
def test_the_steps_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """What is written is the same whether the system begins often, seldom or never."""
    begun: list[tuple[int, int]] = []
    begin = early_flush._begin

    def noted(descriptor: int, start: int, size: int) -> None:
        begun.append((start, size))
        begin(descriptor, start, size)

    monkeypatch.setattr(early_flush, "STEP", step)
    monkeypatch.setattr(early_flush, "_begin", noted)
    parts = [np.random.default_rng(size).bytes(size) for size in (70_000, 1, 0, 9_000, 4096)]
    with open_early(tmp_path / "file") as file:
        for part in parts:
            file.write(part)
    assert (tmp_path / "file").read_bytes() == b"".join(parts)
    assert bool(begun) is (step < 1 << 20)
    ends = [start + size for start, size in begun]
    assert [start for start, _ in begun[1:]] == ends[:-1]  # each begins where the last one ended


def test_a_system_that_does_not_begin_early_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sync_file_range fails on a pipe or an odd file system; the flush at the end is what counts."""
    monkeypatch.setattr(early_flush, "STEP", 1)
    begin, closed = early_flush._begin, -1
    monkeypatch.setattr(early_flush, "_begin", lambda _, start, size: begin(closed, start, size))
    with open_early(tmp_path / "file") as file:
        file.write(b"all of it")
    assert (tmp_path / "file").read_bytes() == b"all of it"
