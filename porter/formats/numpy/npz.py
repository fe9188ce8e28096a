"""Reads numpy's .npz, a zip of arrays by name, and tensornets' form of it, a pickled list of arrays and their names."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from porter.errors import FormatError, unreadable
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.dtypes import check_shape, unread
from porter.formats.numpy.pickled import Array, unpickle_arrays
from porter.formats.zip import DAMAGE, open_archive, said

VALUES = "values.npy"
"""The member with tensornets' row of arrays."""
_LARGEST_RATIO = 64
"""Trained weights hardly compress; deflate's own bound is 1032."""
_ROOM = 1 << 26
"""Bytes that any member may unpack to: slots and biases may hold one value throughout."""
_LONGEST_HEADER = 1 << 16
_NUMBERS = "biufc"
"""The kinds of dtype that porter reads: bools, integers, floats and complex numbers."""


class _Header(NamedTuple):
    """The header before an array's values; ``size`` is its own length in bytes."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    size: int


def read_npz(path: Path) -> Checkpoint:
    """Read a .npz by its members' names; values are read on demand and compared with their CRC-32.

    An array of objects is tensornets': the array ``names`` beside it names its arrays, else their number does, as in
    ``values[3]``. Nothing in it is executed. The ``:0`` at the end of a variable's name is dropped. Raises FormatError.
    """
    archive = open_archive(path, ".npz file", _LARGEST_RATIO, _ROOM)
    entries: dict[str, Entry] = {}
    asides: dict[str, str] = {}
    for member in archive.namelist():
        name = member.removesuffix(".npy")
        if name == member:
            asides[name] = "no array"
            continue
        with _readable(path, name):
            header = _header(archive, member)
            if header.dtype.hasobject:
                found = dict(_listed(archive, member))
            elif header.dtype.kind in _NUMBERS:
                found = {name: Entry(header.shape, _native(header.dtype), partial(_load, archive, path, member))}
            else:
                asides[name] = unread("string" if header.dtype.kind in "SU" else str(header.dtype))
                continue
        for key, entry in found.items():
            short = key.removesuffix(":0")
            if short in entries:
                raise FormatError(f"{path}: {short} occurs twice; copy or download it again")
            entries[short] = entry
    return Checkpoint(path, "numpy archive", entries, asides)


@contextmanager
def _readable(path: Path, name: str) -> Iterator[None]:
    """Add the file and the array to the message of any error."""
    try:
        yield
    except FormatError as error:
        raise unreadable(path, name, error) from None
    except DAMAGE as error:
        raise unreadable(path, name, FormatError(said(error))) from None


def _header(archive: zipfile.ZipFile, member: str) -> _Header:
    """Read an array's header and compare its size with the stored bytes. Raises FormatError."""
    with archive.open(member) as file:
        header = _parsed(io.BytesIO(file.read(_LONGEST_HEADER)))
    stored = archive.getinfo(member).file_size - header.size
    if not header.dtype.hasobject:
        check_shape(header.shape, header.dtype)
        if _bytes(header) != stored:
            raise FormatError(
                f"it has {stored} bytes, but {header.dtype} of shape {header.shape} takes {_bytes(header)}"
            )
    return header


def _parsed(start: io.BytesIO) -> _Header:
    """Return the header that an array begins with. Raises FormatError."""
    try:
        version = np.lib.format.read_magic(start)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise FormatError(f"it has the array format {version}, which porter does not read")
        shape, fortran, dtype = readers[version](start)
    except FormatError:
        raise
    except Exception as error:  # numpy evaluates the header as a literal, so that damage may raise any error
        raise FormatError(f"it does not begin like an array ({type(error).__name__})") from None
    return _Header(shape, fortran, dtype, start.tell())


def _bytes(header: _Header) -> int:
    return math.prod(header.shape) * header.dtype.itemsize


def _native(dtype: np.dtype) -> np.dtype:
    return dtype.newbyteorder("=")


def _load(archive: zipfile.ZipFile, path: Path, member: str) -> np.ndarray:
    with _readable(path, member.removesuffix(".npy")):
        return _values(archive.read(member), _header(archive, member))


def _values(raw: bytes, header: _Header) -> np.ndarray:
    values = np.frombuffer(raw, header.dtype, offset=header.size)
    values = values.reshape(header.shape, order="F" if header.fortran else "C")
    return values.astype(_native(header.dtype), copy=False)


def listed_arrays(raw: bytes) -> list[Array]:
    """Return the arrays in the member VALUES, whose CRC-32 nobody compared. Raises FormatError if it is another."""
    header = _parsed(io.BytesIO(raw[:_LONGEST_HEADER]))
    return unpickle_arrays(memoryview(raw)[header.size :])


def _listed(archive: zipfile.ZipFile, member: str) -> Iterator[tuple[str, Entry]]:
    """Yield the arrays in an array of objects, by name if the file has their names."""
    raw = archive.read(member)
    arrays = unpickle_arrays(memoryview(raw)[_header(archive, member).size :])
    name = member.removesuffix(".npy")
    names = _names(archive) or [f"{name}[{number}]" for number in range(len(arrays))]
    if len(names) != len(arrays):
        raise FormatError(f"it holds {len(arrays)} arrays, but names.npy {len(names)} names")
    if len(set(names)) != len(names):
        raise FormatError("names.npy has a name twice")
    for key, array in zip(names, arrays, strict=True):
        if array.dtype.kind not in _NUMBERS:
            raise FormatError(f"{key} holds {array.dtype} instead of numbers")
        yield key, Entry(array.shape, _native(array.dtype), array.values)


def _names(archive: zipfile.ZipFile) -> list[str]:
    """Return the strings in the array ``names``, none if the file lacks it."""
    if "names.npy" not in archive.namelist():
        return []
    header = _header(archive, "names.npy")
    raw = archive.read("names.npy")
    if header.dtype.kind not in "SU" or len(header.shape) != 1:
        raise FormatError(f"names.npy holds {header.dtype} of shape {header.shape} instead of a row of names")
    try:
        return [name.decode() if isinstance(name, bytes) else str(name) for name in _values(raw, header)]
    except UnicodeDecodeError as error:
        raise FormatError(f"names.npy has a name that is not UTF-8 ({error.reason})") from None
