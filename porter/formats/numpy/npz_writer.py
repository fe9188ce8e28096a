"""Writes tensornets' .npz: the names of a network's variables, and their values as one pickled row of arrays.

Source: `save` and `parse_weights` in tensornets/utils.py (taehoonlee/tensornets): ``np.savez(path, names=names,
values=values)``. It assigns the values by their order, and reads no name but to swap a beta and a gamma.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

_PROTOCOL = b"\x80\x03"
"""Protocol 3, the one with bytes that every Python 3 reads."""


def write_listed(path: Path, names: Sequence[str], arrays: Iterable[np.ndarray]) -> None:
    """Write ``names`` and ``arrays``, which are as many, to ``path``, one array at a time."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        with archive.open("names.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.array(names), allow_pickle=False)
        with archive.open("values.npy", "w", force_zip64=True) as file:
            row = np.lib.format.header_data_from_array_1_0(np.empty(len(names), object))
            np.lib.format.write_array_header_1_0(file, row)
            for part in _pickled(len(names), arrays):
                file.write(part)


def _pickled(count: int, arrays: Iterable[np.ndarray]) -> Iterator[bytes | memoryview]:
    """Yield the pickle of a row of ``count`` arrays as numpy makes it, without a memo: so no array stays in memory."""
    yield _PROTOCOL + _EMPTY + _state(np.dtype(object), (count,)) + b"]("  # an empty list, a mark
    for array in arrays:
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        yield _EMPTY + _state(array.dtype, array.shape)
        yield b"B" + len(raw).to_bytes(4, "little")
        yield raw
        yield b"tb"  # the state's tuple, set
    yield b"etb."  # appended to the list; the row's state, set


_EMPTY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
"""The call ``_reconstruct(ndarray, (0,), b"b")``; numpy 2 still knows its module by this name."""


def _state(dtype: np.dtype, shape: Sequence[int]) -> bytes:
    """Return the beginning of an array's state: version 1, the shape, the dtype, and that it is in C order."""
    sizes = b"(" + b"".join(_integer(size) for size in shape) + b"t"
    return b"(K\x01" + sizes + _dtype(dtype) + b"\x89"


def _integer(value: int) -> bytes:
    """Return the opcodes of one integer."""
    return pickle.dumps(value, 3)[2:-1]


def _dtype(dtype: np.dtype) -> bytes:
    code = dtype.str[1:].encode()
    order = b"|" if dtype.hasobject or dtype.itemsize == 1 else b"<"
    flags = _integer(63 if dtype.hasobject else 0)  # numpy/core/include/numpy/ndarraytypes.h: those of objects
    made = b"cnumpy\ndtype\n" + b"X" + len(code).to_bytes(4, "little") + code + b"\x89\x88\x87R"
    return made + b"(K\x03X\x01\x00\x00\x00" + order + b"NNN" + _integer(-1) + _integer(-1) + flags + b"tb"
