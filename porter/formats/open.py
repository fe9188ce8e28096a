"""open_checkpoint(path) -> Checkpoint, whatever TensorFlow, PyTorch or Keras left on the disk."""

from __future__ import annotations

from pathlib import Path

from porter.errors import FormatError
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.locate import READS, Place, resolve_path
from porter.formats.tensorflow.sstable import FOOTER, is_table
from porter.formats.zip import members_of

__all__ = ["Checkpoint", "Entry", "open_checkpoint"]


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a checkpoint's prefix, its ``.index``, ``.data`` or ``.meta`` file, its folder, the ``checkpoint`` file
    beside it, a SavedModel's folder, a frozen graph, or a file of PyTorch's or Keras'; what it is, is seen from
    its bytes.

    Raises PorterError where there is nothing to read, FormatError where it is damaged or unknown.
    """
    return _read(resolve_path(Path(path)))


def _read(place: Place) -> Checkpoint:
    """Choose the format by the first file's bytes. Readers are imported only when they are needed."""
    path = place.files[0]
    with path.open("rb") as file:
        head = file.read(16)
        size = file.seek(0, 2)
        file.seek(max(0, size - FOOTER))
        tail = file.read()
    if not head:
        raise FormatError(f"{path} is empty: copy or download it again")
    if is_table(tail):
        from porter.formats.tensorflow.bundle import read_bundle
        from porter.formats.tensorflow.v1 import is_v1, read_v1

        return read_v1(place.path, place.files) if is_v1(path) else read_bundle(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= size:
        from porter.formats.safetensors import read_safetensors

        return read_safetensors(path)
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        from porter.formats.keras.weights import read_h5

        return read_h5(path)
    if head[:2] == b"PK":
        return _read_archive(path)
    if head[:2] == b"\x80\x02":  # the pickles of PyTorch before 1.6
        from porter.formats.torch.pth import read_pth

        return read_pth(path)
    if head[:1] == b"\n" or head[:2] == b"\x1f\x8b":  # a GraphDef's first field, or gzip
        from porter.formats.tensorflow.frozen import read_frozen

        return read_frozen(path)
    if head[:3] == b"\x08\x01\x12":
        raise FormatError(
            f"{path} is a SavedModel's graph, whose values lie in variables/ beside it: copy that folder too"
        )
    if path.suffix == ".index":
        raise FormatError(f"{path} does not end as a checkpoint index does: it is cut off; copy or download it again")
    raise FormatError(
        f"{path} begins with {head[:4].hex(' ')}, which is none of the formats porter reads: name {READS}"
    )


def _read_archive(path: Path) -> Checkpoint:
    """Choose a zip archive's format by its members' names."""
    members = members_of(path)
    if "config.json" in members:
        from porter.formats.keras.weights import read_keras

        return read_keras(path)
    if any(name.endswith(".npy") for name in members):
        from porter.formats.numpy.npz import read_npz

        return read_npz(path)
    from porter.formats.torch.pth import read_pth

    return read_pth(path)
