"""kill -9 at random moments: 30 times of 30 the target holds the older file or all of the new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.killed import TRIES, WRITERS
from helpers.places import TESTS
from helpers.processes import HANG

KERAS = ["keras", "weights.h5", "h5"]
OTHERS = [writer for writer in WRITERS if writer not in KERAS]
DRILL = TESTS / "helpers/killed.py"


def drill(folder: Path, *writers: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(DRILL), str(folder), *writers]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (TESTS, TESTS.parent)))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
@pytest.mark.parametrize("writers", [KERAS, OTHERS], ids=["keras", "others"])  # which import Keras once
def test_a_killed_writer_breaks_nothing_and_leaves_nothing(tf: Any, tmp_path: Path, writers: list[str]) -> None:
    found = drill(tmp_path, *writers)
    assert [counts["writer"] for counts in found] == writers
    for counts in found:
        assert counts["tries"] == TRIES == counts["older"] + counts["new"], counts
        assert counts["killed"] > TRIES / 3, counts
        assert (counts["broken"], counts["left"]) == (0, 0), counts


@pytest.mark.slow
def test_the_drill_finds_files_broken_by_writing_in_place(tmp_path: Path) -> None:
    # safetensors takes longest to write: a kill may miss the writing of a few kilobytes.
    (counts,) = drill(tmp_path, "safetensors", "--in-place")
    assert counts["broken"] > 0
