"""A Large checkpoint of 3117 entries and 713 MiB is ported in little memory and without a framework."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from porter.formats.open import open_checkpoint
from porter.verbs.seed import seed

MIB = 1 << 20
PORT = """
import pathlib, sys
from porter.cli.main import main
try:
    main(sys.argv[2:])
finally:
    loaded = {"torch", "tensorflow", "keras", "tensorboard"} & set(sys.modules)
    assert not loaded, loaded
    # The process's own peak: getrusage would count the memory that it was forked with.
    (peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    pathlib.Path(sys.argv[1]).write_text(peak)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    prefix = seed("nasnet_large", tmp_path_factory.mktemp("large") / "model.ckpt", training=True).out
    yield prefix
    for file in prefix.parent.iterdir():
        file.unlink()


def arguments(checkpoint: Path, out: Path) -> list[str]:
    options = ["nasnet_large", "--from", "tf", "--to", "torch", "--checkpoint", str(checkpoint), "--out", str(out)]
    return [sys.executable, "-c", PORT, str(out.with_suffix(".peak")), *options]


@pytest.mark.slow
def test_porting_it_takes_less_memory_than_what_is_written(large: Path) -> None:
    assert len(open_checkpoint(large).entries) == 3117
    out = large.with_name("large.safetensors")
    subprocess.run(arguments(large, out), check=True)
    peak = 1024 * int(out.with_suffix(".peak").read_text())
    assert 50 * MIB < peak < out.stat().st_size + 150 * MIB


@pytest.mark.slow
def test_a_terminal_shows_its_progress_and_a_pipe_is_quiet(large: Path) -> None:
    out = large.with_name("shown.safetensors")
    leader, follower = pty.openpty()
    shown = b""
    with subprocess.Popen(arguments(large, out), stdout=subprocess.PIPE, stderr=follower) as process:
        os.close(follower)
        while True:
            try:
                chunk = os.read(leader, 1 << 16)
            except OSError:  # the other end is closed
                break
            shown += chunk
        assert process.stdout is not None
        printed = process.stdout.read().decode()
    os.close(leader)
    assert b"writing" in shown
    assert b"100%" in shown
    assert "1546 tensors" in printed
    piped = subprocess.run(arguments(large, out), capture_output=True, check=True)
    assert piped.stderr == b""
