"""A corpus of malicious files: no payload runs, no other file is touched, and each error names its file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers import hostile
from helpers.places import ROOT
from helpers.processes import HANG
from helpers.sentences import assert_reads_well

CORPUS = {one.name: one for one in hostile.CORPUS}
MOST = 200 << 20
"""Bytes of memory that a refusal may take."""
HONEST_WEIGHTS = {"writefile.pb", "pyfunc.pb", "main-op"}
"""Graphs with the model's own weights that do harm when they run."""


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("torch", "tensorflow"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("hostile")
    run("build", folder)
    return folder


def run(command: str, folder: Path) -> str:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/helpers/hostile.py"), command, str(folder)],
        env=os.environ | {"PYTHONPATH": paths, "TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="session")
def outcomes(corpus: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("read", corpus).splitlines()]


def of(outcomes: list[dict[str, Any]], name: str, verb: str) -> dict[str, Any]:
    (found,) = [one for one in outcomes if (one["name"], one["verb"]) == (name, verb)]
    return found


@pytest.mark.slow
def test_each_is_refused_by_name(outcomes: list[dict[str, Any]], corpus: Path) -> None:
    assert len(CORPUS) >= 25
    for name, one in CORPUS.items():
        found = of(outcomes, name, one.verb)
        assert found["told"] is not None, name
        assert one.why in found["told"], (name, found["told"])
        named = corpus / name if one.verb != "read" else (corpus / name).with_suffix("")  # or a file beside it
        assert str(named) in found["told"], (name, found["told"])


@pytest.mark.slow
def test_nothing_runs_and_nothing_outside_is_touched(outcomes: list[dict[str, Any]], corpus: Path) -> None:
    for one in outcomes:
        if one["name"] == "control":
            continue
        assert one["seen"] == [], one
        assert one.get("kind") != "crash", one
        if one["verb"] != "fetch" and one["name"] not in HONEST_WEIGHTS:
            assert one["left"] == [], one
    assert sorted(path.name for path in (corpus / "outside").iterdir()) == ["canary", "secret.h5"]
    assert (corpus / "outside" / "canary").read_bytes() == hostile.CANARY
    assert not Path("/tmp/touched").exists()


@pytest.mark.slow
def test_the_watch_would_see_it(outcomes: list[dict[str, Any]]) -> None:
    assert "os.system" in str(of(outcomes, "control", "unpickle")["seen"])
    assert "exec of" in str(of(outcomes, "control", "exec")["seen"])
    assert "canary" in str(of(outcomes, "control", "open")["seen"])
    assert of(outcomes, "control", "allocate")["grew"] > 500 << 20


@pytest.mark.slow
def test_bombs_are_refused_in_a_second_of_cpu_and_in_200_mb(outcomes: list[dict[str, Any]]) -> None:
    for one in outcomes:
        if one["name"] == "control" or one["name"] in HONEST_WEIGHTS:
            continue
        assert one["seconds"] < 1, one
        assert one["grew"] < MOST, one


@pytest.mark.slow
def test_what_is_told_of_hostile_files_reads_well(outcomes: list[dict[str, Any]], corpus: Path) -> None:
    told = [one for one in outcomes if one["told"] and one["name"] != "control"]
    assert len(told) > 80
    for one in told:
        assert_reads_well(one["told"], corpus / one["name"])
