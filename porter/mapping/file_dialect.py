"""file_dialect: whose names a file has, where nobody says it."""

from __future__ import annotations

from porter.catalog.models import Arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.dialects import ORIGINAL
from porter.mapping.recognise import KNOWN, Match, in_dialects, variable_shapes


def file_dialect(checkpoint: Checkpoint, arch: Arch) -> str:
    """Return the dialect of ``arch`` whose names and shapes ``checkpoint`` has: of equal ones, the table's first.

    Equal dialects name every tensor of the file alike, so that either reads it. A graph whose constants lost their
    names, and a file that holds nothing of ``arch``, count as the original's: a translation says what they are.
    """
    return file_match(checkpoint, arch).dialect


def file_match(checkpoint: Checkpoint, arch: Arch) -> Match:
    """Return what ``checkpoint`` holds of ``arch`` in that dialect."""
    found = in_dialects(arch, variable_shapes(checkpoint.entries))
    if checkpoint.convolutions and found[0].named < KNOWN:
        return next(match for match in found if match.dialect == ORIGINAL)
    return found[0]
