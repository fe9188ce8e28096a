"""Reads a pickled row of numpy arrays with stand-ins for numpy's constructors.

It accepts only the calls that rebuild an array or a dtype, and only their opcodes. So no pickle executes anything, or
allocates the size that it claims.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from porter.errors import FormatError
from porter.formats.dtypes import fits

_OPCODES = frozenset(
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "SHORT_BINBYTES BINBYTES BINBYTES8 SHORT_BINSTRING BINSTRING EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 "
    "TUPLE2 TUPLE3 BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD".split()
)
_DTYPE = re.compile(r"[biufc]\d\d?|O[48]?")


class Array:
    """An array as a pickle states it; `values` makes its values on demand."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()
        self.dtype = np.dtype(np.uint8)
        self.raw: Any = b""
        self.fortran = False

    def __setstate__(self, state: Any) -> None:
        _, self.shape, dtype, self.fortran, self.raw = state
        self.dtype = dtype.dtype
        sides = isinstance(self.shape, tuple) and all(type(side) is int for side in self.shape)
        if not sides or not fits(self.shape, self.dtype):
            raise FormatError(f"it has the shape {self.shape}, which no array can have")
        if not isinstance(self.raw, list if self.dtype.hasobject else (bytes, _Latin1)):
            raise FormatError(f"an array of {self.dtype} holds something besides its values")
        held = len(self.raw) * (self.dtype.itemsize if self.dtype.hasobject else 1)
        if held != math.prod(self.shape) * self.dtype.itemsize:
            raise FormatError(f"an array of {self.dtype} and shape {self.shape} is stored in {held} bytes")

    def values(self) -> np.ndarray:
        """Return the array's values in this machine's byte order."""
        raw = self.raw.encoded() if isinstance(self.raw, _Latin1) else self.raw
        values = np.frombuffer(raw, self.dtype).reshape(self.shape, order="F" if self.fortran else "C")
        return values.astype(self.dtype.newbyteorder("="), copy=False)


class _Dtype:
    """A dtype as a pickle states it."""

    def __init__(self, text: Any, align: Any = False, copy: Any = True) -> None:
        text = _text(text)
        if not _DTYPE.fullmatch(text):
            raise FormatError(f"it holds an array of {text!r} instead of numbers")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: Any) -> None:
        order = _text(state[1])
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class _Latin1:
    """Bytes that a pickle of protocol 2 keeps as text; `encoded` makes them on demand."""

    def __init__(self, text: Any, codec: Any) -> None:
        if not isinstance(text, str) or _text(codec) != "latin1":
            raise FormatError("its bytes have another encoding than numpy's")
        self.text = text

    def __len__(self) -> int:
        return len(self.text)

    def encoded(self) -> bytes:
        """Return the bytes. Raises FormatError if the text has characters beyond bytes."""
        try:
            return self.text.encode("latin1")
        except UnicodeEncodeError:
            raise FormatError("its bytes have another encoding than numpy's") from None


def _reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    return Array()


def _not_called(*_: Any) -> None:
    raise FormatError("it calls ndarray, which no pickled array does")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _not_called,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Latin1,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise FormatError(f"it pickles a call of {module}.{name}, which porter does not run")
        return _ALLOWED[module, name]


def unpickle_arrays(raw: memoryview) -> list[Array]:
    """Return the arrays in a pickled row of arrays. Raises FormatError if it holds anything else."""
    file = io.BytesIO(raw)
    try:
        for count, (opcode, argument, at) in enumerate(pickletools.genops(file)):
            if opcode.name not in _OPCODES:
                raise FormatError(f"its pickle has the opcode {opcode.name} at byte {at}, which no pickled array has")
            # The unpickler's memo takes as much memory as its largest number asks for.
            if opcode.name == "LONG_BINPUT" and int(argument or 0) > count:
                raise FormatError(f"its pickle refers to object {argument} at byte {at}, more than it holds")
        file.seek(0)
        row = _Unpickler(file, encoding="bytes").load()
    except FormatError:
        raise
    except Exception as error:  # a damaged pickle may raise any error
        raise FormatError(f"its pickle is damaged ({type(error).__name__})") from None
    listed = row.raw if isinstance(row, Array) and row.dtype.hasobject and len(row.shape) == 1 else None
    if not isinstance(listed, list) or not all(isinstance(one, Array) and not one.dtype.hasobject for one in listed):
        raise FormatError("its pickle is not a row of arrays")
    return listed


def _text(value: Any) -> str:
    """Return a pickled string, which Python 2 keeps as bytes."""
    if isinstance(value, bytes):
        value = value.decode("latin1")
    if not isinstance(value, str):
        raise FormatError("its pickle has something else instead of a name")
    return value
