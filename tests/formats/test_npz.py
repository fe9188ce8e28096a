""".npz files read as numpy wrote them; no pickle is executed, and claims take no memory."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porter import port
from porter.errors import FormatError, MappingError
from porter.formats.numpy.pickled import unpickle_arrays
from porter.formats.open import open_checkpoint

NOISE = np.random.default_rng(3)
DTYPES = ("f2", "f4", "f8", ">f4", ">i8", "i1", "u2", "i4", "u8", "?", "c8", "c16")
ARRAYS = {kind: (NOISE.standard_normal((2, 3, 4)) * 50).astype(kind) for kind in DTYPES}
ARRAYS |= {"scalar": np.float32(-0.0), "empty": np.zeros((0, 3)), "net/conv/weights": np.asfortranarray(ARRAYS["f4"])}


def assert_holds(path: Path, want: dict[str, np.ndarray]) -> None:
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == "numpy archive"
    assert set(checkpoint) == set(want)
    for name, value in want.items():
        native = np.asarray(value).astype(np.asarray(value).dtype.newbyteorder("="))
        got, entry = checkpoint[name], checkpoint.entries[name]
        assert (got.dtype, got.shape) == (entry.dtype, entry.shape) == (native.dtype, native.shape), name
        assert got.tobytes() == native.tobytes(), name


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_every_dtype_and_order(tmp_path: Path, write: Callable[..., None]) -> None:
    write(tmp_path / "a.npz", **ARRAYS)
    assert_holds(tmp_path / "a.npz", ARRAYS)
    with np.load(tmp_path / "a.npz") as judge:
        assert_holds(tmp_path / "a.npz", dict(judge))


def test_strings_and_records_are_asides(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=ARRAYS["f4"], words=np.array(["a", "b"]), rows=np.zeros(2, "i4,f4"))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("notes.txt", "trained on a Tuesday")
    checkpoint = open_checkpoint(tmp_path / "a.npz")
    assert set(checkpoint) == {"w"}
    assert checkpoint.asides["words"] == "string"
    assert checkpoint.asides["notes.txt"] == "no array"
    assert "tensor of dtype" in checkpoint.asides["rows"]


def row(*arrays: Any) -> np.ndarray:
    values = np.empty(len(arrays), object)
    values[:] = arrays
    return values


def write_pickled(path: Path, raw: bytes, **others: np.ndarray) -> Path:
    """Write an .npz with this pickle as ``values``."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    np.savez(path, **others)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("values.npy", buffer.getvalue() + raw)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_the_form_of_tensornets(tmp_path: Path, protocol: int) -> None:
    named = {"a/weights": ARRAYS["f4"], "a/biases": ARRAYS[">f4"][0], "b": np.asfortranarray(ARRAYS["f8"][0])}
    raw = pickle.dumps(row(*named.values()), protocol=protocol)
    names = np.array([f"{name}:0" for name in named])
    for kind in (names, names.astype("S")):
        assert_holds(write_pickled(tmp_path / "a.npz", raw, names=kind), named)


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    """numpy had other module names, and its strings were bytes."""
    array = np.float32([1, -2])
    raw = pickle.dumps(row(array), protocol=2)
    raw = raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    text = array.tobytes().decode("latin1").encode()
    as_text = b"h\x03X" + struct.pack("<I", len(text)) + text
    start = raw.index(as_text)
    end = raw.index(b"R", start + len(as_text)) + 1
    raw = raw[:start] + b"U" + bytes([array.nbytes]) + array.tobytes() + raw[end:]
    assert np.array_equal(pickle.loads(raw, encoding="bytes")[0], array)
    assert_holds(write_pickled(tmp_path / "a.npz", raw), {"values[0]": array})


def test_arrays_without_names_are_named_by_their_place_and_not_ported(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", values=row(ARRAYS["f4"], ARRAYS["f8"]))
    assert_holds(tmp_path / "a.npz", {"values[0]": ARRAYS["f4"], "values[1]": ARRAYS["f8"]})
    with pytest.raises(
        MappingError, match=r"has none of the tensors of mobilenet_v1_0.25_128 .*: the file holds another network"
    ):
        port("mobilenet_v1_0.25_128", "torch", "keras", checkpoint=tmp_path / "a.npz")


def test_an_npz_is_ported_by_its_names(tmp_path: Path) -> None:
    from helpers.checkpoints import seeded_variables

    variables = seeded_variables()
    np.savez(tmp_path / "a.npz", **variables)
    result = port("mobilenet_v1_0.25_128", "tf", "torch", checkpoint=tmp_path / "a.npz")
    stem = result.translation.entries["conv_stem.weight"].load()
    assert np.array_equal(stem, variables["MobilenetV1/Conv2d_0/weights"].transpose(3, 2, 0, 1))


class Executed:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.folder,)


def refused(path: Path, why: str) -> None:
    with pytest.raises(FormatError, match=why) as caught:
        dict(open_checkpoint(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_not_executed(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    raw = pickle.dumps([Executed(made)], protocol=protocol)
    refused(write_pickled(tmp_path / "a.npz", raw), r"which (porter does not run|no pickled array has)")
    assert not made.exists()


def test_what_is_no_row_of_arrays(tmp_path: Path) -> None:
    for value in ({"w": 1}, [np.float32([1])], "text", row("text"), row(row(np.float32([1])))):
        refused(write_pickled(tmp_path / "a.npz", pickle.dumps(value, protocol=4)), "its pickle (has|is)")
    refused(write_pickled(tmp_path / "a.npz", b"\x80\x04"), "its pickle is damaged")


def test_names_that_do_not_fit(tmp_path: Path) -> None:
    for names, why in (
        (np.array(["a", "b"]), "holds 1 arrays, but names.npy 2 names"),
        (np.zeros(1), "instead of a row of names"),
        (np.array([b"\xff"]), "not UTF-8"),
    ):
        np.savez(tmp_path / "a.npz", names=names, values=row(ARRAYS["f4"]))
        refused(tmp_path / "a.npz", why)
    np.savez(tmp_path / "a.npz", names=np.array(["a:0", "a"]), values=row(ARRAYS["f4"], ARRAYS["f4"]))
    refused(tmp_path / "a.npz", "a occurs twice")


ROW = pickle.dumps(row(np.float32([[1, 2], [3, 4]])), protocol=4)


def changed(old: bytes, new: bytes) -> bytes:
    assert ROW.count(old) == 1
    return ROW.replace(old, new)


CLAIMS = {
    "a shape of a terabyte": changed(b"K\x02K\x02\x86", b"K\x02\x8a\x05\0\0\0\0\x40\x86"),
    "a negative shape": changed(b"K\x02K\x02\x86", b"K\x02J\xff\xff\xff\xff\x86"),
    "too few bytes": changed(np.float32([1, 2, 3, 4]).tobytes(), np.float32([1, 2, 3]).tobytes() + b"\0\0\0\0")
    .replace(b"C\x10", b"C\x0f"),
    "a memo of a billion places": b"\x80\x02Nr\0\0\0\x40" + ROW[2:],
    "a byte array of a terabyte": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + ROW,
    "bytes of a terabyte": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + ROW,
}  # fmt: skip


@pytest.mark.parametrize("case", CLAIMS)
def test_claims_take_no_memory(tmp_path: Path, case: str) -> None:
    import tracemalloc

    path = write_pickled(tmp_path / "a.npz", CLAIMS[case])
    tracemalloc.start()
    refused(path, "a.npz: values cannot be read: .*; copy or download the checkpoint again$")
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


def test_text_that_is_repeated_is_not_unpacked(tmp_path: Path) -> None:
    """Protocol 2 keeps bytes as text, and a pickle can name the same text often."""
    array = np.zeros(1 << 20, np.uint8)
    one = pickle.dumps(row(array), protocol=2)
    arrays = unpickle_arrays(memoryview(one))
    assert isinstance(arrays[0].raw, object)
    assert not isinstance(arrays[0].raw, bytes)
    assert arrays[0].values().nbytes == array.nbytes


def header(shape: str, descr: str = "<f4", version: bytes = b"\1\0") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text


HEADERS = {
    "a shape of a terabyte": (header("(274877906944,)") + bytes(8), "has 8 bytes, but float32 of shape"),
    "a negative shape": (header("(-1,)") + bytes(8), "which no array can have"),
    "no shape": (header("None") + bytes(8), "does not begin like an array"),
    "a call for a shape": (header("__import__('os').getpid()") + bytes(8), "does not begin like an array"),
    "nested without end": (header("(" * 5000), "does not begin like an array"),
    "another version": (header("(2,)", version=b"\7\0") + bytes(8), "does not begin like an array|format"),
    "no header": (b"noise" * 10, "does not begin like an array"),
    "nothing": (b"", "does not begin like an array"),
    "too many bytes": (header("(1,)") + bytes(8), "has 8 bytes, but float32"),
    "an object": (header("(1,)", "|O") + bytes(8), "its pickle"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_hostile_header(tmp_path: Path, case: str) -> None:
    raw, why = HEADERS[case]
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("w.npy", raw)
    refused(tmp_path / "a.npz", why)


def test_a_flipped_bit_is_caught_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    large = NOISE.standard_normal(50_000)
    np.savez(path, a=ARRAYS["f4"], b=large)
    raw = bytearray(path.read_bytes())
    raw[bytes(raw).index(large.tobytes()) + large.nbytes - 5] ^= 4
    path.write_bytes(raw)
    checkpoint = open_checkpoint(path)
    assert np.array_equal(checkpoint["a"], ARRAYS["f4"])
    with pytest.raises(FormatError, match=r"b cannot be read: Bad CRC-32 for file 'b.npy'; copy or download"):
        checkpoint["b"]


def archive_of(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes], packed: bool = False) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else 0) as archive:
        warnings.simplefilter("ignore")  # a name twice
        for member, raw in members:
            archive.writestr(member, raw)
    return path


def test_members_that_nobody_should_trust(tmp_path: Path) -> None:
    good = ("w.npy", header("(1,)") + bytes(4))
    for name in ("../w.npy", "/etc/w.npy", "a/../../w.npy", "C:/w.npy", "..\\w.npy"):
        refused(archive_of(tmp_path / "a.npz", good, (name, good[1])), "lies outside the archive: do not trust it")
    link = zipfile.ZipInfo("link.npy")
    link.external_attr = 0o120777 << 16
    refused(archive_of(tmp_path / "a.npz", good, (link, b"/etc/passwd")), "'link.npy' is a link or a device")
    refused(archive_of(tmp_path / "a.npz", good, good), "'w.npy' occurs twice")


def test_an_archive_that_unpacks_without_end(tmp_path: Path) -> None:
    large = header("(268435456,)", "|u1") + bytes(1 << 28)
    refused(archive_of(tmp_path / "a.npz", ("w.npy", large), packed=True), r"claims to unpack from \d+ bytes to 2684")
