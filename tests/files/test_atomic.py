"""Outputs appear whole or not at all; the next run removes a killed run's files, and never a live one's."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers.checkpoints import SMALL
from porter.errors import PorterError
from porter.files import atomic
from porter.files.atomic import replacing, scratch
from porter.verbs.check import check


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_dead_writers_leavings_are_removed_and_a_live_ones_are_not(tmp_path: Path) -> None:
    script = "import os; from pathlib import Path; from porter.files.atomic import replacing\n"
    script += f"with replacing(Path({str(tmp_path / 'dead')!r})) as path: path.write_text('half'); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    (left,) = tmp_path.iterdir()
    assert (left / "contents/dead").read_text() == "half"
    with replacing(tmp_path / "live") as live:
        assert not left.exists()
        live.write_text("not yet")
        with replacing(tmp_path / "other") as other:
            other.write_text("whole")
        assert live.read_text() == "not yet"
    assert names(tmp_path) == {"live", "other"}


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask_and_not_the_older_file(tmp_path: Path, mask: int) -> None:
    (tmp_path / "file").write_text("older")
    (tmp_path / "file").chmod(0o600)
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "file") as file:
            file.write_text("new")
        with replacing(tmp_path / "folder") as folder:
            folder.mkdir()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~mask


def test_the_file_is_flushed_before_it_is_renamed_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def sync(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        seen.append(f"{path.name} {'there' if (tmp_path / 'file').exists() else 'not there'}")

    monkeypatch.setattr(os, "fsync", sync)
    with replacing(tmp_path / "file") as file:
        file.write_text("new")
    assert seen == ["file not there", f"{tmp_path.name} there"]


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_folder_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanged: bool) -> None:
    if not exchanged:  # as on a file system that cannot
        monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    for text in ("older", "new"):
        with replacing(tmp_path / "folder") as folder:
            folder.mkdir()
            (folder / text).write_text(text)
    assert names(tmp_path) == {"folder"}
    assert names(tmp_path / "folder") == {"new"}


def test_a_folder_that_was_moved_aside_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    with replacing(tmp_path / "folder") as folder:
        folder.mkdir()
        (folder / "older").write_text("older")
    rename = Path.rename

    def killed(path: Path, target: Path) -> Any:
        if path.parent != tmp_path:
            os._exit(9)
        return rename(path, target)

    child = os.fork()
    if not child:
        Path.rename = killed  # type: ignore[method-assign, assignment]
        with replacing(tmp_path / "folder") as folder:
            folder.mkdir()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert "folder" not in names(tmp_path)
    with pytest.raises(KeyError), replacing(tmp_path / "folder"):
        raise KeyError
    assert names(tmp_path) == {"folder"}
    assert names(tmp_path / "folder") == {"older"}


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PorterError, match=r"absent/file cannot be written: No such file or directory; name another"):
        replacing(tmp_path / "absent" / "file").__enter__()
    with (
        pytest.raises(PorterError, match=r"source: No such file or directory; .*/file was not written"),
        replacing(tmp_path / "file"),
    ):
        (tmp_path / "source").read_bytes()
    with pytest.raises(UnicodeEncodeError), replacing(tmp_path / "file") as file:
        file.write_text("half \udc00", encoding="utf-8")
    assert not names(tmp_path)


def test_a_folder_removed_before_it_was_locked_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock_in, removed = atomic._lock_in, []

    def slow(room: Path) -> Any:
        if not removed:  # another run comes by between the folder and its lock
            removed.append(room)
            with scratch(tmp_path):
                pass
            assert not room.exists()
        return lock_in(room)

    monkeypatch.setattr(atomic, "_lock_in", slow)
    with scratch(tmp_path) as room:
        assert removed
        assert (room.parent / "lock").is_file()
        assert names(tmp_path) == {room.parent.name}
        with scratch(tmp_path):
            assert room.is_dir()


def test_a_folder_that_another_writer_locked_first_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_in, taken = atomic._lock_in, []

    def slow(room: Path) -> Any:
        if not taken:
            taken.append(lock_in(room))
            taken[0].acquire()
        return lock_in(room)

    monkeypatch.setattr(atomic, "_lock_in", slow)
    with scratch(tmp_path) as room:
        assert names(tmp_path) == {room.parent.name, Path(taken[0].lock_file).parent.name}
        assert Path(taken[0].lock_file).parent != room.parent
    taken[0].release()
    with scratch(tmp_path) as room:
        assert names(tmp_path) == {room.parent.name}


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are still written whole, and no folder counts as a dead writer's."""
    import filelock

    def refuse(*_: Any, **_options: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    (tmp_path / ".porter-x.partial").mkdir()
    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with replacing(tmp_path / "file") as file:
        file.write_text("whole")
    assert names(tmp_path) == {"file", ".porter-x.partial"}


WITHOUT_FCNTL = """
import os, sys
sys.modules["fcntl"] = None
from pathlib import Path
from porter.files.atomic import replacing, scratch
"""


def without_fcntl(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT_FCNTL + code], capture_output=True, text=True, check=False)


def test_a_checkpoint_is_ported_without_fcntl(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    command = [SMALL, "--from", "tf", "--to", "torch", "--checkpoint", str(small), "--out", str(out)]
    done = without_fcntl(f"from porter.cli.main import main; main({command!r})")
    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path) == {out.name}
    assert check(out)


def test_leavings_are_removed_without_fcntl_too(tmp_path: Path) -> None:
    dead = f"with replacing(Path({str(tmp_path / 'dead')!r})) as path: path.write_text('half'); os._exit(9)"
    assert without_fcntl(dead).returncode == 9
    assert len(names(tmp_path)) == 1
    live = f"""
with scratch(Path({str(tmp_path)!r})) as room:
    with replacing(Path({str(tmp_path / "new")!r})) as path:
        path.write_text("whole")
        assert room.is_dir()
        print(len(list(Path({str(tmp_path)!r}).iterdir())))
"""
    done = without_fcntl(live)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")
    assert names(tmp_path) == {"new"}


def test_a_file_never_replaces_a_folder_or_a_device(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "kept.txt").write_text("kept")
    with pytest.raises(PorterError, match="folder is a folder: name a file to write"), replacing(folder) as path:
        path.write_text("new")
    assert (folder / "kept.txt").read_text() == "kept"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(PorterError, match="pipe is not a regular file"), replacing(pipe) as path:
        path.write_text("new")
    assert pipe.is_fifo()
    assert {entry.name for entry in tmp_path.iterdir()} == {"folder", "pipe"}
