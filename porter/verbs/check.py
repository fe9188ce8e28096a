"""check: finds damage in what porter wrote, by digests, and in TensorFlow checkpoints, by checksums.

It imports no framework.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from porter.errors import FormatError, PorterError, listing, plural, summary
from porter.files.seals import FILES, TENSORS, is_sealed, record_beside
from porter.formats.identify import NOTHING, RECORD_NAMES, Identity, identify, record_in
from porter.formats.input_digests import Inputs
from porter.formats.locate import resolve_path
from porter.formats.numpy.npz import VALUES, listed_arrays
from porter.formats.open import open_checkpoint
from porter.formats.savers import index_of
from porter.formats.signatures import (
    BUNDLE,
    CUT_INDEX,
    CUT_SAFETENSORS,
    HDF5_START,
    SAFETENSORS,
    STAND_INS,
    V1,
    refusal,
)


@dataclass(frozen=True)
class Checked:
    """The result of a check; true if everything is as porter wrote it.

    ``files`` maps each file that was read to its SHA-256, and ``tensors`` counts the tensors that were checked.
    ``damaged`` lists the differences: tensors by name, files by name, or another part of a file in words. ``by`` tells
    what they were checked by. ``unchecked`` lists the tensors of a checkpoint whose checksum porter does not know.
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
            but = f", but porter cannot check{listing(summary(self.unchecked))}" if self.unchecked else ""
            return f"{self.path} is intact: {self.tensors} tensors match their checksums{but}"
        if self:
            return f"{self.path} is intact: {self.tensors} tensors and everything else are as porter wrote them"
        return f"{self.path} is damaged: port it again or copy it again; these parts differ{listing(self.damaged)}"

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


def check(path: str | Path, inputs: Inputs | None = None) -> Checked:
    """Check a file or folder that porter wrote by its own digests, or a TensorFlow checkpoint by its checksums.

    ``inputs`` may expect other digests of the files. Raises PorterError if there are neither digests nor checksums,
    because porter did not write the file or because they are damaged.
    """
    path, inputs = Path(path), inputs or Inputs()
    found = record_in(path) if path.is_dir() else None
    if found and (names := _read(found).files):
        files = sorted(file for file in path.iterdir() if file.is_file())
        inputs.add(file for file in files if file == found or file.name in names)
        inputs.close()
        return _by_record(path, found, inputs)
    place = _place(path)
    inputs.add(place.files)  # before anything in them is parsed
    first, kind = place.files[0], place.kind
    if kind in STAND_INS:
        raise FormatError(refusal(first, kind))
    if kind in (BUNDLE, V1, CUT_INDEX):
        record = record_beside(first.with_suffix(""))
        if first.name in _read(record).files:
            return _by_prefix(path, first, record, inputs)
        return _by_checksums(path, inputs)
    if not path.is_file():
        raise _none(path)
    inputs.close()
    if kind in (SAFETENSORS, CUT_SAFETENSORS):
        with path.open("rb") as file:
            tensors, damaged = _safetensors(path, file)
            return Checked(path, inputs.digests, tensors, tuple(damaged))
    for record in (record_beside(path), *map(path.with_name, RECORD_NAMES)):
        if path.name in _read(record).files:
            return _by_record(path, record, inputs)
    raise _none(path, f" and there is no {record_beside(path).name} beside it that has them:")


def _place(path: Path) -> Identity:
    """Return the files that ``path`` stands for. Raises PorterError if there are none."""
    try:
        return resolve_path(path)
    except PorterError:
        if path.is_dir():
            raise _none(path) from None
        if identify(path).kind is NOTHING:
            raise PorterError(
                f"{path} does not exist: name a file or folder that porter wrote, or a TensorFlow checkpoint"
            ) from None
        raise


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
        except FormatError as error:  # all tensors of a missing data file raise the same error
            damaged.append(name if name in str(error) else str(error))
    unchecked = tuple(name for name in opened.asides if name not in reads)
    return Checked(path, inputs.digests, len(reads), tuple(dict.fromkeys(damaged)), "checksums", unchecked)


def _by_prefix(path: Path, index: Path, record: Path, inputs: Inputs) -> Checked:
    """Check the files of a TensorFlow checkpoint that porter wrote by its ``record``; checksums name the tensors."""
    stated, damaged = _read(record), []
    there = {file.name: file for file in record.parent.iterdir() if file.is_file()}
    inputs.add(there[name] for name in stated.files if name in there)
    inputs.close()
    for name, want in stated.files.items():
        if name not in there:
            damaged.append(f"{name}, which is missing")
        elif inputs.digests[there[name]] != want:
            tensors = _by_checksums(index, inputs).damaged if name != index.name and index_of(there[name]) else ()
            damaged += tensors or [name]
    return Checked(path, inputs.digests, len(stated.tensors), tuple(damaged))


def _none(path: Path, more: str = ":") -> PorterError:
    return PorterError(
        f"{path} holds no digests of porter's{more} porter did not write it, or the digests are damaged; give a digest "
        "that you know as `expect_sha256`"
    )


class _Record(NamedTuple):
    """The SHA-256 of files, by their names beside the record, and of tensors."""

    files: Mapping[str, str]
    tensors: Mapping[str, str]


def _read(record: Path) -> _Record:
    """Return the digests in a record, none if it is of somebody else. Raises FormatError if it is damaged."""
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
    """Turn the errors of malformed digests into one sentence: anybody can set a seal, which is no signature."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        raise FormatError(
            f"{path} has a valid seal but not porter's layout: do not trust it, port the checkpoint again"
        ) from None


def _strings(digests: Any) -> dict[str, str]:
    if not all(isinstance(digest, str) for digest in digests.values()):
        raise TypeError
    return dict(digests)


_HOLDERS = (".pth", ".keras", ".h5", ".pb", ".npz")
"""The suffixes of files whose tensors have their digests in the record beside them."""


def _by_record(path: Path, record: Path, inputs: Inputs) -> Checked:
    """Check the file ``path``, or all files of the folder ``path``, by ``record``."""
    stated = _read(record)
    # Only names of files beside the record count, so that a record cannot lead anywhere else.
    there = {file.name: file for file in record.parent.iterdir() if file.is_file()}
    count, damaged = len(stated.tensors), []
    for name, want in stated.files.items():
        if not path.is_dir() and name != path.name:
            continue
        if name not in there:
            damaged.append(f"{name}, which is missing")
            continue
        file = there[name]
        if file.suffix == ".safetensors":
            with file.open("rb") as opened:
                count, found = _safetensors(file, opened)
            damaged += found or ([f"{name}, which is another file"] if inputs.digests[file] != want else [])
        elif inputs.digests[file] != want:
            damaged += _which(file, stated.tensors) if name.endswith(_HOLDERS) else [name]
    return Checked(path, inputs.digests, count, tuple(damaged))


def _safetensors(path: Path, file: BinaryIO) -> tuple[int, list[str]]:
    """Return the number of tensors in a .safetensors file, and its damaged parts."""
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
        damaged.append(f"{plural(size - end, 'byte')} after the last tensor")
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
    """Return the tensors whose bytes ``path`` no longer holds, or the other part of it that differs."""
    try:
        there = Counter(hashlib.sha256(raw).hexdigest() for raw in _contents(path))
    except Exception:  # the file is known to be damaged, and libraries may raise any error on it
        return [f"the structure of {path.name}, which hides its tensors"]
    alike: dict[str, list[str]] = {}
    for name, digest in tensors.items():
        alike.setdefault(digest, []).append(name)
    lost = [each for digest, names in alike.items() for each in _lost(names, len(names) - there[digest])]
    return lost or [f"a part of {path.name} besides the tensors"]


def _lost(names: Sequence[str], missing: int) -> list[str]:
    """Return those of ``names``, whose values are equal, that the file no longer has: ``missing`` of them."""
    if missing <= 0:
        return []
    if missing == len(names):
        return [*names]
    return [f"{missing} of {len(names)} tensors with equal values, {names[0]} among them"]


def _contents(path: Path) -> Iterator[bytes]:
    """Yield the stored bytes of all tensors.

    They are those of each member of a zip archive, unchecked, of each array in a pickled row of arrays, of every HDF5
    dataset, and of a graph's constants.
    """
    if path.suffix == ".pb":
        opened = open_checkpoint(path)
        yield from (opened[name].tobytes() for name in opened)
        return
    with path.open("rb") as file:
        if file.read(8) == HDF5_START:
            yield from _datasets(path)
            return
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                file.seek(member.header_offset + 26)  # APPNOTE.TXT 4.3.7: the lengths of the name and the extra field
                name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
                file.seek(name + extra, io.SEEK_CUR)
                raw = file.read(member.compress_size)
                if raw[:8] == HDF5_START:
                    yield from _datasets(path, raw)
                elif member.filename == VALUES:
                    yield from (array.values().tobytes() for array in listed_arrays(raw))
                else:
                    yield raw


def _datasets(path: Path, contents: bytes | None = None) -> Iterator[bytes]:
    from porter.formats.keras.hdf5 import H5, stored_values

    return map(stored_values, H5(path, contents).datasets())
