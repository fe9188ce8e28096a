"""open_checkpoint resolves a path and reads files by their bytes; every error is one sentence."""

from __future__ import annotations

import os
import random
import re
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from helpers.checkpoints import Saver
from porter.errors import FormatError, PorterError
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint

TENSORS = {"conv/weights": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.asarray(41, np.int64)}
FORMATS = (
    "name a TensorFlow checkpoint, a frozen graph, a SavedModel, a .safetensors, .pth, .npz, .keras, .h5 or .tflite "
    "file, or TensorFlow.js' model.json"
)

NO_FORMAT = "which is none of the formats that porter reads"


def assert_holds(checkpoint: Checkpoint, tensors: dict[str, np.ndarray]) -> None:
    assert set(checkpoint) == set(tensors)
    for name, value in tensors.items():
        entry, got = checkpoint.entries[name], checkpoint[name]
        assert (entry.shape, entry.dtype) == (got.shape, got.dtype) == (value.shape, value.dtype), name
        assert got.tobytes() == value.tobytes(), name


def complaint(path: Path, kind: type[PorterError] = FormatError) -> str:
    """Return the error for ``path``: one sentence that names it, and at most a list below."""
    with pytest.raises(PorterError) as caught:
        open_checkpoint(path)
    assert type(caught.value) is kind
    sentence, *lines = str(caught.value).split("\n")
    assert str(path) in sentence
    assert not re.search(r"[.!?]( +[A-Z]|$)", sentence)
    assert re.search(r"[:;] (name|copy|save|give)|, copy", sentence), "nothing to do next"
    assert all(line.startswith("  ") for line in lines)
    return str(caught.value)


def write_state(tf: Any, folder: Path, prefix: str) -> Path:
    tf.compat.v1.train.update_checkpoint_state(str(folder), prefix)
    return folder / "checkpoint"


@pytest.mark.parametrize(
    "named", ["model.ckpt", "model.ckpt.index", "model.ckpt.data-00000-of-00001", "checkpoint", ""]
)
def test_a_checkpoint_by_any_of_its_names(tf: Any, save: Saver, tmp_path: Path, named: str) -> None:
    prefix = save(TENSORS)
    write_state(tf, tmp_path, str(prefix))
    for path in (tmp_path / named, str(tmp_path / named)):
        checkpoint = open_checkpoint(path)
        assert checkpoint.format == "TensorFlow V2 checkpoint"
        assert checkpoint.path == prefix
        assert_holds(checkpoint, TENSORS)


def test_a_relative_path(save: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(TENSORS, "model.ckpt-1000")
    monkeypatch.chdir(tmp_path)
    for path in ("model.ckpt-1000", "./model.ckpt-1000.index", "."):
        assert_holds(open_checkpoint(path), TENSORS)


def test_a_folder_without_a_state_file(save: Saver) -> None:
    prefix = save(TENSORS, "alone/model.ckpt-7")
    assert_holds(open_checkpoint(prefix.parent), TENSORS)


@pytest.mark.parametrize("named", ["checkpoint", ""])
def test_the_state_file_chooses_among_several(tf: Any, save: Saver, tmp_path: Path, named: str) -> None:
    save({"other": np.float32([1])}, "model.ckpt-1")
    latest = save(TENSORS, "model.ckpt-2")
    write_state(tf, tmp_path, "model.ckpt-2")
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(latest)
    assert_holds(open_checkpoint(tmp_path / named), TENSORS)


@pytest.mark.parametrize(
    "stale", ["/home/someone/train/model.ckpt", r"C:\train\model.ckpt", r"\\server\train\model.ckpt"]
)
def test_a_state_file_from_another_machine(tf: Any, save: Saver, tmp_path: Path, stale: str) -> None:
    save(TENSORS)
    assert_holds(open_checkpoint(write_state(tf, tmp_path, stale)), TENSORS)


@pytest.mark.parametrize("octal", [False, True], ids=["TensorFlow now", "TensorFlow 1"])
def test_a_state_file_with_escapes(tf: Any, save: Saver, tmp_path: Path, octal: bool) -> None:
    name = 'modèle "a" 2.ckpt'
    save(TENSORS, name)
    state = write_state(tf, tmp_path, name)
    if octal:
        state.write_bytes(b'model_checkpoint_path: "mod\\303\\250le \\"a\\" 2.ckpt"\n')
    assert tf.train.get_checkpoint_state(str(tmp_path)).model_checkpoint_path == str(tmp_path / name)
    assert_holds(open_checkpoint(state), TENSORS)


def write_bundle(tf: Any, path: Path) -> None:
    """Write a checkpoint whose index is ``path``."""
    prefix = path.with_suffix("")
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=list(TENSORS), shape_and_slices=["", ""], tensors=list(TENSORS.values())
    )
    prefix.with_name(f"{prefix.name}.index").rename(path)


def write_frozen(tf: Any, path: Path) -> None:
    with tf.Graph().as_default() as graph:
        for name, value in TENSORS.items():
            tf.identity(tf.constant(value, name=name), name=f"{name}/read")
    path.write_bytes(graph.as_graph_def().SerializeToString())


def write_safetensors(_: Any, path: Path) -> None:
    save_file(TENSORS, path)


def write_pth(_: Any, path: Path) -> None:
    torch.save({name: torch.from_numpy(np.array(value)) for name, value in TENSORS.items()}, path)


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "TensorFlow V2 checkpoint": write_bundle,
    "TensorFlow frozen graph": write_frozen,
    "safetensors": write_safetensors,
    "PyTorch state dict": write_pth,
}


@pytest.mark.parametrize("suffix", [".index", ".pb", ".safetensors", ".pth", ".bin", ".ckpt"])
@pytest.mark.parametrize("form", WRITERS)
def test_the_bytes_decide_and_not_the_suffix(tf: Any, tmp_path: Path, form: str, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    WRITERS[form](tf, path)
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == form
    assert_holds(checkpoint, TENSORS)


@pytest.mark.parametrize("suffix", [".index", ".pb", ".safetensors", ".pth"])
def test_a_folder_of_one_file(tf: Any, tmp_path: Path, suffix: str) -> None:
    writers = dict(zip((".index", ".pb", ".safetensors", ".pth"), WRITERS.values(), strict=True))
    writers[suffix](tf, tmp_path / f"weights{suffix}")
    (tmp_path / "notes.txt").write_text("trained on a Tuesday")
    assert_holds(open_checkpoint(tmp_path), TENSORS)


def test_a_path_that_does_not_exist(save: Saver, tmp_path: Path) -> None:
    save(TENSORS)
    told = complaint(tmp_path / "modell.ckpt", PorterError)
    assert "modell.ckpt does not exist, nor does modell.ckpt.index" in told
    assert FORMATS in told
    assert told.endswith(f"{tmp_path} holds\n  model.ckpt.data-00000-of-00001\n  model.ckpt.index")


@pytest.mark.parametrize("named", ["gone/model.ckpt", "gone/deeper/model.ckpt", "a\0b"])
def test_a_folder_that_does_not_exist(tmp_path: Path, named: str) -> None:
    told = complaint(tmp_path / named, PorterError)
    assert "does not exist" in told
    assert FORMATS in told


@pytest.mark.parametrize("suffix", [".index", ".pb", ".safetensors", ".pth"])
def test_a_folder_of_two_checkpoints_lists_them(tmp_path: Path, suffix: str) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}{suffix}").touch()
    told = complaint(tmp_path, PorterError)
    assert told == f"{tmp_path} holds several checkpoints: name one of them\n  a{suffix}\n  b{suffix}"


def test_an_empty_folder(tmp_path: Path) -> None:
    assert complaint(tmp_path, PorterError) == f"{tmp_path} holds no checkpoint: {FORMATS}"


@pytest.mark.parametrize("named", ["weights.index", "weights.pb", "weights.safetensors", "weights.pth", "weights"])
def test_an_empty_file(tmp_path: Path, named: str) -> None:
    (tmp_path / named).touch()
    assert "is empty: copy or download it again" in complaint(tmp_path / named)


@pytest.mark.parametrize("named", ["weights.pb", "weights.pth", "checkpoint"])
def test_a_picture(tmp_path: Path, named: str) -> None:
    path = tmp_path / named
    path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100))
    assert complaint(path).endswith(
        f"begins with 89 50 4e 47, which is none of the formats that porter reads: {FORMATS}"
    )


def test_an_index_whose_end_is_cut(save: Saver) -> None:
    index = Path(f"{save(TENSORS)}.index")
    index.write_bytes(index.read_bytes()[:-3])
    assert "so it is cut off: copy or download it again" in complaint(index)


def test_a_shard_is_known_by_its_name_and_needs_its_index(tmp_path: Path) -> None:
    shard = tmp_path / "model.ckpt.data-00000-of-00001"
    save_file(TENSORS, shard)
    told = complaint(shard, PorterError)
    assert f"{tmp_path / 'model.ckpt.index'} does not exist: it is the index of {shard}, copy it beside it" in told


@pytest.mark.parametrize("prefix", ["model.ckpt-9", "/elsewhere/model.ckpt-9", ""], ids=["relative", "stale", "empty"])
def test_a_state_file_that_names_nothing_here(
    tf: Any, save: Saver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    save(TENSORS)
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{prefix}"\n')
    for path in (tmp_path / "checkpoint", Path("checkpoint")):
        monkeypatch.chdir(tmp_path)
        told = complaint(path, PorterError)
        assert f"names {prefix}, but {prefix.split('/')[-1]}.index does not exist: name the checkpoint itself" in told


def damage(whole: bytes, seed: int) -> list[bytes]:
    """Return the file cut at 60 places, and with one bit flipped at up to 4000."""
    noise = random.Random(seed)
    cut = [whole[:size] for size in noise.sample(range(len(whole)), 60)]
    flipped = []
    for bit in noise.sample(range(8 * len(whole)), min(8 * len(whole), 4000)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        flipped.append(bytes(damaged))
    return cut + flipped


@pytest.mark.parametrize("form", WRITERS)
def test_a_damaged_file_raises_nothing_but_porters_errors(tf: Any, tmp_path: Path, form: str) -> None:
    path = tmp_path / "weights.file"
    WRITERS[form](tf, path)
    refused = 0
    for raw in damage(path.read_bytes(), seed=11):
        path.unlink()
        path.write_bytes(raw)
        try:
            checkpoint = open_checkpoint(path)
            for name in checkpoint:
                checkpoint[name]
        except PorterError:
            refused += 1
    assert refused > 60


def test_a_name_that_is_too_long_for_any_file(tmp_path: Path) -> None:
    long = "o" * 300
    assert "cannot be read (File name too long)" in complaint(tmp_path / long, PorterError)
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{long}"\n')
    assert f"names {long}, but {long}.index does not exist" in complaint(tmp_path / "checkpoint", PorterError)


def test_an_escape_that_is_no_number(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model\\9\\777"\n')
    assert "names model9\ufffd, but" in complaint(tmp_path / "checkpoint", PorterError)


def test_every_dtype_of_safetensors(tmp_path: Path) -> None:
    noise = np.random.default_rng(5)
    kinds = ["f2", "f4", "f8", "?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
    tensors = {kind: (noise.standard_normal((2, 3)) * 50).astype(kind) for kind in kinds}
    tensors |= {"scalar": np.asarray(-0.0, np.float32), "empty": np.zeros((0, 3), np.int64)}
    tensors["nan"] = np.array([0x7F800001, 0xFFC12345], np.uint32).view(np.float32)
    path = tmp_path / "weights.safetensors"
    save_file(tensors, path)
    assert_holds(open_checkpoint(path), load_file(path))
    assert_holds(open_checkpoint(path), tensors)


def test_bfloat16_of_safetensors_widens(tmp_path: Path) -> None:
    from safetensors.torch import save_file as save_torch

    bits = torch.tensor([[0x7FC1, 0x7F81, -0x8000], [0x3F80, 1, -1]], dtype=torch.int16)
    tensors = {"w": bits.view(torch.bfloat16), "scalar": torch.tensor(1.5, dtype=torch.bfloat16)}
    tensors |= {"empty": torch.zeros(0, 2, dtype=torch.bfloat16), "plain": torch.ones(3)}
    path = tmp_path / "weights.safetensors"
    save_torch(tensors, path)
    want = {name: tensor.float().numpy() for name, tensor in tensors.items()}
    want["w"] = (bits.numpy().view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    assert_holds(open_checkpoint(path), want)


def test_every_dtype_of_pytorch(tmp_path: Path) -> None:
    kinds = ["float16", "float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "complex64"]
    noise = torch.randn(3, 4, generator=torch.Generator().manual_seed(1)) * 50
    state = {kind: noise.to(getattr(torch, kind)) for kind in kinds}
    state |= {f"{kind}/empty": torch.zeros(0, 2, dtype=getattr(torch, kind)) for kind in kinds}
    state |= {"scalar": torch.tensor(-0.0), "turned": noise.T, "slice": noise[1:, ::2]}
    want = {name: tensor.numpy() for name, tensor in state.items()}
    bits = torch.tensor([0x7FC1, -0x8000, 0x3F80], dtype=torch.int16)
    state |= {"bfloat16": bits.view(torch.bfloat16), "bfloat16/empty": torch.zeros(0, 1, dtype=torch.bfloat16)}
    want |= {"bfloat16": np.array([0x7FC10000, 0x80000000, 0x3F800000], np.uint32).view(np.float32)}
    want |= {"bfloat16/empty": np.zeros((0, 1), np.float32)}
    state["parameter"] = torch.nn.Parameter(noise)
    want["parameter"] = noise.numpy()
    state["conjugate"] = state["complex64"].conj()
    want["conjugate"] = want["complex64"].conj()
    torch.save(state, tmp_path / "weights.pth")
    assert_holds(open_checkpoint(tmp_path / "weights.pth"), want)


@pytest.mark.parametrize(
    ("tensor", "role"),
    [
        (torch.eye(3).to_sparse(), "tensor that is sparse_coo"),
        (torch.zeros(2).to(torch.float8_e5m2), "tensor of dtype float8_e5m2"),
        (torch.zeros(2, device="meta"), "tensor that is meta"),
    ],
    ids=["sparse", "float8", "meta"],
)
def test_a_tensor_that_numpy_cannot_hold_is_an_aside(tmp_path: Path, tensor: torch.Tensor, role: str) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"fine": torch.zeros(2), "odd": tensor}, path)
    checkpoint = open_checkpoint(path)
    assert_holds(checkpoint, {"fine": np.zeros(2, np.float32)})
    assert checkpoint.asides == {"odd": role}
    with pytest.raises(FormatError, match=f"odd is stored as {role}, which porter does not read yet: save it as"):
        checkpoint["odd"]


def test_the_pickles_of_pytorch_before_1_6(tmp_path: Path) -> None:
    path, made = tmp_path / "weights.pth", tmp_path / "made"
    torch.save({"w": torch.arange(6).reshape(2, 3)}, path, _use_new_zipfile_serialization=False)
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert_holds(open_checkpoint(path), {"w": np.arange(6).reshape(2, 3)})
    torch.save({"w": torch.zeros(2), "more": Executed(made)}, path, _use_new_zipfile_serialization=False)
    assert "which porter does not run" in complaint(path)
    assert not made.exists()


class Executed:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def test_a_pth_is_not_executed(tmp_path: Path) -> None:
    path, made = tmp_path / "weights.pth", tmp_path / "made"
    torch.save({"weights": torch.zeros(2), "more": Executed(made)}, path)
    told = complaint(path)
    assert "which porter does not run" in told
    assert "weights_only" not in told
    assert not made.exists()
    torch.load(path, weights_only=False)
    assert made.exists(), "the file is harmless, so that this test proves nothing"


@pytest.mark.parametrize(
    "held",
    [[torch.zeros(2)], torch.zeros(2), {"state_dict": {"w": [1.0]}}, {0: torch.zeros(2)}, {"epoch": 3}],
    ids=["a list", "a tensor", "no tensors", "numbered tensors", "a number"],
)
def test_a_pth_that_is_no_state_dict(tmp_path: Path, held: Any) -> None:
    path = tmp_path / "weights.pth"
    torch.save(held, path)
    assert "does not hold a state dict, tensors by name: save model.state_dict()" in complaint(path)


def test_a_pickled_module_and_torchscript_are_refused_without_unsafe_advice(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    assert "weights_only" not in complaint(path)
    torch.jit.script(torch.nn.Linear(2, 2)).save(path)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert "weights_only" not in complaint(path)
    assert not heard


def test_a_zip_that_is_not_pytorchs(tmp_path: Path) -> None:
    path = tmp_path / "weights.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/notes.txt", "no weights")
    told = complaint(path, PorterError)
    assert (
        told == f"{path} holds no checkpoint that porter reads: name another file; it holds\n  {path}/weights/notes.txt"
    )


def test_a_safetensors_file_that_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(TENSORS, path)
    path.write_bytes(path.read_bytes()[:-1])
    assert "copy or download it again" in complaint(path)


def test_a_dtype_of_safetensors_that_numpy_lacks_is_an_aside(tmp_path: Path) -> None:
    from safetensors.torch import save_file as save_torch

    path = tmp_path / "weights.safetensors"
    save_torch({"w": torch.zeros(2, dtype=torch.float8_e5m2), "v": torch.ones(1)}, path)
    checkpoint = open_checkpoint(path)
    assert_holds(checkpoint, {"v": np.ones(1, np.float32)})
    assert checkpoint.asides == {"w": "tensor of dtype F8_E5M2"}


def test_a_moved_checkpoint_is_read_where_it_is(tf: Any, save: Saver, tmp_path: Path) -> None:
    prefix = save(TENSORS, "before/model.ckpt")
    write_state(tf, prefix.parent, str(prefix))
    shutil.move(prefix.parent, tmp_path / "after")
    assert_holds(open_checkpoint(tmp_path / "after"), TENSORS)
