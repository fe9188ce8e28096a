"""compare_weights: which values of one checkpoint another holds, tensor by tensor, raw or averaged.

A frozen graph is a checkpoint too, so that this tells which weights it was made of. Tensors are read one at a time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import PorterError
from porter.export.casting import bfloat16_bits
from porter.files.progress import Track, untracked
from porter.formats.checkpoint import Checkpoint
from porter.formats.dtypes import widen_bfloat16
from porter.formats.roles import SHADOW, VARIABLE, base_name, roles

RAW, AVERAGE, BOTH = "raw value", "moving average", "raw value and moving average"
ALONE = "the only value"
DIFFERS, SHAPE, QUANTIZED, FOLDED = "differs", "another shape", "quantized", "folded batch norm"
ONLY_FIRST, ONLY_SECOND = "only in the first", "only in the second"
SAME = (RAW, AVERAGE, BOTH, ALONE)
"""The results of tensors whose values are the same."""
_VARIANCES = ("moving_variance", "running_var", "moving_var", "variance")
_LEVELS, _FEW = 256, 1024
"""A quantized tensor has more than ``_FEW`` values, and 3 to ``_LEVELS`` different ones; an initial one has fewer."""
_COMPANY = 4
"""A name's end that more tensors share than this says nothing about the scope in front of it."""


@dataclass(frozen=True)
class Tensor:
    """One variable's comparison.

    ``name`` is its name in the first file, or in the second if only that has it; ``other`` that in the second.
    ``result`` is one of the constants of this module. RAW, AVERAGE and BOTH say which values are the same, and ALONE
    that they are the same where there is no choice. ``raw`` and ``average`` are the largest absolute differences from
    these, None if they are unknown or not there. ``rounded`` is the dtype to which the values were rounded, or empty.
    """

    name: str
    other: str | None
    result: str
    raw: float | None = None
    average: float | None = None
    rounded: str = ""
    shapes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class WeightsDifference:
    """The comparison of two files' variables. It is true if all are the same.

    ``prefixes`` stand before the names that both files share. ``by_value`` says that they share no names, so that only
    tensors of the same values were matched. ``averaged`` is the file with moving averages that the
    values were compared with, None if neither has them or both. ``uncompared`` counts the other entries by role.
    """

    first: Path
    second: Path
    formats: tuple[str, str]
    prefixes: tuple[str, str]
    by_value: bool
    averaged: Path | None
    tensors: tuple[Tensor, ...]
    uncompared: dict[str, int]

    def __bool__(self) -> bool:
        return bool(self.tensors) and all(tensor.result in SAME and not tensor.rounded for tensor in self.tensors)

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of tensors per result."""
        return dict(Counter(tensor.result for tensor in self.tensors))

    @property
    def shared(self) -> list[Tensor]:
        """The tensors that both files have."""
        return [tensor for tensor in self.tensors if tensor.result not in (ONLY_FIRST, ONLY_SECOND)]

    def largest(self, kind: str) -> float | None:
        """Return the largest difference from the raw values or the averages (``raw``, ``average``); None if unknown."""
        return max((value for t in self.shared if (value := getattr(t, kind)) is not None), default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "kind": "weights",
            "equal": bool(self),
            "first": str(self.first),
            "second": str(self.second),
            "formats": list(self.formats),
            "prefixes": list(self.prefixes),
            "matched_by": "value" if self.by_value else "name",
            "averages_of": str(self.averaged) if self.averaged else None,
            "counts": self.counts,
            "largest_difference_from_raw": self.largest("raw"),
            "largest_difference_from_average": self.largest("average"),
            "uncompared": self.uncompared,
            "tensors": [asdict(tensor) for tensor in self.tensors],
        }


class _Side:
    """A file's variables: the entries of their raw values and their averages, by the variable's name."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        found = roles(checkpoint.entries)
        self.raw = {name: name for name, role in found.items() if role == VARIABLE}
        self.average = {base_name(name): name for name, role in found.items() if role == SHADOW}
        self.others = Counter(role for role in found.values() if role not in (VARIABLE, SHADOW))
        self.names = dict.fromkeys(base_name(name) for name, role in found.items() if role in (VARIABLE, SHADOW))
        self.has_variances = any(re.split(r"[/.]", name)[-1].startswith(_VARIANCES) for name in self.names)

    def values(self, name: str, average: bool) -> np.ndarray | None:
        entry = (self.average if average else self.raw).get(name)
        return None if entry is None else self.checkpoint[entry]

    def plain(self, name: str) -> np.ndarray:
        """Return a variable's raw value, or its average where the file has nothing else."""
        return self.checkpoint[self.raw.get(name) or self.average[name]]

    def shape(self, name: str) -> tuple[int, ...]:
        return self.checkpoint.entries[self.raw.get(name) or self.average[name]].shape


def compare_weights(first: Checkpoint, second: Checkpoint, track: Track[str] = untracked) -> WeightsDifference:
    """Compare the variables of two checkpoints, by name behind each file's prefix, value for value.

    Where one file has moving averages, the other's values are compared with these and with the raw values; where both
    have them, raw values are compared with raw values. Raises PorterError if no names are shared, FormatError if a
    tensor is damaged.
    """
    a, b = _Side(first), _Side(second)
    mine, theirs = _prefixes(a, b)
    partner = {name: other for name in a.names if (other := _partner(name, mine, theirs)) in b.names}
    by_value = not partner
    if by_value:
        partner = _same_values(a, b, track)
    if not partner:
        raise PorterError(
            f"{first.path} and {second.path} have no tensor of the same name or values: name two files of one network "
            "with the names of one framework, or port one of them first"
        )
    pairs = _Pairs(a, b)
    compared = [pairs.compare(name, partner[name]) for name in track(list(partner), "comparing")]
    only = [pairs.only(name, ONLY_FIRST) for name in a.names if name not in partner]
    known = set(partner.values())
    only += [pairs.only(name, ONLY_SECOND) for name in b.names if name not in known]
    return WeightsDifference(
        first.path,
        second.path,
        (first.format, second.format),
        (mine, theirs),
        by_value,
        pairs.averaged.checkpoint.path if pairs.averaged else None,
        (*compared, *only),
        dict(a.others + b.others),
    )


class _Pairs:
    """Compares variables of two files."""

    def __init__(self, first: _Side, second: _Side) -> None:
        self.first, self.second = first, second
        one = bool(first.average) != bool(second.average)
        self.averaged = (first if first.average else second) if one else None
        self.folded = first.has_variances != second.has_variances

    def compare(self, name: str, other: str) -> Tensor:
        shapes = self.first.shape(name), self.second.shape(other)
        if shapes[0] != shapes[1]:
            return Tensor(name, other, SHAPE, shapes=shapes)
        if self.averaged is None:
            ours, theirs = self.first.plain(name), self.second.plain(other)
            return self._judged(name, other, ours, {RAW: theirs})
        turned = self.averaged is self.first
        plain = self.second.plain(other) if turned else self.first.plain(name)
        key = name if turned else other
        values = {RAW: self.averaged.values(key, False), AVERAGE: self.averaged.values(key, True)}
        return self._judged(name, other, plain, {kind: value for kind, value in values.items() if value is not None})

    def _judged(self, name: str, other: str, plain: np.ndarray, values: Mapping[str, np.ndarray]) -> Tensor:
        """Return the comparison of ``plain`` with a file's raw value and average, as far as they are there."""
        rounded = {kind: found for kind, value in values.items() if (found := _same(plain, value)) is not None}
        exact = [kind for kind, dtype in rounded.items() if not dtype]
        same = exact or list(rounded)
        result = DIFFERS if not same else BOTH if len(same) > 1 else same[0] if len(values) > 1 else ALONE
        if not same and _is_quantized(plain, *values.values()):
            result = QUANTIZED
        elif not same and self.folded and plain.ndim > 1:
            result = FOLDED
        apart = {kind: _largest(plain, value) for kind, value in values.items()}
        if result in (QUANTIZED, FOLDED):
            apart = {}
        dtype = rounded[same[0]] if same else ""
        return Tensor(name, other, result, apart.get(RAW), apart.get(AVERAGE), dtype, (plain.shape,))

    def only(self, name: str, where: str) -> Tensor:
        side, absent = (self.first, self.second) if where == ONLY_FIRST else (self.second, self.first)
        shapes = (side.shape(name),)
        # quantize_weights keeps a tensor as integers under a longer name.
        if any(aside.startswith(name) and "quant" in aside[len(name) :] for aside in absent.checkpoint.asides):
            return Tensor(name, None, QUANTIZED, shapes=shapes)
        return Tensor(name, None, where, shapes=shapes)


def _same(a: np.ndarray, b: np.ndarray) -> str | None:
    """Return "" if two arrays have the same values, the dtype to which one was rounded if that is all, else None."""
    if np.array_equal(a, b, equal_nan=_floats(a, b)):
        return ""
    if not _floats(a, b):
        return None
    with np.errstate(all="ignore"):
        for dtype, rounding in _ROUNDINGS.items():
            for one, two in ((a, b), (b, a)):
                if np.array_equal(one.astype(np.float64), rounding(two).astype(np.float64), equal_nan=True):
                    return dtype
    return None


_ROUNDINGS: Mapping[str, Any] = {
    "float32": lambda values: values.astype(np.float32),
    "float16": lambda values: values.astype(np.float16),
    "bfloat16": lambda values: widen_bfloat16(bfloat16_bits(values)),
}
"""From the finest to the coarsest: a value that survives one of them is named by it."""


def _floats(*arrays: np.ndarray) -> bool:
    return all(array.dtype.kind == "f" for array in arrays)


def _largest(a: np.ndarray, b: np.ndarray) -> float | None:
    """Return the largest absolute difference; None if values that are not finite leave it unknown."""
    with np.errstate(all="ignore"):
        largest = float(np.max(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0))
    return largest if np.isfinite(largest) else None


def _is_quantized(*arrays: np.ndarray) -> bool:
    return any(array.size > _FEW and 2 < np.unique(array).size <= _LEVELS for array in arrays)


def _prefixes(a: _Side, b: _Side) -> tuple[str, str]:
    """Return what stands before the names that two files share: the pair of prefixes that most names agree on."""
    tails: dict[str, list[str]] = {}
    for name in b.names:
        for tail in _tails(name):
            tails.setdefault(tail, []).append(name)
    votes: Counter[tuple[str, str]] = Counter()
    for name in a.names:
        shared = next((tail for tail in _tails(name) if tail in tails), "")
        others = tails.get(shared, [])
        if len(others) <= _COMPANY:
            votes.update((name.removesuffix(shared), other.removesuffix(shared)) for other in others)
    return votes.most_common(1)[0][0] if votes else ("", "")


def _tails(name: str) -> Iterator[str]:
    """Yield a name and what is left of it without its first scopes; the leaf alone tells nothing."""
    starts = [0, *(found.end() for found in re.finditer(r"[/.]", name))]
    yield from (name[at:] for at in (starts[:-1] or starts))


def _same_values(a: _Side, b: _Side, track: Track[str]) -> dict[str, str]:
    """Return the variables of two files that have the same values, whatever their names.

    Tools that optimize a graph rename its constants, as Const_90. Tensors of one repeated value tell nothing.
    """
    known = {
        key: name
        for name in track(list(b.names), "reading")
        for average in (True, False)
        if (key := _digest(b.values(name, average))) is not None
    }
    found = {name: _digest(a.plain(name)) for name in track(list(a.names), "reading")}
    return {name: known[key] for name, key in found.items() if key in known}


def _digest(values: np.ndarray | None) -> str | None:
    if values is None or not _floats(values) or values.size < 2 or (values == values.reshape(-1)[0]).all():
        return None
    return f"{values.shape} {sha256(values.astype('<f8').tobytes()).hexdigest()}"


def _partner(name: str, mine: str, theirs: str) -> str | None:
    return theirs + name[len(mine) :] if name.startswith(mine) else None
