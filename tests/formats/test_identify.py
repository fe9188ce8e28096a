"""identify tells what lies at a path by its bytes: renamed files keep their kind, and every reader is found."""

from __future__ import annotations

import bz2
import gzip
import importlib
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from google.protobuf import text_format
from safetensors.numpy import save_file
from tensorboard.compat.proto.meta_graph_pb2 import MetaGraphDef

from helpers import tables
from helpers.fuzz_readers import v1_pairs
from helpers.graphs import Maker
from porter import inspect
from porter.errors import FormatError, PorterError
from porter.files.seals import write_record
from porter.formats import signatures
from porter.formats.identify import FOLDERS, NOTHING, identify
from porter.formats.open import open_checkpoint
from porter.formats.signatures import KINDS, Kind, Peek
from porter.formats.tensorflow.events import write_graph_event

WEIGHTS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}


def graph() -> Any:
    make = Maker()
    make.conv("conv", make.placeholder("input", 1, 8, 8, 3), 3, 3, 3, 4)
    return make.graph


def saved_model() -> bytes:
    meta = MetaGraphDef(graph_def=graph())
    meta.meta_info_def.tags.append("serve")
    return tables.number(1, 1) + tables.message(2, meta.SerializeToString())


def write_zip(path: Path, *members: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, "{}")


def write_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **WEIGHTS)


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["layers/x/vars/0"] = WEIGHTS["w"]


def write_npy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, WEIGHTS["w"])


def write_tar(path: Path, *members: str) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            archive.addfile(tarfile.TarInfo(member))


def onnx_model() -> bytes:
    """Return the first fields of a ModelProto as tf2onnx writes them: ir_version, producer_name and _version, graph."""
    return tables.number(1, 7) + tables.message(2, b"tf2onnx") + tables.message(3, b"1.16") + tables.message(7, b"")


MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""What torch.save wrote first before PyTorch 1.6 (torch/serialization.py)."""

WRITERS: dict[str, Callable[[Path], object]] = {
    "TensorBoard event file": lambda path: write_graph_event(path, graph(), 1.0),
    "empty file": Path.touch,
    "TensorFlow V1 checkpoint": lambda path: path.write_bytes(tables.table(v1_pairs())),
    "TensorFlow V2 checkpoint": lambda path: path.write_bytes(
        tables.table([(b"", tables.header()), (b"w", tables.record(b"abcd", (1,)))])
    ),
    "safetensors": lambda path: save_file(WEIGHTS, path),
    "HDF5": write_hdf5,
    "zip archive": lambda path: path.write_bytes(b"PK\3\4 cut off"),
    "Keras archive": lambda path: write_zip(path, "metadata.json", "config.json", "model.weights.h5"),
    "numpy archive": write_npz,
    "PyTorch archive": lambda path: write_zip(path, "m/data.pkl", "m/config.json"),
    "zip of files": lambda path: write_zip(path, "release/model.ckpt.index"),
    "tar archive": lambda path: write_tar(path, "release/model.ckpt.index"),
    "gzipped file": lambda path: path.write_bytes(gzip.compress(b"PK\3\4 cut off")),
    "PyTorch pickles": lambda path: path.write_bytes(pickle.dumps(MAGIC_NUMBER, protocol=2)),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"w": WEIGHTS["w"]})),
    "numpy array": lambda path: write_npy(path),
    "compressed file": lambda path: path.write_bytes(bz2.compress(b"weights")),
    "Git LFS pointer": lambda path: path.write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 17036540\n"
    ),
    "web page": lambda path: path.write_text(
        "<!DOCTYPE html><html><head><title>Virus scan warning</title></head></html>"
    ),
    "TensorFlow Lite model": lambda path: path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(200)),
    "TensorFlow.js model": lambda path: path.write_text('{"format": "graph-model", "modelTopology": {"node": []}}'),
    "TensorFlow.js weights manifest": lambda path: path.write_text('[{"paths": ["a.bin"], "weights": []}]'),
    "ONNX model": lambda path: path.write_bytes(onnx_model()),
    "MATLAB file": lambda path: path.write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(128)),
    "text": lambda path: path.write_text("404: Not Found"),
    "TensorFlow checkpoint state": lambda path: path.write_text('model_checkpoint_path: "model.ckpt"\n'),
    "TensorFlow graph as text": lambda path: path.write_text(text_format.MessageToString(graph())),
    "gzipped TensorFlow graph": lambda path: path.write_bytes(gzip.compress(graph().SerializeToString())),
    "SavedModel's graph": lambda path: path.write_bytes(saved_model()),
    "TensorFlow graph": lambda path: path.write_bytes(graph().SerializeToString()),
    "porter's record": lambda path: write_record(path, {"model": "m"}, {"m.pth": "0" * 64}, {}),
    "safetensors header": lambda path: path.write_bytes((1 << 40).to_bytes(8, "little") + b'{"w"'),
    "unknown file": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
}
"""Files of every kind that shows in its bytes, by the kind's name."""


@pytest.mark.parametrize("suffix", ["", ".pb", ".safetensors", ".ckpt", ".json"])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_keeps_its_kind_under_any_name(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"some.file{suffix}"
    WRITERS[kind](path)
    found = identify(path)
    assert found.kind.name == kind
    assert (found.path, found.files) == (path, (path,))


def test_every_kind_is_written_here() -> None:
    by_name = {
        "TensorFlow data file",
        "TensorFlow index",
        "TensorFlow MetaGraphDef",
        "index of weights in several files",
        "TF-Hub module's mark",
    }
    assert {kind.name for kind in KINDS} == set(WRITERS) | by_name


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_a_reader_or_a_refusal(kind: Kind) -> None:
    if kind.reader:
        reader, _, name = kind.reader.partition(":")
        assert callable(getattr(importlib.import_module(f"porter.formats.{reader}"), name))
        assert not kind.refusal
    else:
        assert kind.holds == "pointer" or kind.refusal.count(":") == 1


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS if kind.refusal and kind.name in WRITERS])
def test_a_kind_without_tensors_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.pb"
    WRITERS[kind](path)
    with pytest.raises(FormatError, match=rf"^{path} (is|begins|ends|holds) [^:]*(: |')[^:]*"):
        open_checkpoint(path)


def test_names_that_tell_what_bytes_cannot(tmp_path: Path) -> None:
    for name, kind in {
        "model.ckpt.data-00000-of-00001": "TensorFlow data file",
        "model.ckpt.index": "TensorFlow index",
        "model.ckpt.meta": "TensorFlow MetaGraphDef",
        "tfhub_module.pb": "TF-Hub module's mark",
        "events.out.tfevents.1.host": "TensorBoard event file",
    }.items():
        (tmp_path / name).write_bytes(b"" if "tfevents" in name else b"\x12\0" if "meta" in name else b"?")
        assert identify(tmp_path / name).kind.name == kind


def test_a_prefix_and_shards_are_identified_with_their_files(tmp_path: Path) -> None:
    WRITERS["TensorFlow V2 checkpoint"](tmp_path / "model.ckpt.index")
    assert identify(tmp_path / "model.ckpt") == (
        tmp_path / "model.ckpt.index",
        signatures.BUNDLE,
        (tmp_path / "model.ckpt.index",),
    )
    shards = tuple(tmp_path / f"v1-0000{number}-of-00002" for number in range(2))
    for shard in shards:
        WRITERS["TensorFlow V1 checkpoint"](shard)
    for named in ("v1", "v1-00001-of-00002", "v1-?????-of-00002"):
        assert identify(tmp_path / named) == (tmp_path / "v1-?????-of-00002", signatures.V1, shards)
    shards[0].unlink()
    with pytest.raises(PorterError, match="some are missing"):
        identify(shards[1])
    assert identify(tmp_path / "absent") == (tmp_path / "absent", NOTHING, ())
    with pytest.raises(PorterError, match="cannot be read"):
        identify(tmp_path / ("o" * 300))


def test_folders_are_told_apart(tmp_path: Path) -> None:
    for name, file, kind in (
        ("logs", "deep/events.out.tfevents.1.host", "TensorBoard event file"),
        ("saved", "saved_model.pb", "SavedModel's graph"),
        ("ported", "config.json", "porter's record"),
        ("frozen", "graph.pb", "TensorFlow graph"),
        ("other", "weights.safetensors", "safetensors"),
    ):
        path = tmp_path / name / file
        path.parent.mkdir(parents=True)
        WRITERS[kind](path)
    kinds = {path.name: identify(path).kind.name for path in tmp_path.iterdir()}
    assert kinds == {
        "logs": "folder of event files",
        "saved": "TensorFlow SavedModel",
        "ported": "folder that porter wrote",
        "frozen": "folder of one graph",
        "other": "folder",
    }
    assert identify(tmp_path / "saved").files == (tmp_path / "saved/saved_model.pb",)
    assert len(FOLDERS) == 5  # a TF-Hub module too: tests/formats/test_hub_modules.py


def test_a_folder_of_one_graph_is_inspected_as_that_graph(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("trained on a Tuesday")
    WRITERS["TensorFlow graph"](tmp_path / "graph.pb")
    folder, file = inspect(tmp_path).as_dict(), inspect(tmp_path / "graph.pb").as_dict()
    assert (folder.pop("path"), file.pop("path")) == (str(tmp_path), str(tmp_path / "graph.pb"))
    assert folder == file


def test_one_record_adds_a_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    song = Kind("song", "nothing", lambda peek: peek.begins(b"ID3"), refusal="is a song: hum it")
    monkeypatch.setattr(signatures, "KINDS", (song, *KINDS))
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"ID3\4")
    assert identify(path).kind is song
    with pytest.raises(FormatError, match=f"^{path} is a song: hum it$"):
        open_checkpoint(path)


def test_a_peek_reads_no_more_than_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(b"head")
        file.truncate(1 << 40)
    peek = Peek(path)
    assert (peek.size, len(peek.head), len(peek.tail)) == (1 << 40, 4096, 128)
    assert identify(path).kind.name == "unknown file"
