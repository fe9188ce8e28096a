"""A .pth's zip: its checksums are compared before anything is unpickled, and odd members are refused."""

from __future__ import annotations

import io
import os
import pickle
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porter.errors import FormatError
from porter.formats.open import open_checkpoint

torch = pytest.importorskip("torch")
STATE = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([1.5, -2.5])}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(STATE, tmp_path / "model.pth")
    return tmp_path / "model.pth"


def refused(path: Path, why: str) -> None:
    with pytest.raises(FormatError, match=why) as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_of_a_member_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        places = {member.filename: whole.index(archive.read(member)) for member in archive.infolist() if member.CRC}
        sizes = {member.filename: member.file_size for member in archive.infolist()}
    loads = []
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: loads.append(args))
    for name in ("model/data.pkl", "model/data/0", "model/data/1"):
        for at in range(places[name], places[name] + sizes[name], 3):
            raw = bytearray(whole)
            raw[at] ^= 1 << at % 8
            path.unlink()
            path.write_bytes(raw)
            refused(path, f"its member '{name}', at byte \\d+, does not match its CRC-32; copy or download it again")
    assert not loads, "nothing is unpickled before the checksums hold"


def rewrite(path: Path, change: Any = None, packed: bool = False, **more: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    members |= more
    path.unlink()
    how = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", how) as archive:
        warnings.simplefilter("ignore")
        for name, raw in members.items():
            archive.writestr(name, raw)
        for name, raw in change or ():
            archive.writestr(name, raw)


def test_members_that_pytorch_does_not_write(path: Path) -> None:
    rewrite(path)
    assert np.array_equal(open_checkpoint(path)["w"], STATE["w"].numpy())
    rewrite(path, change=[("model/data/0", b"")])
    refused(path, "'model/data/0' occurs twice: do not trust it")


def test_members_that_climb_out(path: Path) -> None:
    rewrite(path, change=[("../../climbed", b"")])
    refused(path, r"'../../climbed' lies outside the archive: do not trust it")


def test_packed_members(path: Path) -> None:
    rewrite(path, packed=True)
    refused(path, r"model/\S+ (is packed|claims to unpack)")


def test_an_encrypted_member(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    raw[start + 8] |= 1
    path.write_bytes(raw)
    refused(path, "is encrypted: do not trust it")


class Executed:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_call_is_named_and_not_run(tmp_path: Path, zipped: bool) -> None:
    torch.save({"w": Executed(tmp_path / "made")}, tmp_path / "m.pth", _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "m.pth", r"pickles a call of posix.mkdir, which porter does not run: save model.state_dict\(\)")
    assert not (tmp_path / "made").exists()


def test_a_tensor_larger_than_its_storage_is_not_unpacked(tmp_path: Path) -> None:
    """One stored value, and a shape of 32 GiB that repeats it."""
    huge = torch.ones(1, dtype=torch.bfloat16).expand(1 << 34)
    torch.save({"w": huge, "fine": STATE["w"]}, tmp_path / "m.pth")
    checkpoint = open_checkpoint(tmp_path / "m.pth")
    assert np.array_equal(checkpoint["fine"], STATE["w"].numpy())
    with pytest.raises(FormatError, match=r"m.pth: w repeats 2 stored bytes for the shape \(17179869184,\): save it"):
        checkpoint["w"]


def test_an_old_file_that_claims_a_terabyte(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    torch.save({"w": torch.zeros(200)}, path, _use_new_zipfile_serialization=False)
    raw = path.read_bytes()
    assert raw.count(b"K\xc8") == 2  # of the storage and of the shape
    path.write_bytes(raw.replace(b"K\xc8", b"\x8a\x06" + struct.pack("<Q", 1 << 40)[:6]))
    refused(path, "is damaged, or pickles more than tensors")


def test_a_pickle_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    buffer = io.BytesIO()
    pickle.dump({"w": [1, 2]}, buffer, protocol=2)
    path.write_bytes(buffer.getvalue())
    refused(path, "is a pickle, which may run code when it is opened: save its arrays with numpy.savez")
