"""Reads string tensors of a TensorBundle: lengths, their checksum, then the strings.

Source: WriteStringTensor in tensorflow/core/util/tensor_bundle/tensor_bundle.cc.
"""

from __future__ import annotations

from typing import Literal

from porter.errors import FormatError
from porter.formats.tensorflow.crc import masked_crc32c
from porter.formats.tensorflow.wire import varint

_SHORT = 1 << 32
"""A length below this enters the checksum as four bytes, any other as eight."""


def read_strings(raw: bytes, count: int, crc: int, big_endian: bool = False) -> list[bytes]:
    """Return the ``count`` strings in ``raw``, whose masked checksum is ``crc``. Raises FormatError."""
    order: Literal["big", "little"] = "big" if big_endian else "little"
    at, lengths, written = 0, [], bytearray()
    for _ in range(count):
        length, at = varint(raw, at)
        lengths.append(length)
        written += length.to_bytes(4 if length < _SHORT else 8, order)
    hashed = bytes(written)
    checked = raw[at : at + 4]
    at += 4
    if checked != masked_crc32c(hashed).to_bytes(4, order):
        raise FormatError("its lengths do not match their checksum")
    if at + sum(lengths) != len(raw):
        raise FormatError(f"its strings take {sum(lengths)} bytes, but {len(raw) - at} are there")
    if masked_crc32c(hashed + raw[at - 4 :]) != crc:
        raise FormatError("it does not match its checksum")
    strings = []
    for length in lengths:
        strings.append(raw[at : at + length])
        at += length
    return strings
