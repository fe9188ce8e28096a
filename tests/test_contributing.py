"""CONTRIBUTING.md's walk-through, run as it stands in a copy of the checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.places import ROOT
from helpers.processes import HANG

COPIED = ("porter", "golden", "mappings", "labels", "released", "tests", "pyproject.toml")


def steps() -> list[tuple[str, str]]:
    """Return the walk-through's blocks as (language, text)."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Adding an architecture")[2]
    return re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, with `port` and `python` that run it in its bin/."""
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    for folder in ("bin", "build"):
        (tmp_path / folder).mkdir()
    for name, command in (("python", '"$@"'), ("port", '-m porter.cli "$@"')):
        script = tmp_path / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command}\n')
        script.chmod(0o755)
    return tmp_path


@pytest.mark.slow
def test_the_walk_through_adds_an_architecture(checkout: Path) -> None:
    pytest.importorskip("tf_slim", reason="needs golden/requirements.txt")
    environment = os.environ | {
        "PATH": f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(checkout), os.environ.get("PYTHONPATH", "")]),
    }

    def run(command: str) -> str:
        done = subprocess.run(
            ["sh", "-ec", command], cwd=checkout, env=environment, capture_output=True, text=True, timeout=HANG
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    said = ""
    for language, text in steps():
        if language == "sh":
            said += run(text)
            continue
        place = re.match(r"# (\S+)\n", text)
        assert place is not None, f"a block does not say which file it is: {text}"
        path = checkout / place[1]
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as file:  # golden/models.toml gets one more record
            file.write(text)
    assert said.count("parity holds at 9 endpoints") == 3, said
    assert "covers 8 variables" in said
    tests = "tests/nets/test_goldens.py tests/nets/test_keras.py tests/mapping/test_table.py tests/catalog"
    ran = run(f"python -m pytest -q -p no:cacheprovider -n0 {tests} -k 'lenet and not mobilenet'")
    passed = re.search(r"(\d+) passed", ran)
    assert passed is not None
    assert int(passed[1]) >= 6, ran
