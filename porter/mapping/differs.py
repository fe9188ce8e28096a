"""Differs: libraries that compute another function than the original with the same weights, and by how much.

A table's ``[[differs]]`` entries are data. ``logits`` is the largest difference of the logits, in standard deviations
of the original's, on the images and weights of the golden ``measured``. A test holds it against the library itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.errors import MappingError

TYPES: Mapping[str, type] = {
    "dialect": str,
    "library": str,
    "version": str,
    "logits": float,
    "measured": str,
    "why": str,
    "source": str,
    "multiple": int,
    "layer": str,
}
"""The keys of an entry. ``multiple`` and ``layer`` may be left out."""
_OPTIONAL = {"multiple", "layer"}


@dataclass(frozen=True)
class Differs:
    """One library that computes another function than the original, with names of ``dialect``.

    ``version`` is the one that was measured; ``why`` says what it does otherwise, ``source`` where. At input sizes that
    are multiples of ``multiple`` it computes the same. ``layer`` is one that only its network has, not the original's.
    """

    dialect: str
    library: str
    version: str
    logits: float
    measured: str
    why: str
    source: str
    multiple: int | None = None
    layer: str | None = None

    def sentence(self, source: str, target: str, layers: Collection[str] | None) -> str | None:
        """Return what a port from ``source`` to ``target`` says of it, None where it does not matter.

        ``layers`` are all layers of the file, weightless ones too, None where the file does not list them.
        """
        if self.dialect == source:
            if self.layer is None or layers is None:
                begin = f"if these weights were trained in {self.library}, the port computes another function"
            elif self.layer in layers:
                begin = f"the file holds {self.library}'s own network, and the port computes another function"
            else:
                return None
        elif self.dialect == target:
            begin = f"in {self.library} these weights compute another function"
        else:
            return None
        sizes = f" at input sizes that are no multiple of {self.multiple}" if self.multiple else ""
        by = f"by up to {self.logits:.1%} of the logits' standard deviation"
        return f"{begin}{sizes}, {by}: {self.why} ({self.version} on {self.measured}; {self.source})"


def read_differs(raw: Sequence[Mapping[str, Any]], dialects: Collection[str], path: Path) -> tuple[Differs, ...]:
    """Return the entries of a table in ``path``. Raises MappingError for a key, type or dialect that does not fit."""
    return tuple(Differs(**_checked(entry, dialects, path)) for entry in raw)


def _checked(entry: Mapping[str, Any], dialects: Collection[str], path: Path) -> Mapping[str, Any]:
    which = f"{path}: the table has a [[differs]] entry"
    if unknown := sorted(entry.keys() - TYPES.keys()):
        raise MappingError(f"{which} with unknown keys {unknown}: it takes {', '.join(TYPES)}")
    if missing := sorted(TYPES.keys() - _OPTIONAL - entry.keys()):
        raise MappingError(f"{which} without {', '.join(missing)}: add them")
    for key, value in entry.items():
        if not isinstance(value, TYPES[key]):
            raise MappingError(f"{which} whose {key} is {value!r}: expected a {TYPES[key].__name__}")
    if entry["dialect"] not in dialects:
        raise MappingError(f"{which} of {entry['dialect']!r}, which is not a dialect of the table")
    return entry


def sentences(entries: Sequence[Differs], source: str, target: str, layers: Collection[str] | None) -> Iterator[str]:
    """Yield what a port says of each library that computes another function; see Differs.sentence."""
    for entry in entries:
        found = entry.sentence(source, target, layers)
        if found is not None:
            yield found
