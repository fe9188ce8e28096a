"""unfit: the error for a file that is not the model asked for. It says what the file is, and which call takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from porter.catalog.models import ARCHS, Arch
from porter.errors import MappingError, PorterError
from porter.formats.checkpoint import Checkpoint
from porter.mapping.description import alike, describe, size_in_name
from porter.mapping.places import by_scope
from porter.mapping.recognise import Match, nearest, variable_shapes
from porter.mapping.variants import original_shapes

MOST_SCOPES = 5
REMEDY = "save the whole network, unchanged, or download the checkpoint again"


def unfit(
    checkpoint: Checkpoint, arch: Arch | None, dialect: str, finding: str, shown: str = "", loads: bool = False
) -> MappingError:
    """Return the error for ``checkpoint``, which is not ``arch`` in ``dialect``.

    ``finding`` says where they differ and names the file; ``shown`` lists tensors, a line each. The recogniser adds
    what the file is and, where another call takes it, that call. A call that ``loads`` takes one dialect alone.
    """
    shapes = original_shapes(variable_shapes(checkpoint.entries), checkpoint.convolutions)
    named = size_in_name(checkpoint.path, {other.input_size for other in ARCHS.values()})
    size = named or (arch.input_size if arch else None)
    notes = "".join(f"; {note}" for note in checkpoint.notes)
    if not checkpoint.named:  # the note on it ends in the remedy
        return MappingError(f"{finding}{shown}{notes}")
    said = f"{finding}{shown}{notes}" + ("\n  " if shown else ": ")
    try:
        matches = nearest(shapes, size)
    except PorterError:  # a table or golden of another network is damaged: what was found still counts
        return MappingError(said + REMEDY)
    if not matches:
        return MappingError(said + _unknown(checkpoint, list(shapes)))
    if arch and matches[0].arch.table != arch.table:  # the size of a detector is not that of a classifier
        size = named
    best = alike(matches, size)[0]
    if not best.exact:
        return MappingError(said + _near(best, arch))
    phrase = describe([match for match in matches if match.exact and _same(match, best)], None, dialect)
    said += f"the file {phrase if phrase.startswith('contains ') else f'holds {phrase}'}"
    ways = _ways(best, arch, dialect)
    if loads and any(way.keys() - {"model"} for way in ways):
        return MappingError(f"{said}; port it to {dialect} first")
    return MappingError(said if ways else f"{said}; save the network as its authors build it", ways)


def _same(match: Match, best: Match) -> bool:
    return (match.arch.title, match.dialect, match.place) == (best.arch.title, best.dialect, best.place)


def _ways(best: Match, arch: Arch | None, dialect: str) -> list[dict[str, Any]]:
    """Return the arguments with which the call takes the file, one set for each copy of the network."""
    changes: dict[str, Any] = {}
    if arch is None or best.arch.name != arch.name:
        changes["model"] = best.arch.name
    if best.dialect != dialect:
        changes["source"] = best.dialect
    if not best.whole:
        changes["backbone" if best.unknown else "no_head"] = True
    if not best.copies:
        return [changes] if changes else []
    return [changes | place.choice() for place in (best.place, *best.copies)]


def _near(best: Match, arch: Arch | None) -> str:
    """Say which network of porter's comes closest, and what to do about the rest."""
    if arch and best.arch.title == arch.title:
        return REMEDY
    lost = [f"lacks {len(best.missing)} tensors such as {best.missing[0]}"] if best.missing else []
    if best.differing:
        lost.append(f"has {len(best.differing)} tensors of another shape such as {best.differing[0]}")
    if best.between:
        lost.append(f"has {len(best.between)} tensors beside its head such as {best.between[0]}")
    return f"the file comes closest to {best.arch.title}, but {' and '.join(lost)}; {REMEDY}"


def _unknown(checkpoint: Checkpoint, names: Sequence[str]) -> str:
    scopes = list(by_scope(names, (), "/" if any("/" in name for name in names) else "."))
    more = f" and {len(scopes) - MOST_SCOPES} more" if len(scopes) > MOST_SCOPES else ""
    held = f"variables in the scopes {', '.join(scopes[:MOST_SCOPES])}{more}" if scopes else "no variables"
    return (
        f"the file holds another network, which porter does not know, with {held}: "
        f"look at it with `port inspect {checkpoint.path}`"
    )
