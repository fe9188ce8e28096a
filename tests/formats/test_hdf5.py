"""Untrusted HDF5 files of Keras: links, external values and claims are refused, and nothing is deserialized."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from porter.errors import FormatError
from porter.formats.keras.heaps import claimed_by_texts
from porter.formats.open import open_checkpoint

KERNEL = np.arange(36, dtype=np.float32).reshape(3, 3, 2, 2)


def numbered(file: h5py.File, fill: Callable[[h5py.Group], None]) -> None:
    """Write ``file`` in the layout of Keras 3, with one layer whose kernel ``fill`` writes."""
    stored = file.create_group("layers/conv2d/vars")
    stored.attrs["name"] = "conv1"
    fill(stored)


def legacy(file: h5py.File, fill: Callable[[h5py.Group], None]) -> None:
    """Write ``file`` in the layout of Keras 2."""
    file.attrs["layer_names"] = [b"conv1"]
    file.create_group("conv1").attrs["weight_names"] = [b"conv1/0"]
    fill(file["conv1"].create_group("conv1"))


LAYOUTS = {"numbered": numbered, "legacy": legacy}


def write(path: Path, layout: str, fill: Callable[[h5py.Group], None]) -> Path:
    with h5py.File(path, "w") as file:
        LAYOUTS[layout](file, fill)
    return path


def whole(group: h5py.Group) -> None:
    group["0"] = KERNEL


def other_file(folder: Path) -> Path:
    """Write a file of the same kernel, and one of its values alone."""
    with h5py.File(folder / "secret.h5", "w") as file:
        file["kernel"] = KERNEL
    (folder / "secret.raw").write_bytes(KERNEL.tobytes())
    return folder


def virtual(group: h5py.Group, folder: Path) -> None:
    layout = h5py.VirtualLayout(KERNEL.shape, KERNEL.dtype)
    layout[...] = h5py.VirtualSource(folder / "secret.h5", "kernel", KERNEL.shape)
    group.create_virtual_dataset("0", layout)


def external(group: h5py.Group, folder: Path) -> None:
    place = [(str(folder / "secret.raw"), 0, KERNEL.nbytes)]
    group.create_dataset("0", KERNEL.shape, KERNEL.dtype, external=place)


def link(group: h5py.Group, folder: Path) -> None:
    group["0"] = h5py.ExternalLink(folder / "secret.h5", "kernel")


def soft_link(group: h5py.Group, folder: Path) -> None:
    group["0"] = h5py.SoftLink("/elsewhere")


def linked_group(group: h5py.Group, folder: Path) -> None:
    parent, name = group.parent, group.name.rsplit("/", 1)[-1]
    del parent[name]
    parent[name] = h5py.ExternalLink(folder / "secret.h5", "/")


def terabytes(group: h5py.Group, folder: Path) -> None:
    group.create_dataset("0", (1 << 38,), "f4", chunks=(1 << 20,), compression="gzip")


def unwritten(group: h5py.Group, folder: Path) -> None:
    group.create_dataset("0", (1 << 38,), "f4")


def compressed(group: h5py.Group, folder: Path) -> None:
    group.create_dataset("0", data=np.zeros(1 << 25, "f4"), chunks=(1 << 22,), compression="gzip")


def words(group: h5py.Group, folder: Path) -> None:
    group["0"] = "words"


HOSTILE = {
    "a virtual dataset": (virtual, "is a virtual dataset with its values in other files"),
    "external storage": (external, r"its values lie in another file, .*secret.raw, which porter does not open"),
    "an external link": (link, r"/0 is a link to .*secret.h5, which porter does not follow: save the model again"),
    "a soft link": (soft_link, "/0 is a link, which porter does not follow: save the model again"),
    "a linked group": (linked_group, r"is a link to .*secret.h5, which porter does not follow"),
    "terabytes in chunks": (terabytes, "claims 1099511627776 bytes, but the file stores 0"),
    "terabytes never written": (unwritten, "claims 1099511627776 bytes, but the file stores 0"),
    "a packed bomb": (compressed, r"claims 134217728 bytes, but the file stores \d+"),
    "words": (words, "holds object instead of numbers"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", HOSTILE)
def test_what_leads_out_or_claims_too_much_is_refused(tmp_path: Path, layout: str, case: str) -> None:
    fill, why = HOSTILE[case]
    other_file(tmp_path)
    path = write(tmp_path / "model.h5", layout, lambda group: fill(group, tmp_path))
    with pytest.raises(FormatError, match=why) as caught:
        dict(open_checkpoint(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("how", [{}, {"compression": "gzip"}, {"compression": "lzf", "shuffle": True}], ids=str)
def test_what_they_vary_is_read(tmp_path: Path, layout: str, how: dict[str, Any]) -> None:
    path = write(tmp_path / "model.h5", layout, lambda group: group.create_dataset("0", data=KERNEL, **how))
    (got,) = dict(open_checkpoint(path)).values()
    assert np.array_equal(got, KERNEL)


def test_a_contiguous_dataset_behind_the_end(tmp_path: Path) -> None:
    """HDF5 itself notices that the file is shorter than it states, whatever the claim."""
    path = write(tmp_path / "model.h5", "numbered", whole)
    raw = path.read_bytes()
    place = raw.index(KERNEL.nbytes.to_bytes(8, "little"))
    path.write_bytes(raw[:place] + (1 << 40).to_bytes(8, "little") + raw[place + 8 :])
    with pytest.raises(FormatError, match=r"model.h5(: conv1/kernel cannot be read| does not have Keras' layout)"):
        dict(open_checkpoint(path))


def test_a_filter_of_somebody_elses(tmp_path: Path) -> None:
    path = write(tmp_path / "model.h5", "numbered", lambda g: g.create_dataset("0", data=KERNEL, compression="lzf"))
    raw = path.read_bytes()
    place = raw.index(b"lzf\0")
    number = raw.rindex((32000).to_bytes(2, "little"), 0, place)
    path.write_bytes(raw[:number] + (32008).to_bytes(2, "little") + raw[number + 2 :])
    with pytest.raises(FormatError, match="is packed with the filter 32008, which porter does not load; copy"):
        dict(open_checkpoint(path))


def keras_archive(path: Path, layers: list[dict[str, Any]]) -> Path:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        numbered(file, whole)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Functional", "config": {"layers": layers}}))
        archive.writestr("model.weights.h5", buffer.getvalue())
    return path


LAMBDA = {"class_name": "Lambda", "config": {"name": "scale", "function": {"config": {"code": "4wEAAAAA"}}}}
CONV = {"class_name": "Conv2D", "config": {"name": "conv1"}}


@pytest.mark.parametrize("nested", [False, True])
def test_a_lambda_layer_is_refused_by_name(tmp_path: Path, nested: bool) -> None:
    """Its code is never parsed; without it the weights would be another network's."""
    inner = {"class_name": "Functional", "config": {"name": "inner", "layers": [LAMBDA]}} if nested else LAMBDA
    with pytest.raises(
        FormatError, match=r"model.keras: its layer scale is a Lambda, Python code .*: save the weights"
    ):
        open_checkpoint(keras_archive(tmp_path / "model.keras", [CONV, inner]))
    path = write(tmp_path / "model.h5", "legacy", whole)
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps({"config": {"layers": [CONV, inner]}}).encode()
    with pytest.raises(FormatError, match=r"model.h5: its layer scale is a Lambda, Python code"):
        open_checkpoint(path)
    assert set(open_checkpoint(keras_archive(tmp_path / "model.keras", [CONV]))) == {"conv1/kernel"}


def test_a_config_that_is_nested_without_end(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "[" * 100_000)
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(FormatError, match=r"is not a whole .keras file \(maximum recursion depth"):
        open_checkpoint(path)


def test_a_heap_of_strings_without_end(tmp_path: Path) -> None:
    """HDF5 1.14 itself loops on an entry of size 0."""
    path = write(tmp_path / "model.h5", "numbered", whole)
    assert set(open_checkpoint(path)) == {"conv1/kernel"}
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL")
    free = heap + 16 + 16 + 8  # behind the heap's header, and the one name with its own
    assert int.from_bytes(raw[free + 8 : free + 16], "little") == 4096 - 40
    raw[free + 8 : free + 16] = bytes(8)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=rf"model.h5: the heap at byte {heap} has an endless entry; copy"):
        open_checkpoint(path)


def named_late(path: Path, version: str, others: int = 0) -> Path:
    """Write a numbered file like another version of HDF5; a message before the name holds the other texts."""
    with h5py.File(path, "w", libver=version) as file:
        stored = file.create_group("layers/conv2d/vars", track_order=others > 0)
        for number in range(others):
            stored.attrs[f"other{number}"] = "a text"
        stored.attrs["name"] = "conv1"
        whole(stored)
    return path


@pytest.mark.parametrize("others", [0, 1, 7])
@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_a_text_that_claims_more_than_the_file(tmp_path: Path, version: str, others: int) -> None:
    """HDF5 itself allocates the claimed memory, 4 GiB here, before it looks for the text."""
    path = named_late(tmp_path / "model.h5", version, others)
    assert set(open_checkpoint(path)) == {"conv1/kernel"}
    with h5py.File(path) as file:
        address = h5py.h5o.get_info(file["layers/conv2d/vars"].id).addr
    raw = path.read_bytes()
    text = len("conv1").to_bytes(4, "little") + raw.index(b"GCOL").to_bytes(8, "little")
    assert raw.count(text) == 1
    for claimed in (1000, len(raw) + 1, 0xFFFFFFF0):
        damaged = raw.replace(text, claimed.to_bytes(4, "little") + text[4:])
        path.write_bytes(damaged)
        assert claimed_by_texts(lambda at, size, raw=damaged: raw[at : at + size], address, "name") == claimed
        # The newer layout has a checksum for it.
        newer = raw[address : address + 4] == b"OHDR"
        checked = f"vars: with name, the texts claim {claimed} bytes, more" if claimed > 1000 else "size does not match"
        says = "incorrect metadata checksum" if newer else checked
        with pytest.raises(FormatError, match=rf"model.h5.*{says}.*; copy or download it again"):
            open_checkpoint(path)


def test_texts_that_are_the_same_bytes(tmp_path: Path) -> None:
    """HDF5 would read each again: 400 texts of 8 MiB took 6 GB."""
    path, length = tmp_path / "model.h5", 1 << 16
    with h5py.File(path, "w") as file:
        file.attrs["long"] = "x" * length
        names = [f"layer{number:03}" for number in range(400)]
        file.attrs.create("layer_names", names, dtype=h5py.string_dtype())
    raw = path.read_bytes()
    (long,) = texts_of(raw, length)
    short = texts_of(raw, len("layer000"))
    assert len(set(short)) == 400
    for text in short:
        raw = raw.replace(text, long)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=f"with layer_names, the texts claim {400 * length} bytes, more than"):
        open_checkpoint(path)


def texts_of(raw: bytes, length: int) -> list[bytes]:
    """Return the reference to a text: its length, its heap's address, and its number there."""
    stated = length.to_bytes(4, "little")
    found = [raw[at : at + 16] for at in range(len(raw)) if raw.startswith(stated, at)]
    return [text for text in found if raw.startswith(b"GCOL", int.from_bytes(text[4:12], "little"))]


def test_heaps_that_share_bytes_or_leave_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "model.h5", "numbered", whole)
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL")
    free = heap + 16 + 16 + 8
    claimed = len(raw) + 1
    raw[heap + 8 : heap + 16] = claimed.to_bytes(8, "little")
    raw[free + 8 : free + 16] = (claimed - 40).to_bytes(8, "little")
    path.write_bytes(raw)
    says = f"with the heap at byte {heap}, the heaps claim {claimed} bytes, but the file has {len(raw)}; copy"
    with pytest.raises(FormatError, match=says):
        open_checkpoint(path)


def test_texts_in_a_place_of_their_own(tmp_path: Path) -> None:
    """The newest layout moves an object's attributes, from the ninth on, to a place that porter does not check."""
    path = named_late(tmp_path / "model.h5", "latest", 9)
    says = "vars: it has attributes that are not stored beside the object they belong to, as Keras does; copy or"
    with pytest.raises(FormatError, match=f"{says} download it again, or save the model again"):
        open_checkpoint(path)


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_chunks_that_claim_to_store_more_than_the_file(tmp_path: Path, version: str) -> None:
    """A packed dataset may claim a multiple of its stored bytes, and may lie about those too."""
    path = tmp_path / "model.h5"
    packed, shape = zlib.compress(bytes(1 << 20), 9), (1, 1, 16, 1 << 18)
    with h5py.File(path, "w", libver=version) as file:
        stored = file.create_group("layers/conv2d/vars")
        stored.attrs["name"] = "conv1"
        kernel = stored.create_dataset("0", shape, "f4", chunks=(1, 1, 1, 1 << 18), compression="gzip")
        for number in range(16):
            kernel.id.write_direct_chunk((0, 0, number, 0), packed)
    assert open_checkpoint(path)["conv1/kernel"].shape == shape
    if version == "latest":
        return  # whose index of chunks has a checksum
    raw = path.read_bytes()
    size = struct.pack("<II", len(packed), 0)
    assert raw.count(size) == 16
    path.write_bytes(raw.replace(size, struct.pack("<II", len(raw), 0)))
    with pytest.raises(FormatError, match=f"it claims {16 * len(raw)} stored bytes, but the file has {len(raw)}; copy"):
        open_checkpoint(path)


def test_a_chunk_that_is_larger_than_its_dataset(tmp_path: Path) -> None:
    """HDF5 unpacks a whole chunk, 512 MiB here, to read 16 bytes."""
    side, size = 1 << 27, 1 << 29
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 25)) for _ in range(size >> 25)) + packer.flush()

    def fill(group: h5py.Group) -> None:
        kernel = group.create_dataset(
            "0", (1, 1, 1, 4), "f4", chunks=(1, 1, 1, side), maxshape=(1, 1, 1, None), compression="gzip"
        )
        kernel.id.write_direct_chunk((0, 0, 0, 0), packed)

    path = write(tmp_path / "model.h5", "numbered", fill)
    with pytest.raises(FormatError, match=f"it claims {size} bytes, but the file stores {len(packed)}; copy"):
        open_checkpoint(path)


def test_an_empty_dataset_of_chunks(tmp_path: Path) -> None:
    def fill(group: h5py.Group) -> None:
        group.create_dataset("0", (0,), "f4", chunks=(4,), maxshape=(None,), compression="gzip")

    assert open_checkpoint(write(tmp_path / "model.h5", "legacy", fill))["conv1/0"].shape == (0,)


def test_names_that_do_not_fit_into_one_attribute(tmp_path: Path) -> None:
    """Keras splits texts above 64512 bytes over several attributes, such as the weights of a nested network."""
    from keras.src.legacy.saving.legacy_h5_format import save_attributes_to_hdf5_group as save

    path = tmp_path / "model.h5"
    names = [f"net/cell_{number:04}/{'separable' * 8}/kernel:0".encode() for number in range(1000)]
    with h5py.File(path, "w") as file:
        save(file, "layer_names", [b"net"])
        group = file.create_group("net")
        save(group, "weight_names", names)
        assert set(group.attrs) == {"weight_names0", "weight_names1"}
        for name in names:
            group[name.decode()] = np.zeros(1, np.float32)
    assert list(open_checkpoint(path)) == [name.decode().removesuffix(":0") for name in names]
    with h5py.File(path, "a") as file:
        del file["net"].attrs["weight_names0"]
    with pytest.raises(FormatError, match="the layer net does not name its weights; copy or download it again"):
        open_checkpoint(path)


def test_names_that_are_no_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "model.h5", "numbered", whole)
    with h5py.File(path, "a") as file:
        file["layers/conv2d/vars"].attrs["name"] = np.arange(3)
    with pytest.raises(FormatError, match="/layers/conv2d/vars: name is not text; copy or download it again"):
        open_checkpoint(path)


def test_offsets_of_another_width(tmp_path: Path) -> None:
    path = write(tmp_path / "model.h5", "numbered", whole)
    raw = bytearray(path.read_bytes())
    assert raw[13] == 8
    raw[13] = 4
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="has offsets of 4 bytes, but HDF5 writes 8; copy or download it again"):
        open_checkpoint(path)
