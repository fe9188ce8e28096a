"""Checks what porter wrote by the digests that it wrote with it, and TensorFlow's checkpoints by their checksums.

No framework is imported for it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from porter.errors import FormatError, PorterError, listing
from porter.files.seals import FILES, TENSORS, is_sealed, record_beside
from porter.formats.input_digests import Inputs
from porter.formats.locate import resolve_path
from porter.formats.tensorflow.sstable import FOOTER, is_table

_HDF5 = b"\x89HDF\r\n\x1a\n"
_RECORD = "config.json"
"""The record of a folder."""


@dataclass(frozen=True)
class Checked:
    """What was checked, true where all of it is as porter wrote it.

    ``files`` are the SHA-256 of what was read, ``tensors`` the number of tensors that were checked, ``damaged`` what
    differs: tensors by name, files by name, or the rest of a file in words. ``by`` says what they were checked by,
    ``unchecked`` which tensors of a checkpoint porter knows no checksum of.
    """

    path: Path
    files: Mapping[Path, str]
    tensors: int
    damaged: tuple[str, ...]
    by: Literal["digests", "checksums"] = "digests"
    unchecked: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.damaged

    def __str__(self) -> str:
        if self and self.by == "checksums":
            but = f", but porter cannot check{listing(self.unchecked)}" if self.unchecked else ""
            return f"{self.path} is whole: {self.tensors} tensors match their checksums{but}"
        if self:
            return f"{self.path} is whole: {self.tensors} tensors and all else are as porter wrote them"
        return f"{self.path} is damaged: port it again or copy it again; what differs is{listing(self.damaged)}"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "ok": bool(self),
            "path": str(self.path),
            "by": self.by,
            "sha256": {str(path): digest for path, digest in self.files.items()},
            "tensors": self.tensors,
            "damaged": list(self.damaged),
            "unchecked": list(self.unchecked),
        }


def check(path: Path, inputs: Inputs | None = None) -> Checked:
    """Check ``path`` by its own digests: a file, a folder, or a TensorFlow checkpoint, which has checksums instead.

    ``inputs`` may expect other digests of it. Raises PorterError where it has neither, because porter did not write it
    or they are damaged.
    """
    inputs = inputs or Inputs()
    if path.is_dir():
        record = path / _RECORD
        names = _read(record).files
        if names:
            files = sorted(file for file in path.iterdir() if file.is_file())
            inputs.add(file for file in files if file == record or file.name in names)
            inputs.close()
            return _by_record(path, record, inputs)
    first = _first_of(path)
    tail = _tail(first)
    if not tail:
        raise FormatError(f"{first} is empty: copy or download it again")
    if is_table(tail) or first.suffix == ".index":  # one that is cut off is told to be
        return _by_checksums(path, inputs)
    if not path.is_file():
        raise _none(path)
    inputs.add([path])
    inputs.close()
    with path.open("rb") as file:
        if file.read(9)[8:] == b"{":
            tensors, damaged = _safetensors(path, file)
            return Checked(path, inputs.digests, tensors, tuple(damaged))
    for record in (record_beside(path), path.with_name(_RECORD)):
        if path.name in _read(record).files:
            return _by_record(path, record, inputs)
    raise _none(path, f" nor is there a {record_beside(path).name} beside it that does;")


def _first_of(path: Path) -> Path:
    """Return the first file of what ``path`` stands for. Raises PorterError where that is nothing."""
    try:
        return resolve_path(path).files[0]
    except PorterError:
        if path.is_dir():
            raise _none(path) from None
        raise


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, io.SEEK_END) - FOOTER))
        return file.read()


def _by_checksums(path: Path, inputs: Inputs) -> Checked:
    """Check a TensorFlow checkpoint by reading all of it."""
    opened = inputs.open(path)
    inputs.close()
    damaged = []
    reads: dict[str, Callable[[], object]] = {name: entry.load for name, entry in opened.entries.items()}
    reads |= opened.checks
    for name, read in reads.items():
        try:
            read()
        except FormatError as error:  # of a data file that is missing each tensor says the same
            damaged.append(name if name in str(error) else str(error))
    unchecked = tuple(name for name in opened.asides if name not in reads)
    return Checked(path, inputs.digests, len(reads), tuple(dict.fromkeys(damaged)), "checksums", unchecked)


def _none(path: Path, more: str = "") -> PorterError:
    return PorterError(
        f"{path} holds no digests of porter's,{more} it was not written by porter, or they are damaged: "
        "give --expect-sha256 to hold it against a digest that you know"
    )


class _Record(NamedTuple):
    """The SHA-256 of files, by their names beside the record, and of tensors."""

    files: Mapping[str, str]
    tensors: Mapping[str, str]


def _read(record: Path) -> _Record:
    """Return what a record says, nothing where it is none. Raises FormatError where it is damaged."""
    text = record.read_bytes() if record.is_file() else b""
    whole = is_sealed(text)
    if whole is None:
        return _Record({}, {})
    if not whole:
        raise FormatError(f"{record}, which holds the digests, is damaged itself: port again, or copy it again")
    with _as_porter_writes(record):
        fields = json.loads(text)
        return _Record(_strings(fields.get(FILES, {})), _strings(fields.get(TENSORS, {})))


@contextmanager
def _as_porter_writes(path: Path) -> Iterator[None]:
    """Turn what digests of another structure lead to into one sentence: a seal is no signature, anybody can set it."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        raise FormatError(f"{path} is sealed, but not laid out as porter does: do not trust it, port again") from None


def _strings(digests: Any) -> dict[str, str]:
    if not all(isinstance(digest, str) for digest in digests.values()):
        raise TypeError
    return dict(digests)


def _by_record(path: Path, record: Path, inputs: Inputs) -> Checked:
    """Check ``path``, or all files of it where it is a folder, by ``record``."""
    stated = _read(record)
    there = {file.name: file for file in record.parent.iterdir() if file.is_file()}  # a name leads nowhere else
    count, damaged = len(stated.tensors), []
    for name, want in stated.files.items():
        if not path.is_dir() and name != path.name:
            continue
        if name not in there:
            damaged.append(f"{name}, which is not there")
            continue
        file = there[name]
        if file.suffix == ".safetensors":
            with file.open("rb") as opened:
                count, found = _safetensors(file, opened)
            damaged += found or ([f"{name}, which is another"] if inputs.digests[file] != want else [])
        elif inputs.digests[file] != want:
            damaged += _which(file, stated.tensors) if name.endswith((".pth", ".keras", ".h5")) else [name]
    return Checked(path, inputs.digests, count, tuple(damaged))


def _safetensors(path: Path, file: BinaryIO) -> tuple[int, list[str]]:
    """Return the number of tensors and what is damaged of a .safetensors file."""
    size = path.stat().st_size
    file.seek(0)
    length = file.read(8)
    data = 8 + int.from_bytes(length, "little")
    if data > size:
        raise FormatError(f"{path} is not a whole safetensors file, its header is cut off: port it or copy it again")
    header = length + file.read(data - 8)
    whole = is_sealed(header)
    if whole is None:
        raise _none(path)
    if not whole:
        return 0, ["the header, which holds the tensors' names, shapes and digests"]
    with _as_porter_writes(path):
        fields = json.loads(header[8:])
        digests = _strings(json.loads(fields["__metadata__"][TENSORS]))
        spans = [_span(fields[name]["data_offsets"]) for name in digests]
    damaged, end = [], data
    for (name, want), (begin, after) in zip(digests.items(), spans, strict=True):
        end = max(end, data + after)
        file.seek(min(data + begin, size))
        if _digest(file, after - begin) != want:
            damaged.append(name)
    if size > end:
        damaged.append(f"{size - end} bytes behind the last tensor")
    return len(digests), damaged


def _span(offsets: Any) -> tuple[int, int]:
    begin, end = map(index, offsets)
    if not 0 <= begin <= end:
        raise ValueError
    return begin, end


def _digest(file: BinaryIO, size: int) -> str:
    found = hashlib.sha256()
    while size and (chunk := file.read(min(size, 1 << 20))):
        found.update(chunk)
        size -= len(chunk)
    return found.hexdigest()


def _which(path: Path, tensors: Mapping[str, str]) -> list[str]:
    """Return the tensors whose bytes are no longer found in ``path``, or that it is something else that differs."""
    try:
        there = {hashlib.sha256(raw).hexdigest() for raw in _contents(path)}
    except Exception:  # libraries raise anything on a damaged file, which is known to be damaged
        return [f"the structure of {path.name}, so that its tensors are not found"]
    lost = [name for name, digest in tensors.items() if digest not in there]
    return lost or [f"something in {path.name} besides the tensors"]


def _contents(path: Path) -> Iterator[bytes]:
    """Yield what a zip archive stores, checksums aside, and the values of every HDF5 dataset."""
    with path.open("rb") as file:
        if file.read(8) == _HDF5:
            yield from _datasets(path)
            return
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                file.seek(member.header_offset + 26)  # APPNOTE.TXT 4.3.7: the lengths of the name and the extra field
                name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
                file.seek(name + extra, io.SEEK_CUR)
                raw = file.read(member.compress_size)
                if raw[:8] == _HDF5:
                    yield from _datasets(path, raw)
                else:
                    yield raw


def _datasets(path: Path, contents: bytes | None = None) -> Iterator[bytes]:
    from porter.formats.keras.hdf5 import H5, stored_values

    return map(stored_values, H5(path, contents).datasets())
