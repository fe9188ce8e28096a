"""A checkpoint's tensors under another dialect's names and axes: entries -> pairs -> relayout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial

import numpy as np

from porter.catalog.goldens import recorded
from porter.catalog.models import Arch
from porter.errors import MappingError, PorterError, listing, plural
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.roles import SHADOW, SHADOW_SUFFIX, VARIABLE, base_name, counts, has_variable, roles
from porter.formats.suspicious import watch
from porter.mapping.relayout import parse_axes, relayout
from porter.mapping.stored_names import resolve_names, stored_names, why_none
from porter.mapping.table import Pair, Table

AVERAGES = ("auto", "ema", "raw")


@dataclass(frozen=True)
class Options:
    """How to read a checkpoint.

    ``average`` is ``auto``, ``ema`` or ``raw``; ``ignore`` holds patterns of variables to leave out;
    ``prefix`` is what stands before the model's names, found where it is None. With ``headless`` no classifier is
    wanted: whatever the checkpoint has of it is left out. ``parts`` are the optional parts of the table to take.
    """

    average: str = "auto"
    ignore: Sequence[str] = ()
    prefix: str | None = None
    headless: bool = False
    parts: Sequence[str] = ()


@dataclass(frozen=True)
class Translation:
    """The target's tensors, not yet read, and what was found on the way.

    ``taken`` gives, for each of the table's names in the dialect ``source``, the checkpoint entry that is read for
    it: the variable, or its moving average. ``averaged_only`` counts raw weights that only have an average, which
    was taken. ``left_out`` counts the variables of every optional part that is there and was not asked for.
    ``ema_difference`` is the largest ``|raw - ema|``, None without both. ``num_classes`` are those of the
    checkpoint's head, 0 without one; ``head`` are the classifier's pairs, ``head_note`` what became of them if they
    are not as they were. ``suspicious`` gets a sentence for each tensor
    that fails a sanity check when it is read.
    """

    entries: dict[str, Entry]
    source: str
    taken: dict[str, str]
    average: str
    averaged_only: int
    ema_difference: float | None
    num_classes: int
    roles: dict[str, int]
    ignored: tuple[str, ...]
    left_out: dict[str, int]
    prefix: str
    head: tuple[Pair, ...]
    head_note: str | None = None
    suspicious: dict[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """The number of values in all target tensors."""
        return sum(int(np.prod(entry.shape)) for entry in self.entries.values())

    def as_checkpoint(self, of: Checkpoint) -> Checkpoint:
        """Return the target's tensors as a checkpoint that names the file ``of`` which they come from."""
        return Checkpoint(of.path, "translation", self.entries)


def translate(
    checkpoint: Checkpoint, arch: Arch, source: str, target: str, options: Options | None = None
) -> Translation:
    """Translate ``checkpoint`` from the dialect ``source`` to ``target``; nothing is read yet but the averages.

    Raises MappingError where a variable is neither mapped nor ignored, where one is missing, or where
    a shape is not the architecture's.
    """
    return _Translator(checkpoint, arch, source, target, options or Options()).translation()


class _Translator:
    """One call of translate: the steps share the checkpoint, the table and the pairs."""

    def __init__(self, checkpoint: Checkpoint, arch: Arch, source: str, target: str, options: Options) -> None:
        self.checkpoint = checkpoint
        self.entries = checkpoint.entries
        self.arch = arch
        self.table = Table.load(arch.table)
        self.source = source
        self.options = options
        for part in options.parts:
            if part not in self.table.parts:
                raise PorterError(f"{arch.name} has no part {part!r}: leave --{part} out")
        self.pairs = self.table.pairs(source, target, options.parts)
        self.sizes = _axis_sizes(arch, self.table, source)
        try:
            names, self.prefix = resolve_names(
                self.entries, [pair.source for pair in self.pairs], source, options.prefix
            )
        except MappingError as error:
            raise MappingError(f"{checkpoint.path}: {error}") from None
        self.stored = names | self._otherwise(names)
        unasked = [pair for pair in self.table.pairs(source, source, self.table.parts) if self._unasked(pair)]
        names = stored_names(self.entries, [pair.source for pair in unasked], source, self.prefix)
        names |= self._otherwise(names)
        self.mapped = frozenset(self.stored.values())
        self.unasked = {names[pair.source]: str(pair.part) for pair in unasked}
        self.head = tuple(pair for pair in self.pairs if pair.head)
        self.wanted = [pair for pair in self.pairs if not (pair.head and options.headless)]

    def _unasked(self, pair: Pair) -> bool:
        return pair.part is not None and pair.part not in self.options.parts

    def _otherwise(self, names: Mapping[str, str]) -> dict[str, str]:
        """Return ``{table's name: stored name}`` of those of ``names`` that the file has under another name."""
        others = self.table.other_names(self.source)
        spelled = [other for name in names for other in others.get(name, ())]
        stored = stored_names(self.entries, spelled, self.source, self.prefix)
        return {
            name: stored[other]
            for name in names
            if not has_variable(names[name], self.entries)
            for other in others.get(name, ())
            if has_variable(stored[other], self.entries)
        }

    def translation(self) -> Translation:
        found = roles(self.entries)
        ignored = self._left_out(found)
        taken, kind, averaged_only = self._choose()
        num_classes = self._check_shapes(taken)
        parts = [self.unasked[name] for name in self.unasked if has_variable(name, self.entries)]
        suspicious: dict[str, str] = {}
        return Translation(
            {pair.target: self._entry(taken[pair.source], pair, suspicious) for pair in self.wanted},
            self.source,
            taken,
            kind,
            averaged_only,
            self._ema_difference(),
            num_classes,
            counts({name: self._shown(name, role) for name, role in found.items()}, self.checkpoint.asides),
            ignored,
            dict(Counter(parts)),
            self.prefix,
            self.head,
            suspicious=suspicious,
        )

    def _shown(self, name: str, role: str) -> str:
        """Return what a reader is told of a role: variables that the port does not take are told apart."""
        if role != VARIABLE or name in self.mapped:
            return role
        part = self.unasked.get(name)
        return f"{self.table.parts[part]} variable" if part else "ignored variable"

    def _left_out(self, found: Mapping[str, str]) -> tuple[str, ...]:
        """Return the variables left out on purpose, optional parts aside; raise where one is left over."""
        left_out, left_over = [], []
        # A variable of which only the average is there is a variable all the same.
        for name in dict.fromkeys(base_name(n) for n, role in found.items() if role in (VARIABLE, SHADOW)):
            asked = any(fnmatchcase(name, pattern) for pattern in self.options.ignore)
            if name in self.mapped:
                if asked:
                    raise MappingError(f"--ignore would leave out {name}, which the model needs: narrow the pattern")
            elif name in self.unasked:
                continue
            elif asked or self.table.ignored(self.source, name.removeprefix(self.prefix)):
                left_out.append(name)
            else:
                left_over.append(name)
        # Where the model itself is not there, that is what to say, and not that all the rest is unknown.
        if left_over and any(has_variable(name, self.entries) for name in self.mapped):
            shown = (f"{n} {self.entries[n if n in self.entries else n + SHADOW_SUFFIX].shape}" for n in left_over)
            raise MappingError(
                f"{plural(len(left_over), 'variable')} in {self.checkpoint.path.name} "
                f"{'is' if len(left_over) == 1 else 'are'} neither mapped nor ignored:{listing(shown)}\n"
                f"  leave them out with --ignore 'PATTERN', or add a [[layer]] or an ignore.{self.source} pattern "
                f"to mappings/{self.table.name}.toml"
            )
        return tuple(left_out)

    def _choose(self) -> tuple[dict[str, str], str, int]:
        """Return the entry to read for every one of the table's names, and whether those are ``ema`` or ``raw``.

        The last is how many raw values are not there and give way to their averages.
        """
        average, path = self.options.average, self.checkpoint.path
        if average not in AVERAGES:
            raise PorterError(f"there are no average {average!r}: take one of {', '.join(AVERAGES)}")
        names = [self.stored[pair.source] for pair in self.wanted]
        missing = [name for name in names if not has_variable(name, self.entries)]
        if len(missing) == len(names):
            raise MappingError(f"{path} {why_none(self.entries, self.table, self.source, self.arch.name)}")
        if missing:
            remedy = "name the model that it is of"
            if {self.stored[pair.source] for pair in self.head}.issuperset(missing):
                remedy = "take --no-head or --num-classes N"
            if parts := {pair.part for pair in self.wanted if self.stored[pair.source] in missing} - {None}:
                remedy = f"leave --{min(map(str, parts))} out, or {remedy}"
            raise MappingError(
                f"{path} lacks {len(missing)} of the {len(names)} tensors of {self.arch.name}:"
                f"{listing(map(self._as_is, missing))}\n  {remedy}"
            )
        averaged = {name for name in names if name + SHADOW_SUFFIX in self.entries}
        trainable = [self.stored[pair.source] for pair in self.wanted if pair.trainable]
        unaveraged = [name for name in trainable if name not in averaged]
        only_averaged = [name for name in names if name not in self.entries]
        kind = average if average != "auto" else "raw" if unaveraged else "ema"
        if average == "ema" and unaveraged:
            raise MappingError(
                f"{path} has no moving average of {plural(len(unaveraged), 'trainable variable')}:"
                f"{listing(unaveraged)}\n  take --average auto"
            )
        if average == "raw" and only_averaged:
            raise MappingError(
                f"{path} holds only the moving average of {plural(len(only_averaged), 'variable')}:"
                f"{listing(only_averaged)}\n  take --average auto"
            )
        taken = {}
        for pair in self.wanted:
            name = self.stored[pair.source]
            shadow = name in averaged and (kind == "ema" or name not in self.entries)
            taken[pair.source] = name + SHADOW_SUFFIX if shadow else name
        return taken, kind, len(only_averaged) if kind == "raw" else 0

    def _as_is(self, name: str) -> str:
        """Return the name of what is missing, and how it is there if it is."""
        aside = self.checkpoint.asides.get(name)
        return f"{name}, which is there as {aside}" if aside else name

    def _check_shapes(self, taken: Mapping[str, str]) -> int:
        """Hold every shape against the original's; return the number of classes, which is the head's to say."""
        shapes = expected_shapes(self.arch, self.table, self.source)
        found: dict[int, str] = {}
        for pair in self.wanted:
            entry, want = self.entries[taken[pair.source]], shapes[pair.source]
            if entry.dtype.kind != "f":
                raise MappingError(
                    f"{self.checkpoint.path}: {taken[pair.source]} is of {entry.dtype}, where {self.arch.name} has "
                    "floats; save the weights that the network computes with"
                )
            if len(entry.shape) == len(want):
                free = ("O" if pair.head else "") + ("HW" if pair.sized else "")
                axes = parse_axes(pair.source_axes)
                want = tuple(
                    size if axis and axis in free else wanted
                    for size, wanted, axis in zip(entry.shape, want, axes, strict=True)
                )
                if pair.head:
                    found.setdefault(entry.shape[axes.index("O")], pair.source)
            if entry.shape != want:
                what = "the head has another shape than the target's" if pair.head else "a shape is not the model's"
                raise MappingError(
                    f"{self.checkpoint.path}: {what}: {taken[pair.source]} is {entry.shape}, {self.arch.name} wants "
                    f"{want}; name the model that the checkpoint belongs to"
                )
        if len(found) > 1:
            raise MappingError(
                f"{self.checkpoint.path}: the head's tensors disagree on the number of classes: "
                + ", ".join(f"{name} has {classes}" for classes, name in found.items())
            )
        return next(iter(found), 0)

    def _ema_difference(self) -> float | None:
        """Return the largest |raw - ema| over the variables that have both."""
        checkpoint = self.checkpoint
        both = [name for name in self.stored.values() if name in checkpoint and name + SHADOW_SUFFIX in checkpoint]
        if not both:
            return None
        for name in both:
            value, average = self.entries[name].shape, self.entries[name + SHADOW_SUFFIX].shape
            if value != average:
                raise MappingError(
                    f"{checkpoint.path}: {name} is {value}, but its moving average {average}: "
                    "the file is damaged or not of one training; take another"
                )
        # numpy's maximum, because Python's would pass over a NaN.
        return float(np.max([np.max(np.abs(checkpoint[n] - checkpoint[n + SHADOW_SUFFIX]), initial=0) for n in both]))

    def _entry(self, name: str, pair: Pair, suspicious: dict[str, str]) -> Entry:
        stored, sizes = watch(self.entries[name], name, pair.variance, suspicious), self.sizes[pair.source]
        blank = np.broadcast_to(np.zeros((), stored.dtype), stored.shape)
        shape = relayout(blank, pair.source_axes, pair.target_axes, sizes).shape
        return Entry(shape, stored.dtype, partial(_relaid, stored, pair, sizes))


def _relaid(stored: Entry, pair: Pair, sizes: Mapping[str, int]) -> np.ndarray:
    return relayout(stored.load(), pair.source_axes, pair.target_axes, sizes)


def expected_shapes(arch: Arch, table: Table, dialect: str) -> dict[str, tuple[int, ...]]:
    """Return every tensor's shape in ``dialect``, for the released number of classes, as recorded of the original."""
    variables = recorded(arch.name).all_variables
    return {
        pair.target: relayout(
            np.broadcast_to(np.int8(0), variables[pair.source]), pair.source_axes, pair.target_axes
        ).shape
        for pair in table.pairs("tf", dialect, table.parts)
    }


def _axis_sizes(arch: Arch, table: Table, dialect: str) -> dict[str, dict[str, int]]:
    """Return, for every tensor of ``dialect``, the size of each of its axis letters in the original."""
    variables = recorded(arch.name).all_variables
    return {
        pair.target: dict(zip("".join(parse_axes(pair.source_axes)), variables[pair.source], strict=True))
        for pair in table.pairs("tf", dialect, table.parts)
    }
