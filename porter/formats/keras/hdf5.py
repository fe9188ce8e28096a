"""Untrusted HDF5 files: links out of the file and claims beyond its size are refused before they are read."""

from __future__ import annotations

import io
import math
import mmap
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from porter.errors import FormatError, unreadable
from porter.formats.checkpoint import Entry
from porter.formats.dtypes import widen_bfloat16
from porter.formats.keras.heaps import check_heaps, claimed_by_texts

_LARGEST_RATIO = 64
"""Trained weights hardly compress; deflate's own bound is 1032."""
_ROOM = 1 << 26
"""Bytes that any packed dataset may unpack to: slots and biases may hold one value throughout."""
_FILTERS = {
    h5py.h5z.FILTER_DEFLATE: "deflate",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    h5py.h5z.FILTER_LZF: "lzf",
}
"""The filters that h5py contains; HDF5 searches shared libraries for any other."""


class H5:
    """The HDF5 file ``path``, or the ``contents`` of one inside it; ``root`` is its outermost group.

    Raises FormatError if it is damaged or not safe to read.
    """

    def __init__(self, path: Path, contents: bytes | None = None) -> None:
        self.path = path
        self._contents = contents
        self._claimed = 0  # by all texts so far; in an honest file no two texts share bytes
        try:
            if contents is None:
                with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    check_heaps(mapped)
            else:
                check_heaps(contents)
            self.root = h5py.File(path if contents is None else io.BytesIO(contents), "r")
        except FormatError as error:
            raise FormatError(f"{path}: {error}; copy or download it again") from None
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            raise FormatError(f"{path} is not a whole HDF5 file ({error}); copy or download it again") from None

    def member(self, group: h5py.Group, name: str) -> Any:
        """Return the group or dataset ``name``, a path with slashes, or None if it does not exist.

        Raises FormatError if a link on the way is not a hard link within the file.
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
                    f"{self.path}: {group.name.rstrip('/')}/{part} is a link{out}, which porter does not follow: "
                    "save the model again, into one file"
                )
            group = group[part]
        return group

    def datasets(self) -> list[h5py.Dataset]:
        """Return all datasets that hard links lead to."""
        found: list[h5py.Dataset] = []
        self.root.visititems(lambda _, node: found.append(node) if isinstance(node, h5py.Dataset) else None)
        return found

    def text(self, group: h5py.Group, name: str) -> Any:
        """Return an attribute of one text or several, or None if ``group`` has no attribute of this name.

        Raises FormatError if it holds anything else, or claims more bytes than the file has.
        """
        if name not in group.attrs:
            return None
        opened = h5py.h5a.open(group.id, name.encode())
        # HDF5 reports an error for the size of an empty attribute, such as that of a layer without weights.
        if not opened.get_space().get_simple_extent_npoints():
            return group.attrs[name]
        dtype = opened.get_type()
        try:
            if not isinstance(dtype, h5py.h5t.TypeStringID):
                raise FormatError(f"{name} is not text")
            if opened.get_storage_size() > group.file.id.get_filesize():
                raise FormatError(f"{name} claims {opened.get_storage_size()} bytes")
            if dtype.is_variable_str():
                self._claimed += claimed_by_texts(self._read, h5py.h5o.get_info(group.id).addr, name)
                if self._claimed > group.file.id.get_filesize():
                    raise FormatError(f"with {name}, the texts claim {self._claimed} bytes, more than the file has")
        except FormatError as error:
            raise FormatError(
                f"{self.path}: {group.name}: {error}; copy or download it again, or save the model again"
            ) from None
        return group.attrs[name]

    def _read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes at ``offset``, fewer at the end of the file."""
        end = self.root.id.get_filesize()
        offset, size = min(offset, end), max(0, min(size, end))
        if self._contents is not None:
            return self._contents[offset : offset + size]
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(size)


def dataset_entry(dataset: h5py.Dataset, path: Path, name: str) -> Entry:
    """Return the dataset ``name`` as an entry. Raises FormatError if it is not safe to read."""
    try:
        _check(dataset)
    except FormatError as error:
        raise unreadable(path, name, error) from None
    shape, dtype = tuple(dataset.shape), np.dtype(dataset.dtype)
    # Keras stores bfloat16, which HDF5 and numpy lack, as pairs of bytes.
    loaded = np.dtype(np.float32) if dtype == "V2" else dtype
    return Entry(shape, loaded, partial(_load, dataset, path, name))


def stored_values(dataset: h5py.Dataset) -> bytes:
    """Return a dataset's values as they are stored. Raises FormatError if it is not safe to read."""
    _check(dataset)
    values: np.ndarray = dataset[()]
    return values.tobytes()


def _check(dataset: h5py.Dataset) -> None:
    if dataset.external:
        raise FormatError(f"its values lie in another file, {dataset.external[0][0]}, which porter does not open")
    if dataset.is_virtual:
        raise FormatError("it is a virtual dataset with its values in other files, which porter does not open")
    if dataset.shape is None or (dataset.dtype.kind not in "biufc" and dataset.dtype != "V2"):
        raise FormatError(f"it holds {dataset.dtype} instead of numbers")
    stored, there = dataset.id.get_storage_size(), dataset.file.id.get_filesize()
    if stored > there:
        raise FormatError(f"it claims {stored} stored bytes, but the file has {there}")
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    unknown = [str(number) for number in filters if number not in _FILTERS]
    if unknown:
        raise FormatError(f"it is packed with the filter {unknown[0]}, which porter does not load")
    packed = h5py.h5z.FILTER_DEFLATE in filters or h5py.h5z.FILTER_LZF in filters
    most = max(_LARGEST_RATIO * stored, _ROOM if stored else 0) if packed else stored
    # HDF5 unpacks whole chunks, which may be larger than the dataset.
    values = max(dataset.size, math.prod(dataset.chunks or ())) if dataset.size else 0
    claimed = values * dataset.dtype.itemsize
    if claimed > most:
        raise FormatError(f"it claims {claimed} bytes, but the file stores {stored}")


def _load(dataset: h5py.Dataset, path: Path, name: str) -> np.ndarray:
    try:
        values: np.ndarray = dataset[()]
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise unreadable(path, name, FormatError(" ".join(str(error).split()))) from None
    return widen_bfloat16(values.view(np.uint16)) if dataset.dtype == "V2" else values
