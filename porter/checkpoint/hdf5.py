"""HDF5 from strangers: what leads out of the file, or claims more than it stores, is refused before it is read."""

from __future__ import annotations

import io
import mmap
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from porter.checkpoint.dtypes import BFLOAT16, decode
from porter.checkpoint.entry import Entry
from porter.errors import FormatError, unreadable

_LARGEST_RATIO = 64
"""Trained weights hardly pack; deflate's own bound is 1032."""
_ROOM = 1 << 26
"""Bytes to which a packed dataset may unpack all the same: slots and biases may be all alike."""
_HEAP, _HEADER, _WIDE = b"GCOL\1\0\0\0", 16, 8
"""How a heap of strings begins, how long its header and those of its entries are, and what they align to."""
_FILTERS = {
    h5py.h5z.FILTER_DEFLATE: "deflate",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    h5py.h5z.FILTER_LZF: "lzf",
}
"""The filters that h5py brings along; HDF5 looks for any other in shared libraries."""


def open_h5(path: Path, contents: bytes | None = None) -> h5py.File:
    """Open the HDF5 file ``path``, or the ``contents`` of one within it. Raises FormatError."""
    try:
        if contents is None:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                _check_heaps(mapped, path)
        else:
            _check_heaps(contents, path)
        return h5py.File(path if contents is None else io.BytesIO(contents), "r")
    except (OSError, RuntimeError, ValueError) as error:
        raise FormatError(f"{path} is not a whole HDF5 file ({error}); copy or download it again") from None


def _check_heaps(buffer: bytes | mmap.mmap, path: Path) -> None:
    """Raise FormatError where a heap of strings does not end: HDF5 itself never stops reading an entry of no size.

    Source: HDF5 File Format Specification, II.A superblock and III.E global heap.
    """
    sizes = buffer[13:15] if buffer[8] < 2 else buffer[9:11]
    if sizes != bytes((_WIDE, _WIDE)):
        raise FormatError(
            f"{path} has offsets of {sizes[0]} bytes, where HDF5 writes {_WIDE}; copy or download it again"
        )
    at = buffer.find(_HEAP)
    while at >= 0:
        end = at + int.from_bytes(buffer[at + 8 : at + 16], "little")
        entry = at + _HEADER
        while entry + _HEADER <= min(end, len(buffer)):
            number = int.from_bytes(buffer[entry : entry + 2], "little")
            size = int.from_bytes(buffer[entry + 8 : entry + _HEADER], "little")
            step = _HEADER + -(-size // _WIDE) * _WIDE if number else size  # the free entry counts its own header
            if not step or entry + step > end:
                raise FormatError(f"{path}: the heap at byte {at} has an entry without end; copy or download it again")
            entry += step
        at = buffer.find(_HEAP, at + 1)


def member(group: h5py.Group, name: str, path: Path) -> Any:
    """Return the group or dataset ``name``, whose parts / separates, or None where it is not there.

    Raises FormatError where a link on the way leads anywhere but to what lies in the file.
    """
    for part in filter(None, name.split("/")):
        if not isinstance(group, h5py.Group):
            return None
        link = group.get(part, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            out = f" to {link.filename}" if isinstance(link, h5py.ExternalLink) else ""
            raise FormatError(
                f"{path}: {group.name.rstrip('/')}/{part} is a link{out}, which porter does not follow: "
                "save the model again, into one file"
            )
        group = group[part]
    return group


def attribute(group: h5py.Group, name: str, path: Path) -> Any:
    """Return an attribute. Raises FormatError where it claims more than the file has, KeyError where it is missing."""
    opened = h5py.h5a.open(group.id, name.encode())
    # HDF5 takes the size of an empty attribute, such as the weights of a layer without any, for an error.
    size = opened.get_storage_size() if opened.get_space().get_simple_extent_npoints() else 0
    if size > group.file.id.get_filesize():
        raise FormatError(f"{path}: {name} of {group.name} claims {size} bytes; copy or download it again")
    return group.attrs[name]


def dataset_entry(dataset: h5py.Dataset, path: Path, name: str) -> Entry:
    """Return a dataset, which is called ``name``, as an entry. Raises FormatError where it is not safe to read."""
    try:
        _check(dataset)
    except FormatError as error:
        raise unreadable(path, name, error) from None
    shape, dtype = tuple(dataset.shape), np.dtype(dataset.dtype)
    # Neither HDF5 nor numpy has bfloat16, which Keras keeps as pairs of bytes.
    loaded = np.dtype(np.float32) if dtype == "V2" else dtype
    return Entry(shape, loaded, partial(_load, dataset, path, name))


def _check(dataset: h5py.Dataset) -> None:
    if dataset.external:
        raise FormatError(f"its values lie in another file, {dataset.external[0][0]}, which porter does not open")
    if dataset.is_virtual:
        raise FormatError("it is a virtual dataset, whose values lie in other files, which porter does not open")
    if dataset.shape is None or (dataset.dtype.kind not in "biufc" and dataset.dtype != "V2"):
        raise FormatError(f"it is of {dataset.dtype}, where numbers belong")
    claimed, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    unknown = [str(number) for number in filters if number not in _FILTERS]
    if unknown:
        raise FormatError(f"it is packed with the filter {unknown[0]}, which porter does not load")
    packed = h5py.h5z.FILTER_DEFLATE in filters or h5py.h5z.FILTER_LZF in filters
    most = max(_LARGEST_RATIO * stored, _ROOM if stored else 0) if packed else stored
    if claimed > most:
        raise FormatError(f"it claims {claimed} bytes, of which the file stores {stored}")
    if not packed and stored > dataset.file.id.get_filesize():
        raise FormatError(f"it claims {stored} bytes, and the file has {dataset.file.id.get_filesize()}")


def _load(dataset: h5py.Dataset, path: Path, name: str) -> np.ndarray:
    try:
        values: np.ndarray = dataset[()]
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise unreadable(path, name, FormatError(" ".join(str(error).split()))) from None
    return decode(values.view(np.uint16), BFLOAT16) if dataset.dtype == "V2" else values
