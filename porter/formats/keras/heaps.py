"""HDF5's heaps, which hold its texts: refuses endless heaps and claims beyond the file's size.

HDF5 itself loops on an entry of size 0, and allocates the memory that a text claims before it looks for the text.

Source: HDF5 File Format Specification, II.A superblock, III.E global heap, IV.A object headers.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterator
from itertools import islice

from porter.errors import FormatError

Read = Callable[[int, int], bytes]
"""Returns the bytes at an offset: as many as the second number, fewer at the end of the file."""

_WIDE = 8
"""The bytes of an address and of a length, and the alignment, as HDF5 writes them."""
_HEAP, _HEADER = b"GCOL\1\0\0\0", 16
"""The first bytes of a heap, and the length of its header and of each entry's."""
_ATTRIBUTE, _CONTINUATION, _ATTRIBUTE_INFO = 0x0C, 0x10, 0x15
_NOWHERE = b"\xff" * _WIDE
"""The address of something absent."""
_SHARED = 2
"""The flag of a message that lies elsewhere."""
_BESIDE = "beside the object they belong to, as Keras does"
_MOST_CHUNKS = 1 << 12
"""A bound on an object's chunks of messages, which a damaged file may link in a circle."""


def check_heaps(buffer: bytes | mmap.mmap) -> None:
    """Raise FormatError if a heap of texts does not end, or if heaps share bytes, which would be read many times.

    Addresses must be as wide as HDF5 writes them.
    """
    sizes = buffer[13:15] if buffer[8] < 2 else buffer[9:11]
    if sizes != bytes((_WIDE, _WIDE)):
        raise FormatError(f"it has offsets of {sizes[0]} bytes, but HDF5 writes {_WIDE}")
    claimed = 0
    at = buffer.find(_HEAP)
    while at >= 0:
        size = int.from_bytes(buffer[at + 8 : at + 16], "little")
        claimed += size
        if claimed > len(buffer):
            raise FormatError(
                f"with the heap at byte {at}, the heaps claim {claimed} bytes, but the file has {len(buffer)}"
            )
        end, entry = at + size, at + _HEADER
        while entry + _HEADER <= min(end, len(buffer)):
            number = int.from_bytes(buffer[entry : entry + 2], "little")
            size = int.from_bytes(buffer[entry + 8 : entry + _HEADER], "little")
            step = _HEADER + _aligned(size) if number else size  # the free entry's size includes its header
            if not step or entry + step > end:
                raise FormatError(f"the heap at byte {at} has an endless entry")
            entry += step
        at = buffer.find(_HEAP, at + 1)


def claimed_by_texts(read: Read, address: int, name: str) -> int:
    """Return the number of bytes that the texts of the attribute ``name`` claim together.

    ``address`` is that of the header of the attribute's object. Raises FormatError if the attribute is not there.
    """
    found, claimed = False, 0
    for message in _attributes(read, address):
        stated, values = _name_and_values(message)
        if stated == name.encode():
            found = True
            # For each text: its length, the heap's address, and its number in the heap.
            texts = struct.iter_unpack("<IQI", values[: len(values) // 16 * 16])
            claimed += sum(length for length, _, _ in texts)
    if not found:
        raise FormatError(f"the texts of {name} are not stored {_BESIDE}")
    return claimed


def _attributes(read: Read, address: int) -> Iterator[bytes]:
    """Yield the attribute messages of the object at ``address``.

    Raises FormatError if any lies elsewhere: HDF5 might read that one instead of another of the same name.
    """
    head = read(address, 16)
    if head[:4] == b"OHDR":
        flags = head[5]
        wide = 1 << (flags & 3)
        begin = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        chunks = [(begin + wide, int.from_bytes(read(begin, wide), "little"))]
        form, signature, checksum = ("<BHBxx" if flags & 4 else "<BHB"), 4, 4
    else:
        chunks = [(address + 16, int.from_bytes(head[8:12], "little"))]
        form, signature, checksum = "<HHBxxx", 0, 0
    fixed = struct.calcsize(form)
    for begin, size in islice(chunks, _MOST_CHUNKS):  # the list grows in the loop
        chunk, at = read(begin, size), 0
        while at + fixed <= len(chunk):
            kind, length, flags = struct.unpack_from(form, chunk, at)
            message = chunk[at + fixed : at + fixed + length]
            at += fixed + length
            if kind == _CONTINUATION and len(message) == 2 * _WIDE:
                place, room = struct.unpack("<QQ", message)
                chunks.append((place + signature, room - signature - checksum))
            elif kind == _ATTRIBUTE and not flags & _SHARED:
                yield message
            elif kind == _ATTRIBUTE or (kind == _ATTRIBUTE_INFO and _heap_of(message) != _NOWHERE):
                raise FormatError(f"it has attributes that are not stored {_BESIDE}")


def _heap_of(message: bytes) -> bytes:
    """Return the address of the object's other attributes; a count of them may precede it."""
    begin = 4 if message[1] & 1 else 2
    return message[begin : begin + _WIDE]


def _name_and_values(message: bytes) -> tuple[bytes, bytes]:
    """Return an attribute's name and its stored values."""
    version, name, dtype, shape = struct.unpack_from("<BxHHH", message)
    begin = 9 if version == 3 else 8  # version 3 also names the encoding
    step = _aligned if version == 1 else int
    values = begin + step(name) + step(dtype) + step(shape)
    return message[begin : begin + name].split(b"\0")[0], message[values:]


def _aligned(size: int) -> int:
    return -(-size // _WIDE) * _WIDE
