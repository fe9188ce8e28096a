"""kill -9 at random moments: no broken file at the final path, and an older good one stays whole, 30 times of 30."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from killed import TRIES, WRITERS

DRILL = Path(__file__).with_name("killed.py")


def drill(writer: str, folder: Path, *options: str) -> dict[str, int]:
    command = [sys.executable, str(DRILL), writer, str(folder), *options]
    environment = os.environ | {"PYTHONPATH": str(DRILL.parent.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    counts: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("writer", WRITERS)
def test_a_killed_writer_breaks_nothing_and_its_leavings_go(tf: object, tmp_path: Path, writer: str) -> None:
    counts = drill(writer, tmp_path)
    assert counts["tries"] == TRIES == counts["older"] + counts["new"]
    assert counts["killed"] > 3
    assert (counts["broken"], counts["left"]) == (0, 0)


@pytest.mark.slow
def test_the_drill_sees_what_writing_in_place_breaks(tmp_path: Path) -> None:
    # The longest writing there is: of a few kilobytes no kill may come in time.
    assert drill("safetensors", tmp_path, "--in-place")["broken"] > 0
