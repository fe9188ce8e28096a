"""`port inspect` as a user runs it: every option prints or writes, JSON for everything, a pager on a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import Saver
from helpers.graphs import path_of
from porter.cli.main import main
from porter.formats.tensorflow.events import write_graph_event
from porter.formats.tensorflow.source import load_graph

Run = Callable[..., tuple[int, str, str]]
LARGE, SMALL = path_of("nasnet_large"), path_of("mobilenet_v1_0.25_128")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["inspect", *(str(arg) for arg in args)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_json_of_the_overview_has_what_the_text_has(run: Run) -> None:
    code, out, _ = run(LARGE, "--json")
    found: dict[str, Any] = json.loads(out)
    assert code == 0
    assert (found["nodes"], found["variables"], found["parameters"]) == (13_450, 1_546, 88_953_851)
    assert round(found["multiply_adds"] / 1e6) == 23_783
    assert [block["times"] for block in found["blocks"]] == [1, 2, 6, 1, 6, 1, 6, 1]
    image = {"op": "Placeholder", "dtype": "float32", "shape": [1, 331, 331, 3]}
    assert found["inputs"] == [{"name": "input", "own_name": "", **image}]
    assert sum(scope["parameters"] for scope in found["scopes"]) == 88_953_851


def test_json_of_scope_find_and_diff(run: Run) -> None:
    scope = json.loads(run(LARGE, "--scope", "reduction_cell_0", "--json")[1])
    assert len(scope["layers"]) == 22
    assert scope["layers"][2]["strides"] == [2, 2]
    assert len(json.loads(run(LARGE, "--find", "^MaxPool$", "--json")[1])) == 8
    differs = json.loads(run(SMALL, "--diff", path_of("mobilenet_v1_1.0_224"), "--json")[1])
    assert not differs["equal"]
    assert json.loads(run(SMALL, "--diff", SMALL, "--json")[1])["equal"]


def test_a_size_that_the_graph_has_is_no_mistake(run: Run) -> None:
    assert run(SMALL, "--size", 128)[0] == 0


@pytest.mark.parametrize("option", ["--html", "--svg", "--write-table", "--tensorboard"])
def test_what_is_written_is_named(run: Run, tmp_path: Path, option: str) -> None:
    target = tmp_path / ("folder" if option == "--tensorboard" else f"out.{option[2:]}")
    code, out, err = run(SMALL, option, target)
    assert (code, err) == (0, "")
    assert f"wrote {target}" in out
    wrote = json.loads(run(SMALL, option, target, "--json")[1])
    assert Path(wrote["wrote"]).stat().st_size == wrote["bytes"] > 500


def test_a_picture_of_one_scope_takes_both_options(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(LARGE, "--svg", tmp_path / "cell.svg", "--scope", "cell_3")
    assert code == 0
    assert "23 boxes" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--scope", "cell_3", "--find", "x"), "--scope and --find exclude each other: give one of them"),
        (("--scope", ""), "--scope is empty: leave it out, or name what to show"),
        (("--find", ""), "--find is empty: leave it out, or name what to show"),
        (("--scope", "cell_3", "--depth", "2"), "--depth is for the overview, which --scope replaces"),
        (("--size", "224"), "leaves no image size open (input is 1x331x331x3), so that --size has no effect"),
        (("--write-table", "x.toml", "--size", "9"), "leave --size out beside --write-table"),
        (("--tag", "serve"), "is a single graph, and --tag chooses among the graphs of a SavedModel: leave it out"),
        (("--graph", "2"), "is no event file, and --graph chooses among the graphs of event files: leave it out"),
        (("--scope", "cell_99"), "did you mean"),
        (("--find", "("), "is not a regular expression"),
        (("--diff", "absent.pb"), "absent.pb does not exist"),
        (("--html", "absent/page.html"), "absent/page.html cannot be written: No such file or directory"),
    ],
)
def test_a_mistake_is_one_sentence(run: Run, args: tuple[str, ...], message: str) -> None:
    code, out, err = run(LARGE, *args)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("port: ")


def test_the_tensorboard_folder_opens_in_tensorboard(run: Run, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(LARGE, "--tensorboard", tmp_path)
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    assert len(accumulator.Graph().node) == 13_450


def test_a_training_folder_is_its_logs_and_names_its_checkpoints(run: Run, save: Saver, tmp_path: Path) -> None:
    run(SMALL, "--tensorboard", tmp_path)
    save({"a/weights": np.zeros((3, 3, 4, 4), np.float32)}, "model.ckpt-7")
    _, out, _ = run(tmp_path)
    assert "1 TensorBoard event file, newest first" in out
    assert "1 checkpoint, to inspect by name: model.ckpt-7" in out
    assert "MobileNet V1 0.25 at 128" in out
    assert json.loads(run(tmp_path, "--json")[1])["graph"]["nodes"] == len(load_graph(SMALL).node)


def test_commands_name_the_file_and_the_graph_that_were_given(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    for time, name in enumerate(("nasnet_mobile", "mobilenet_v1_0.25_128")):
        write_graph_event(tmp_path / str(time), load_graph(path_of(name)), float(time))
    path.write_bytes(b"".join((tmp_path / str(time)).read_bytes() for time in (0, 1)))
    _, out, _ = run(tmp_path, "--graph", 2)
    assert f"one block, layer by layer:  port inspect {tmp_path} --graph 2 --scope" in out
    assert "MobileNet" in run(path)[1]


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_long_output_goes_through_the_pager_and_a_short_one_does_not(tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED\ncat\n")
    pager.chmod(0o755)
    environment = os.environ | {"TERM": "xterm", "PAGER": str(pager), "LINES": "20", "COLUMNS": "120"}
    shown = {}
    for depth in (1, 2):
        ours, theirs = os.openpty()
        command = [
            sys.executable,
            "-m",
            "porter.cli.main",
            "inspect",
            str(SMALL),
            *(["--depth", "2"] if depth == 2 else []),
        ]
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
            os.close(theirs)
            text = b""
            while chunk := _read(ours):
                text += chunk
        os.close(ours)
        shown[depth] = text
    assert b"PAGED" in shown[2]
    assert b"Conv2d_13_pointwise" in shown[2]
    assert b"PAGED" not in shown[1]


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says that the other end is closed
        return b""
