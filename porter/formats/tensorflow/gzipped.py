"""Gzipped graphs, unpacked only as far as a graph can go."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

from porter.errors import FormatError

_RATIO = 64
"""Graphs pack to a seventeenth at best, weights hardly at all; deflate's own bound is 1032."""
_ROOM = 1 << 22
"""Bytes to which any file may unpack: protobuf's messages take many times what the emptiest of them take here."""


def unpack(raw: bytes, path: Path) -> bytes:
    """Return what the gzipped bytes of ``path`` unpack to. Raises FormatError where they are damaged, or a bomb."""
    most = max(_RATIO * len(raw), _ROOM)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            unpacked = file.read(most + 1)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise FormatError(f"{path} does not unpack ({error}); copy or download it again") from None
    if len(unpacked) > most:
        raise FormatError(
            f"{path} unpacks from {len(raw):,} bytes to more than {most:,}, which no graph does: unpack it yourself, "
            "or download it again"
        )
    return unpacked
