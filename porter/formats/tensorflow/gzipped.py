"""Unpacks gzipped graphs, up to a bound on their size."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

from porter.errors import FormatError

_RATIO = 64
"""Graphs compress to a seventeenth at best, weights hardly at all; deflate's own bound is 1032."""
_ROOM = 1 << 22
"""Bytes that any file may unpack to; the emptiest protobuf messages take many times their size in memory."""


def unpack(raw: bytes, path: Path) -> bytes:
    """Unpack the gzipped bytes of ``path``. Raises FormatError if they are damaged or unpack to too much."""
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
