"""Which of a variable's values to read: the raw ones, or their moving average."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from porter.errors import MappingError, PorterError, listing, plural, summary
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.roles import SHADOW_SUFFIX
from porter.mapping.rows import Pair

AVERAGES = ("auto", "ema", "raw")


@dataclass(frozen=True)
class Choice:
    """The entries to read.

    ``taken`` holds ``{table's name: entry}``, the variable or its moving average. ``average`` is ``ema`` or ``raw``.
    ``averaged_only`` counts the raw variables that the file lacks, whose averages are read.
    """

    taken: dict[str, str]
    average: str
    averaged_only: int


def check_average(average: str) -> None:
    """Raise PorterError where ``average`` is not auto, ema or raw."""
    if average not in AVERAGES:
        raise PorterError(f"`average` must be one of {', '.join(AVERAGES)}, got {average!r}")


def choose_averages(checkpoint: Checkpoint, pairs: Sequence[Pair], names: dict[str, str], average: str) -> Choice:
    """Return the entries to read for ``pairs``, whose stored names are in ``names``.

    ``auto`` takes the averages where every trainable variable has one. Raises MappingError where the values that
    ``average`` asks for are missing.
    """
    entries = checkpoint.entries
    unaveraged = [
        names[pair.source] for pair in pairs if pair.trainable and names[pair.source] + SHADOW_SUFFIX not in entries
    ]
    only_averaged = [names[pair.source] for pair in pairs if names[pair.source] not in entries]
    if average == "ema" and unaveraged:
        raise MappingError(
            f"{checkpoint.path} has no moving average of {plural(len(unaveraged), 'trainable variable')}:"
            f'{listing(summary(unaveraged))}\n  take `average="auto"`'
        )
    if average == "raw" and only_averaged:
        raise MappingError(
            f"{checkpoint.path} holds only the moving average of {plural(len(only_averaged), 'variable')}:"
            f'{listing(summary(only_averaged))}\n  take `average="auto"`'
        )
    kind = average if average != "auto" else "raw" if unaveraged else "ema"
    taken = {pair.source: _entry_of(names[pair.source], kind, entries) for pair in pairs}
    return Choice(taken, kind, len(only_averaged) if kind == "raw" else 0)


def _entry_of(name: str, kind: str, entries: Collection[str]) -> str:
    shadow = name + SHADOW_SUFFIX
    return shadow if shadow in entries and (kind == "ema" or name not in entries) else name


class Differences:
    """The largest |raw - average| of each variable of ``names`` that has both in ``checkpoint``.

    Reading an entry that ``watch`` returns compares the two in the same pass; ``largest`` reads what nobody has read.
    Raises MappingError where the two have different shapes.
    """

    def __init__(self, checkpoint: Checkpoint, names: Iterable[str]) -> None:
        self._entries = checkpoint.entries
        both = [name for name in names if name in checkpoint and name + SHADOW_SUFFIX in checkpoint]
        for name in both:
            value, average = self._entries[name].shape, self._entries[name + SHADOW_SUFFIX].shape
            if value != average:
                raise MappingError(
                    f"{checkpoint.path}: {name} has shape {value}, but its moving average has {average}: "
                    "the file is damaged or mixes two trainings; take another"
                )
        self._found: dict[str, float | None] = dict.fromkeys(both)

    def __bool__(self) -> bool:
        return bool(self._found)

    def watch(self, taken: str) -> Entry:
        """Return the entry ``taken``, a variable or its average; reading it compares it with the other of the two."""
        entry, name = self._entries[taken], taken.removesuffix(SHADOW_SUFFIX)
        if name not in self._found:
            return entry
        return Entry(entry.shape, entry.dtype, partial(self._compared, entry, name, taken))

    @property
    def largest(self) -> float | None:
        """The largest difference, which may be NaN; None where no variable has both."""
        for name, found in self._found.items():
            if found is None:
                self.watch(name).load()
        # numpy's maximum, because Python's would pass over a NaN.
        return float(np.max([found for found in self._found.values() if found is not None])) if self._found else None

    def _compared(self, entry: Entry, name: str, taken: str) -> np.ndarray:
        values = entry.load()
        if self._found[name] is None:
            other = self._entries[name if taken != name else name + SHADOW_SUFFIX].load()
            self._found[name] = float(np.max(np.abs(values - other), initial=0))
        return values
