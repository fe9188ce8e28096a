"""Which of a variable's values to read: the raw ones, or their moving average."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from porter.errors import MappingError, PorterError, listing, plural, summary
from porter.formats.checkpoint import Checkpoint
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


def largest_difference(checkpoint: Checkpoint, names: Iterable[str]) -> float | None:
    """Return the largest |raw - average| over the variables that have both; None where none has.

    Raises MappingError where the two have different shapes.
    """
    both = [name for name in names if name in checkpoint and name + SHADOW_SUFFIX in checkpoint]
    for name in both:
        value, average = checkpoint.entries[name].shape, checkpoint.entries[name + SHADOW_SUFFIX].shape
        if value != average:
            raise MappingError(
                f"{checkpoint.path}: {name} has shape {value}, but its moving average has {average}: "
                "the file is damaged or mixes two trainings; take another"
            )
    if not both:
        return None
    # numpy's maximum, because Python's would pass over a NaN.
    return float(np.max([np.max(np.abs(checkpoint[n] - checkpoint[n + SHADOW_SUFFIX]), initial=0) for n in both]))
