"""Archives of releases are read as they are, and hostile ones are refused before they write anything."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from helpers.checkpoints import SMALL, Saver
from porter import inspect, port, verify
from porter.catalog.goldens import recorded
from porter.errors import FormatError, PorterError
from porter.formats import archives
from porter.formats.input_digests import digest
from porter.formats.open import open_checkpoint
from porter.graph.foreign.open import read_source
from porter.graph.rewrite.freeze import freeze
from porter.graph.rewrite.prune import prune

WEIGHTS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}


def pack(path: Path, files: dict[str, Path], mode: str = "w:gz") -> Path:
    """Write a .zip, or a tar archive in tarfile's ``mode``, of ``files`` by their names inside it."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, file in files.items():
                archive.write(file, name)
    else:
        with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
            for name, file in files.items():
                tar.add(file, name)
    return path


@pytest.fixture(scope="module")
def release(small: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of a release, by their names in its archive."""
    notes = tmp_path_factory.mktemp("release") / "info.txt"
    notes.write_text("Model: mobilenet_v1_0.25_128\n")
    files = {f"release/{file.name}": file for file in small.parent.glob("s.ckpt*")}
    return {"release/info.txt": notes, **files, "__MACOSX/release/._s.ckpt.index": notes}


@pytest.mark.parametrize(
    ("name", "mode"), [("m.tgz", "w:gz"), ("m.tar.gz", "w:gz"), ("m.tar", "w"), ("m.zip", ""), ("renamed", "w:gz")]
)
def test_a_release_is_ported_as_it_is(
    release: dict[str, Path], small: Path, tmp_path: Path, name: str, mode: str
) -> None:
    path = pack(tmp_path / name, release, mode)
    result, plain = port(SMALL, checkpoint=path), port(SMALL, checkpoint=small)
    assert result.checkpoint.path == path / "release/s.ckpt"
    assert result.digests == {path: digest(path)}
    for tensor, entry in plain.translation.entries.items():
        assert np.array_equal(result.translation.entries[tensor].load(), entry.load()), tensor
    assert port(SMALL, checkpoint=path / "release/s.ckpt", expect_sha256=[digest(path)])
    recognised = inspect(path).as_dict()["recognised"]
    assert SMALL in recognised["models"]
    assert f"--checkpoint {path}/release/s.ckpt " in recognised["command"]


def test_a_release_is_verified_by_tensorflows_own_reader(tf: Any, release: dict[str, Path], tmp_path: Path) -> None:
    found = verify(SMALL, pack(tmp_path / "m.tgz", release))
    assert found, str(found.ports)
    assert "filled by its own reader of s.ckpt" in found.reference


def test_a_frozen_graph_in_an_archive_runs_itself(tf: Any, small: Path, tmp_path: Path) -> None:
    found = recorded(SMALL)
    graph = prune(found.load_graph(), ["MobilenetV1/Predictions/Reshape_1"], found.graph)
    frozen = freeze(graph, dict(open_checkpoint(small)))
    (tmp_path / "m.pb").write_bytes(frozen.SerializeToString())
    path = pack(tmp_path / "m.zip", {"m/frozen.pb": tmp_path / "m.pb"})
    verified = verify(SMALL, path)
    assert verified, str(verified.ports)
    assert "running frozen.pb itself" in verified.reference


def test_several_checkpoints_are_listed_and_one_is_chosen(tmp_path: Path) -> None:
    files = {}
    for name in ("a", "b"):
        save_file({"w": WEIGHTS["w"] + ord(name)}, tmp_path / f"{name}.safetensors")
        files[f"{name}/{name}.safetensors"] = tmp_path / f"{name}.safetensors"
    path = pack(tmp_path / "both.zip", files)
    with pytest.raises(PorterError) as told:
        open_checkpoint(path)
    inside = [f"{path}/a/a.safetensors", f"{path}/b/b.safetensors"]
    assert str(told.value).split("\n  ") == [f"{path} holds several checkpoints: name one of them", *inside]
    assert open_checkpoint(inside[1])["w"][0, 0] == ord("b")
    assert open_checkpoint(path / "a")["w"][0, 0] == ord("a")
    with pytest.raises(
        PorterError, match=rf"^{path}/c does not exist, nor does c.index: name .*; {path} holds\n  a\n  b$"
    ):
        open_checkpoint(path / "c")


def test_the_topmost_checkpoint_and_its_best_form_are_taken(save: Saver, tmp_path: Path) -> None:
    """An object detection release: checkpoint, frozen graph and SavedModel."""
    prefix = save(WEIGHTS)
    junk = tmp_path / "other"
    junk.write_bytes(b"\n\x05\n\x01a\x12\x00")
    names = [f"ssd/model.ckpt{suffix}" for suffix in (".index", ".data-00000-of-00001")]
    files = {name: tmp_path / Path(name).name for name in names}
    path = pack(tmp_path / "ssd.tar.gz", {**files, "ssd/frozen.pb": junk, "ssd/saved_model/saved_model.pb": junk})
    opened = open_checkpoint(path)
    assert opened.path == path / "ssd" / prefix.name
    assert np.array_equal(opened["w"], WEIGHTS["w"])


def test_one_gzipped_file(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "w.safetensors")
    path = tmp_path / "w.safetensors.gz"
    path.write_bytes(gzip.compress((tmp_path / "w.safetensors").read_bytes()))
    assert np.array_equal(open_checkpoint(path)["w"], WEIGHTS["w"])


def test_errors_name_the_archive_and_not_the_folder_that_it_was_unpacked_into(
    release: dict[str, Path], tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    (data,) = (name for name in release if "data" in name)
    cut.write_bytes(release[data].read_bytes()[:1000])
    path = pack(tmp_path / "m.zip", {**release, data: cut})
    with pytest.raises(
        FormatError, match=rf"^{path}/{data} is cut off: its last tensor ends at byte \d+, the file at 1000;"
    ):
        port(SMALL, checkpoint=path)


# ---- hostile and damaged archives


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for info, contents in members:
            tar.addfile(info, io.BytesIO(contents))
    return path


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


def zip_bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):  # each may be this large alone
            archive.writestr(f"{number}.ckpt", bytes(archives._ROOM - 1))
    return path


def cut(path: Path) -> Path:
    path.write_bytes(tar_of(path, (info("m", size=9), b"w" * 9)).read_bytes()[:60])
    return path


def long_header(path: Path) -> Path:
    """Write a tar archive whose extended header claims, and holds, more than the archive may unpack to."""
    size = 3 * archives._ROOM
    header = info("pax", tarfile.XHDTYPE, size=size).tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(gzip.compress(header + bytes(size), 1))
    return path


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "climbs": (lambda path: tar_of(path, (info("../m.ckpt"), b"")), "'../m.ckpt' points outside the folder"),
    "absolute": (lambda path: tar_of(path, (info("/tmp/m.ckpt"), b"")), "'/tmp/m.ckpt' points outside the folder"),
    "link": (lambda path: tar_of(path, (info("m.ckpt", tarfile.SYMTYPE, "/etc/passwd"), b"")), "is a link or a device"),
    "twice": (lambda path: tar_of(path, (info("m"), b""), (info("m"), b"")), "'m' occurs twice"),
    "bomb": (lambda path: tar_of(path, (info("m", size=1 << 21), bytes(1 << 21))), "unpacks to over 1,048,576 bytes"),
    "long header": (long_header, "a header claims 3,145,728 bytes"),
    "gzip bomb": (lambda path: path.write_bytes(gzip.compress(bytes(1 << 22), 1)) and path, "unpacks to over"),
    "zip bomb": (zip_bomb, "unpacks to over 1,048,576 bytes, which weights never do: do not trust it"),
    "cut": (cut, "is not a whole archive"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(archives, "_ROOM", 1 << 20)
    (tmp_path / "tmp").mkdir()
    write, why = HOSTILE[case]
    path = write(tmp_path / "m.tgz")
    with pytest.raises(FormatError, match=why) as told:
        open_checkpoint(path)
    assert str(told.value).startswith(str(path))
    assert not list((tmp_path / "tmp").iterdir())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.tgz", "tmp"]


def test_what_was_unpacked_is_removed_when_the_process_ends(release: dict[str, Path], tmp_path: Path) -> None:
    path, room = pack(tmp_path / "m.tgz", release), tmp_path / "tmp"
    room.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from porter.formats.open import open_checkpoint\n"
        "assert len(dict(open_checkpoint(sys.argv[1]))) == 137 and len(dict(open_checkpoint(sys.argv[1]))) == 137\n"
        "print(len(list(Path(os.environ['TMPDIR']).iterdir())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env={**os.environ, "TMPDIR": str(room)}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("1\n", "")
    assert not list(room.iterdir())


def test_what_is_read_stays_when_something_else_in_the_archive_cannot_be_read(
    release: dict[str, Path], tmp_path: Path
) -> None:
    """Tensors are read only when they are needed, perhaps after porter looked for a graph beside them."""
    archive = pack(tmp_path / "release.tgz", release)
    checkpoint = open_checkpoint(archive)
    (name, *_) = checkpoint
    with pytest.raises(PorterError, match="holds no single graph"):
        read_source(archive)
    with pytest.raises(PorterError):
        open_checkpoint(archive / "absent.ckpt")
    assert checkpoint[name].size
