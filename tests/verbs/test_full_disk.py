"""On a full disk or in a read-only folder porter fails with one sentence and leaves no file."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.checkpoints import OTHER_OUTPUTS, OUTPUTS, SMALL
from helpers.processes import HANG
from porter.cli.main import main


def refused(capfd: pytest.CaptureFixture[str], *args: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, args)])
    out, err = capfd.readouterr()
    assert (ended.value.code, out) == (2, ""), err
    lines = [line for line in err.splitlines() if "absl" not in line and "TensorFlow" not in line]
    (line,) = [line for line in lines if not line.startswith(("WARNING: All log", "To enable", "I0000"))]
    return line


def ported(checkpoint: Path, target: str, out: str) -> tuple[object, ...]:
    return SMALL, "--from", "tf", "--to", target, "--checkpoint", checkpoint, "--out", out


@pytest.mark.parametrize(("target", "name"), OUTPUTS + OTHER_OUTPUTS)
@pytest.mark.parametrize("size", ["200k", "1m", "1800k"])
def test_a_full_disk_is_one_sentence(
    tf: object,
    small: Path,
    small_disk: Path,
    capfd: pytest.CaptureFixture[str],
    target: str,
    name: str,
    size: str,
) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", small_disk], check=True)
    said = refused(capfd, *ported(small, target, f"{small_disk}/{name}"))
    where = f"{small_disk}/{name}".rstrip("/")
    assert said == f"port: {where} cannot be written: No space left on device; name another place for it"
    assert not list(small_disk.iterdir())


def test_a_full_disk_under_the_other_writers(small: Path, small_disk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from porter.catalog.goldens import recorded

    subprocess.run(["mount", "-o", "remount,size=4k", small_disk], check=True)
    graph = recorded(SMALL).graph
    for args in (
        ("seed", SMALL, "--out", small_disk / "s.ckpt"),
        ("inspect", graph, "--html", small_disk / "g.html"),
        ("inspect", graph, "--tensorboard", small_disk / "logs"),
        ("verify", SMALL, "--endpoints", "Logits", "--report", small_disk / "r.html"),
    ):
        assert refused(capfd, *args).endswith("cannot be written: No space left on device; name another place for it")
        assert {path.name for path in small_disk.iterdir()} <= {"logs"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system for one test, which no other test can fill."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
        pytest.skip("only root mounts a file system")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.parametrize("target", ["torch", "keras"])
def test_a_disk_that_fills_while_it_is_written_is_one_sentence(
    tf: object, small: Path, tmp_path: Path, target: str
) -> None:
    """A limit on file sizes strikes after porter has checked the free space; setting it needs no root."""
    script = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
from porter.cli.main import main
main({list(map(str, ported(small, target, str(tmp_path / ("m.pth" if target == "torch" else "m.keras")))))!r})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=HANG)
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_at_the_flush_is_one_sentence(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system may take all bytes and lack the room for them when it must write them."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    said = refused(capfd, *ported(small, "torch", f"{tmp_path}/m.safetensors"))
    assert said == (
        f"port: {tmp_path}/m.safetensors cannot be written: No space left on device; name another place for it"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("target", "name"), OUTPUTS[:4] + OTHER_OUTPUTS)
def test_an_unwritable_folder_is_one_sentence(
    small: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    name: str,
) -> None:
    """Root may write anywhere, so the test raises the system's error where a folder is made."""
    make = os.mkdir

    def forbidden(path: str, *mode: int) -> None:
        if str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        make(path, *mode)

    monkeypatch.setattr(os, "mkdir", forbidden)
    said = refused(capfd, *ported(small, target, f"{tmp_path}/{name}"))
    where = f"{tmp_path}/{name}".rstrip("/")
    beside = ".json" if name in ("m.pth", "m.keras", "m.ckpt", "m.pb", "m.npz") else ""
    assert said == f"port: {where}{beside} cannot be written: Permission denied; name another place for it"
    assert not list(tmp_path.iterdir())
