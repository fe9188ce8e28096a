"""A file that is not what its name says is named for what it is, whichever way it is read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from helpers.checkpoints import SMALL, Saver
from helpers.graphs import Maker
from porter import inspect, port
from porter.catalog.goldens import recorded
from porter.errors import FormatError, PorterError
from porter.formats.identify import identify
from porter.formats.locate import resolve_path
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.source import read_graph
from porter.verbs.check import check

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 17036540\n"
STAND_INS = {
    "pointer": (POINTER, "is a Git LFS pointer instead of the file itself: run git lfs pull in its repository"),
    "page": (b"\n<!DOCTYPE html><html><title>Google Drive - Virus scan warning", "is a web page instead of the file"),
    "bucket's answer": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "is a web page instead of the file"),
    "nothing": (b"", "is empty: copy or download it again"),
}
"""What lies where a file should: huggingface/transformers#8497 and #13401, onnx/models#363, balancap/tf-imagenet#1."""


@pytest.mark.parametrize("name", ["m.pb", "m.pth", "m.h5", "m.safetensors", "m.keras", "m.npz", "m.ckpt", "m.tgz"])
@pytest.mark.parametrize("what", STAND_INS)
def test_what_a_failed_download_leaves(tmp_path: Path, what: str, name: str) -> None:
    contents, why = STAND_INS[what]
    path = tmp_path / name
    path.write_bytes(contents)
    for verb in (open_checkpoint, inspect, check, lambda path: open_checkpoint(path.parent)):
        with pytest.raises(FormatError) as told:
            verb(path)
        assert str(told.value).startswith(f"{path} {why}")


@pytest.mark.parametrize("what", [*STAND_INS, "a cut", "a cut behind the network", "another checkpoint's"])
def test_a_data_file_that_is_not_the_one_behind_its_index(save: Saver, small: Path, tmp_path: Path, what: str) -> None:
    """Every one of these was once ported silently, because nothing was written."""
    index, data = (tmp_path / f"m.ckpt{suffix}" for suffix in (".index", ".data-00000-of-00001"))
    for path in (index, data):
        shutil.copy(small.with_name(path.name.replace("m.ckpt", small.name)), path)
    whole = data.read_bytes()
    if what == "a cut behind the network":
        variables = {name: np.array(value) for name, value in open_checkpoint(tmp_path / "m.ckpt").items()}
        save(variables | {"zzz/Momentum": np.zeros(100, np.float32), "zzz": np.zeros(100, np.float32)}, "m.ckpt")
        whole = data.read_bytes()
    contents, why = STAND_INS.get(what, (whole[:-7], "is cut off: its last tensor ends at byte"))
    if what == "another checkpoint's":
        contents, why = whole[::-1], "does not match its checksum"
    data.write_bytes(contents)
    with pytest.raises(FormatError, match=rf"^{data}:? .*{why}"):
        port(SMALL, checkpoint=index, ignore=["zzz"] if what == "a cut behind the network" else [])
    assert not check(index)


@pytest.mark.parametrize("name", ["m.ckpt.data", "m.ckpt.data-00000-of-00001 (1)"])
def test_a_data_file_that_a_download_renamed(small: Path, tmp_path: Path, name: str) -> None:
    """imcaspar/gpt2-ml#29: model.ckpt-100000.data."""
    shutil.copy(f"{small}.index", tmp_path / "m.ckpt.index")
    shutil.copy(f"{small}.data-00000-of-00001", tmp_path / name)
    with pytest.raises(FormatError) as told:
        port(SMALL, checkpoint=tmp_path / "m.ckpt")
    missing = tmp_path / "m.ckpt.data-00000-of-00001"
    assert str(told.value) == f"{missing} is missing: rename {name} if that is the data file of m.ckpt.index"


def test_each_form_that_is_cut_is_refused_without_out(small: Path, tmp_path: Path) -> None:
    for target, name in (
        ("torch", "m.safetensors"),
        ("torch", "m.pth"),
        ("keras", "m.weights.h5"),
        ("keras", "m.keras"),
    ):
        path = tmp_path / name
        port(SMALL, target=target, checkpoint=small, out=path)
        for part in (0.999, 0.5, 0.01):
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
            with pytest.raises(FormatError, match=str(path)):
                port(SMALL, source=target, target="tf", checkpoint=path)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("gs://bucket/model.ckpt-1", r"is in a bucket, .*: copy it, as with gsutil cp 'gs://bucket/model.ckpt-1\*' ."),
        ("s3://bucket/model.ckpt", r"is in a bucket, .*: copy it, as with aws s3 "),
        ("https://example.org/x/model.ckpt", "is on another machine, and porter reads local files: download it"),
    ],
)
@pytest.mark.parametrize("verb", [open_checkpoint, inspect, check, identify, lambda path: port(SMALL, checkpoint=path)])
def test_addresses_are_no_paths(address: str, told: str, verb: Callable[[Any], object]) -> None:
    for given in (address, Path(address)):  # a Path joins the two slashes
        with pytest.raises(PorterError, match=rf"^{address} {told}"):
            verb(given)


def test_an_empty_path_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PorterError, match=r"^the path is empty: name a TensorFlow checkpoint, "):
        open_checkpoint("")


def test_a_folder_of_many_files_lists_names_like_the_missing_one(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"image_{number}.jpg").touch()
    (tmp_path / "model.ckpt-100.index").touch()
    with pytest.raises(PorterError) as told:
        resolve_path(tmp_path / "model.ckpt-10.index")
    assert str(told.value).endswith(f"; {tmp_path} holds\n  model.ckpt-100.index")


def test_a_checkpoint_without_a_name(tf: Any, tmp_path: Path) -> None:
    """tensorflow#13588: Saver.save(session, "dir/") writes dir/.index, dir/.data-00000-of-00001 and dir/.meta."""
    from porter.runners.tensorflow import read_variables

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("net/w", initializer=np.float32([[1, 2]]))
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, f"{tmp_path}/dir/")
    folder = tmp_path / "dir"
    for moved in (folder, folder.rename(tmp_path / "moved")):
        folder = moved if moved.is_dir() else folder
    for named in ("", ".index", ".data-00000-of-00001", ".meta", "checkpoint"):
        checkpoint = open_checkpoint(folder / named)
        assert np.array_equal(checkpoint["net/w"], [[1, 2]]), named
        assert checkpoint.opens_as == f"{folder}/"
    assert read_variables(str(checkpoint.opens_as), ["net/w"])["net/w"][0, 1] == 2
    assert len(checkpoint.files) == 2


ENCODINGS = {
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-8 with a mark and CRLF": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big-endian": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-16 and CRLF": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "UTF-32": lambda text: text.encode("utf-32"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_text_as_windows_writes_it(tmp_path: Path, encoding: str) -> None:
    """lutzroeder/netron#550: PowerShell's > writes UTF-16, Notepad a byte order mark."""
    make = Maker()
    make.conv("größe", make.placeholder("input", 1, 8, 8, 3), 3, 3, 3, 4)
    (tmp_path / "graph.pb").write_bytes(ENCODINGS[encoding](text_format.MessageToString(make.graph, as_utf8=True)))
    assert read_graph(tmp_path / "graph.pb").graph == make.graph
    state = ENCODINGS[encoding]('model_checkpoint_path: "model.ckpt"\n')
    (tmp_path / "checkpoint").write_bytes(state)
    (tmp_path / "model.ckpt").write_bytes(b"?")
    assert resolve_path(tmp_path / "checkpoint").path == tmp_path / "model.ckpt"


def test_damaged_utf16_is_refused(tmp_path: Path) -> None:
    raw = text_format.MessageToString(recorded(SMALL).load_graph()).encode("utf-16")
    (tmp_path / "graph.pbtxt").write_bytes(raw[:20_000] + b"\0\xdc" + raw[20_000:])
    with pytest.raises(FormatError, match=r"graph.pbtxt is not a whole graph in protobuf's text format"):
        inspect(tmp_path / "graph.pbtxt")


def test_a_file_may_have_any_name(small: Path, tmp_path: Path) -> None:
    """A .pth that is a safetensors file, a .safetensors that is HDF5, a .pb that is a checkpoint's index, and so on."""
    torch_names = ("a.pth", "b.h5", "c.pb", "d.keras", "checkpoint")
    port(SMALL, checkpoint=small, out=tmp_path / "m.safetensors")
    for name in torch_names:
        shutil.copy(tmp_path / "m.safetensors", tmp_path / name)
        assert len(port(SMALL, "torch", "tf", checkpoint=tmp_path / name).translation.entries) == 137
    port(SMALL, target="keras", checkpoint=small, out=tmp_path / "m.weights.h5")
    for name in ("e.safetensors", "f.ckpt", "g.npz"):
        shutil.copy(tmp_path / "m.weights.h5", tmp_path / name)
        assert len(port(SMALL, "keras", "tf", checkpoint=tmp_path / name).translation.entries) == 137


def test_porter_recognises_its_own_files(small: Path, tmp_path: Path) -> None:
    for target, name, where in (
        ("torch", "m.safetensors", "PyTorch, which timm shares"),
        ("torch", "m.pth", "PyTorch, which timm shares"),
        ("keras", "m.weights.h5", "Keras"),
        ("keras", "folder/", "Keras"),
    ):
        out = port(SMALL, target=target, checkpoint=small, out=f"{tmp_path}/{name}").out
        assert out is not None
        recognised = inspect(out).as_dict()["recognised"]
        assert recognised["models"] == (SMALL,)
        assert recognised["sentence"] == f"MobileNet V1 0.25 at 128, with the names of {where}, as porter wrote it"
