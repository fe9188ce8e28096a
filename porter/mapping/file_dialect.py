"""file_dialect: whose names a file has, where nobody says it."""

from __future__ import annotations

from collections.abc import Sequence

from porter.catalog.models import Arch
from porter.formats.checkpoint import Checkpoint
from porter.mapping.dialects import ORIGINAL
from porter.mapping.recognise import KNOWN, Match, in_dialects, variable_shapes
from porter.mapping.translate import Options, Translation, translate


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


def to_framework(checkpoint: Checkpoint, arch: Arch, framework: str, parts: Sequence[str] = ()) -> Translation | None:
    """Return the translation of ``checkpoint`` to the own names of ``framework``, None where it has those already.

    ``parts`` are the optional parts to take. A file without its classifier stays without. Raises MappingError where the
    file is not the model's.
    """
    found = file_match(checkpoint, arch)
    if found.dialect == framework:
        return None
    options = Options(headless=found.exact and not found.whole, parts=parts)
    return translate(checkpoint, arch, found.dialect, framework, options)
