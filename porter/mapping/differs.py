"""Differs: libraries that compute another function than the original with the same weights, and by how much.

A table's ``[[differs]]`` entries are data. ``logits`` is the largest difference of the logits, in standard deviations
of the original's, on the images and weights of the golden ``measured``. A test holds it against the library itself.
``settings`` are arguments of the library's constructor with which it computes the original's function.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter.errors import MappingError, PorterError

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
    "settings": dict,
    "also": list,
}
"""The keys of an entry. Those of _OPTIONAL may be left out."""
_OPTIONAL = {"multiple", "layer", "settings", "also"}


@dataclass(frozen=True)
class Differs:
    """One library that computes another function than the original, with names of ``dialect``.

    ``also`` lists other dialects with the same names, whose files may come from the library; a port to them is for
    another network, porter's own of PyTorch.
    ``version`` is the one that was measured; ``why`` says what it does otherwise, ``source`` where. At input sizes that
    are multiples of ``multiple`` it computes the same. ``layer`` is one that only its network has, not the original's.
    ``settings`` are arguments that make it exact, none where it cannot be.
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
    settings: Mapping[str, Any] = field(default_factory=dict)
    also: Sequence[str] = ()

    @property
    def dialects(self) -> tuple[str, ...]:
        """Every dialect that has its names."""
        return (self.dialect, *self.also)

    def at(self, size: int) -> bool:
        """Tell whether it computes another function for images of this side in pixels."""
        return self.multiple is None or size % self.multiple != 0

    @property
    def remedy(self) -> str:
        """The settings that make it exact, as its constructor takes them; empty without any."""
        return written_settings(self.settings)

    def sentence(self, source: str, target: str, layers: Collection[str] | None) -> str | None:
        """Return what a port from ``source`` to ``target`` says of it, None where it does not matter.

        ``layers`` are all layers of the file, weightless ones too, None where the file does not list them.
        """
        if source in self.dialects:
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
        by = f"by up to {percent(self.logits)} of the logits' standard deviation"
        exact = f"; it is exact with {self.remedy}" if self.settings else ""
        return f"{begin}{sizes}, {by}: {self.why} ({self.version} on {self.measured}; {self.source}){exact}"


def percent(share: float) -> str:
    """Return a share as a reader has it, with at least one digit that is not 0 from 0.01% on."""
    return f"{share:.1%}" if share >= 0.001 else f"{share:.2%}"


def written_settings(settings: Mapping[str, Any]) -> str:
    """Return arguments as Python code writes them, text in double quotes."""
    written = ((name, f'"{value}"' if isinstance(value, str) else repr(value)) for name, value in settings.items())
    return ", ".join(f"{name}={value}" for name, value in written)


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
    for dialect in (entry["dialect"], *entry.get("also", ())):
        if dialect not in dialects:
            raise MappingError(f"{which} of {dialect!r}, which is not a dialect of the table")
    return entry


def sentences(entries: Sequence[Differs], source: str, target: str, layers: Collection[str] | None) -> Iterator[str]:
    """Yield what a port says of each library that computes another function; see Differs.sentence."""
    for entry in entries:
        found = entry.sentence(source, target, layers)
        if found is not None:
            yield found


def exact_settings(entries: Sequence[Differs], dialect: str) -> dict[str, Any]:
    """Return the arguments with which the library of ``dialect`` computes the original's function.

    They are empty where it does by default, and where no argument makes it.
    """
    return {name: value for entry in entries if dialect in entry.dialects for name, value in entry.settings.items()}


def require_same_function(
    entries: Sequence[Differs], source: str, target: str, layers: Collection[str] | None, size: int, path: Path
) -> None:
    """Raise PorterError where a port of ``path`` leads from or to a library that computes another function at ``size``.

    See Differs.sentence for the other arguments.
    """
    for sentence in sentences([entry for entry in entries if entry.at(size)], source, target, layers):
        raise PorterError(f"{path}: {sentence}; leave `strict_function` out to port it all the same")
