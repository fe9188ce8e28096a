"""Translates a checkpoint's tensors into another dialect's names and axes: entries -> pairs -> relayout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial

import numpy as np

from porter.catalog.models import Arch
from porter.errors import MappingError, PorterError, listing, plural
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.roles import SHADOW, SHADOW_SUFFIX, VARIABLE, base_name, counts, has_variable, roles
from porter.formats.suspicious import watch
from porter.mapping.absent_roles import check_fills, created
from porter.mapping.averages import AVERAGES, check_average, choose_averages, largest_difference
from porter.mapping.relayout import parse_axes, relayout, relayout_shape
from porter.mapping.shapes import Sizes, axis_sizes, class_axis, expected_shapes
from porter.mapping.stored_names import Located, locate, why_none
from porter.mapping.table import Pair, Table

__all__ = ["AVERAGES", "Options", "Translation", "translate"]


@dataclass(frozen=True)
class Options:
    """How to read a checkpoint.

    ``average`` is ``auto``, ``ema`` or ``raw``. ``ignore`` holds patterns of variables to leave out. ``prefix`` stands
    before the model's names, and is found where it is None. ``headless`` leaves out the checkpoint's classifier.
    ``parts`` are the optional parts of the table to take.
    """

    average: str = "auto"
    ignore: Sequence[str] = ()
    prefix: str | None = None
    headless: bool = False
    parts: Sequence[str] = ()


@dataclass(frozen=True)
class Translation:
    """The target's tensors, not yet read, and what was found on the way.

    ``taken`` holds, for each of the table's names in the dialect ``source``, the checkpoint entry that is read: the
    variable, or its moving average. ``averaged_only`` counts raw weights that the file lacks, whose averages are read.
    ``left_out`` counts the variables of each optional part that nobody asked for. ``ema_difference`` is the largest
    ``|raw - ema|``, None where no variable has both. ``num_classes`` is that of the checkpoint's head, 0 without one.
    ``head`` holds the classifier's tensors in the target's dialect; ``head_note`` says what changed in them.
    ``suspicious`` gets a sentence for each tensor that fails a sanity check when it is read.
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


@dataclass(frozen=True)
class _Job:
    """What the steps of one call of translate share."""

    checkpoint: Checkpoint
    arch: Arch
    table: Table
    source: str
    target: str
    options: Options

    def wanted(self, source: str, target: str) -> list[Pair]:
        """Return the tensors to translate that both dialects have: all, or all but the head."""
        pairs = self.table.pairs(source, target, self.options.parts)
        return [pair for pair in pairs if not (pair.head and self.options.headless)]


def translate(
    checkpoint: Checkpoint, arch: Arch, source: str, target: str, options: Options | None = None
) -> Translation:
    """Translate ``checkpoint`` from the dialect ``source`` to ``target``.

    Reads the variables that have an average, and those that ``target`` lacks; everything else is read later.
    Raises MappingError where a variable is neither mapped nor ignored, where one is missing, where a shape differs
    from the architecture's, and where ``target`` lacks a tensor whose values matter.
    """
    job = _Job(checkpoint, arch, Table.load(arch.table), source, target, options or Options())
    _check_options(job)
    located = locate(checkpoint, job.table, source, job.options.parts, job.options.prefix)
    found = roles(checkpoint.entries)
    ignored = _left_out(job, located, found)

    wanted = job.wanted(source, source)
    _check_complete(job, located, wanted)
    choice = choose_averages(checkpoint, wanted, located.names, job.options.average)
    num_classes = _check_shapes(job, wanted, choice.taken)
    check_fills(job.table.lone(source, target, job.options.parts), choice.taken, checkpoint, target)

    suspicious: dict[str, str] = {}
    return Translation(
        _target_entries(job, choice.taken, suspicious),
        source,
        choice.taken,
        choice.average,
        choice.averaged_only,
        largest_difference(checkpoint, located.names.values()),
        num_classes,
        counts({name: _shown(job, located, name, role) for name, role in found.items()}, checkpoint.asides),
        ignored,
        dict(Counter(part for name, part in located.unasked.items() if has_variable(name, checkpoint.entries))),
        located.prefix,
        tuple(pair for pair in job.table.pairs(target, target, job.options.parts) if pair.head),
        suspicious=suspicious,
    )


def _check_options(job: _Job) -> None:
    check_average(job.options.average)
    for part in job.options.parts:
        if part not in job.table.parts:
            raise PorterError(f"{job.arch.name} has no part {part!r}: leave `{part}` out")
        for dialect in (job.source, job.target):
            if part not in job.table.parts_of(dialect):
                raise PorterError(f"{job.arch.name} has no {job.table.parts[part]} in {dialect}: leave `{part}` out")


# ---- variables that nothing takes
def _left_out(job: _Job, located: Located, found: Mapping[str, str]) -> tuple[str, ...]:
    """Return the variables left out on purpose, optional parts aside; raise MappingError where one is left over."""
    left_out, left_over = [], []
    # A file may have a variable's average alone, which counts as the variable.
    for name in dict.fromkeys(base_name(n) for n, role in found.items() if role in (VARIABLE, SHADOW)):
        asked = any(fnmatchcase(name, pattern) for pattern in job.options.ignore)
        if name in located.stored:
            if asked:
                raise MappingError(f"`ignore` would leave out {name}, which the model needs: narrow the pattern")
        elif name in located.unasked:
            continue
        elif asked or job.table.ignored(job.source, name.removeprefix(located.prefix)):
            left_out.append(name)
        else:
            left_over.append(name)
    # Where the file lacks the whole model, a later step says that instead.
    if left_over and any(has_variable(name, job.checkpoint.entries) for name in located.stored):
        raise MappingError(_sentence_on_left_over(job, left_over))
    return tuple(left_out)


def _sentence_on_left_over(job: _Job, names: Sequence[str]) -> str:
    entries = job.checkpoint.entries
    shown = (f"{name} {entries[name if name in entries else name + SHADOW_SUFFIX].shape}" for name in names)
    return (
        f"{plural(len(names), 'variable')} in {job.checkpoint.path.name} {'is' if len(names) == 1 else 'are'} neither "
        f"mapped nor ignored:{listing(shown)}\n"
        f'  leave them out with `ignore="PATTERN"`, or add a [[layer]] or an ignore.{job.source} pattern '
        f"to mappings/{job.table.name}.toml"
    )


def _shown(job: _Job, located: Located, name: str, role: str) -> str:
    """Return a role as readers see it: it tells the variables that the port takes from the others."""
    if role != VARIABLE or name in located.stored:
        return role
    part = located.unasked.get(name)
    return f"{job.table.parts[part]} variable" if part else "ignored variable"


# ---- variables that are missing
def _check_complete(job: _Job, located: Located, wanted: Sequence[Pair]) -> None:
    """Raise MappingError where the checkpoint lacks a tensor of ``wanted``."""
    path, entries = job.checkpoint.path, job.checkpoint.entries
    missing = [pair for pair in wanted if not has_variable(located.names[pair.source], entries)]
    if len(missing) == len(wanted):
        raise MappingError(f"{path} {why_none(entries, job.table, job.source, job.arch.name)}")
    if missing:
        shown = (_with_aside(job.checkpoint, located.names[pair.source]) for pair in missing)
        raise MappingError(
            f"{path} lacks {len(missing)} of the {len(wanted)} tensors of {job.arch.name}:"
            f"{listing(shown)}\n  {_remedy(missing)}"
        )


def _remedy(missing: Sequence[Pair]) -> str:
    remedy = "name the model that it belongs to"
    if all(pair.head for pair in missing):
        remedy = "take `no_head=True` or `num_classes`"
    parts = {pair.part for pair in missing if pair.part}
    return f"leave `{min(parts)}` out, or {remedy}" if parts else remedy


def _with_aside(checkpoint: Checkpoint, name: str) -> str:
    """Return the name of a missing variable, and the form in which the file has it, if any."""
    aside = checkpoint.asides.get(name)
    return f"{name}, which the file has as {aside}" if aside else name


# ---- shapes
def _check_shapes(job: _Job, wanted: Sequence[Pair], taken: Mapping[str, str]) -> int:
    """Compare every shape with the original's; return the head's number of classes, 0 without a head."""
    shapes = expected_shapes(job.arch, job.table, job.source)
    for pair in wanted:
        _check_tensor(job, pair, taken[pair.source], shapes[pair.source])
    classes: dict[int, str] = {}
    for pair in wanted:
        if pair.head:
            shape = job.checkpoint.entries[taken[pair.source]].shape
            classes.setdefault(shape[class_axis(pair.source_axes)], pair.source)
    if len(classes) > 1:
        raise MappingError(
            f"{job.checkpoint.path}: the head's tensors disagree on the number of classes: "
            + ", ".join(f"{name} has {number}" for number, name in classes.items())
        )
    return next(iter(classes), 0)


def _check_tensor(job: _Job, pair: Pair, name: str, original: tuple[int, ...]) -> None:
    """Raise MappingError where the entry ``name`` does not hold floats of the original's shape."""
    entry, path = job.checkpoint.entries[name], job.checkpoint.path
    if entry.dtype.kind != "f":
        raise MappingError(
            f"{path}: {name} has dtype {entry.dtype}, where {job.arch.name} has floats: "
            "save the weights that the network computes with"
        )
    want = _with_free_axes(pair, original, entry.shape)
    if entry.shape != want:
        what = "the head has another shape than the target's" if pair.head else "a shape differs from the model's"
        raise MappingError(
            f"{path}: {what}: {name} has shape {entry.shape}, {job.arch.name} expects {want}; "
            "name the model that the checkpoint belongs to"
        )


def _with_free_axes(pair: Pair, original: tuple[int, ...], given: tuple[int, ...]) -> tuple[int, ...]:
    """Return the ``original`` shape with the sizes of ``given`` where any will do.

    These are a head's classes, and the height and width of a kernel that covers a whole map.
    """
    if len(given) != len(original):
        return original
    free = ("O" if pair.head else "") + ("HW" if pair.sized else "")
    axes = parse_axes(pair.source_axes)
    return tuple(
        size if axis and axis in free else wanted for size, wanted, axis in zip(given, original, axes, strict=True)
    )


# ---- the target's tensors
def _target_entries(job: _Job, taken: Mapping[str, str], suspicious: dict[str, str]) -> dict[str, Entry]:
    """Return the target's tensors in its own order: those of the source relaid, and those that it lacks created."""
    read = {name: job.checkpoint.entries[entry] for name, entry in taken.items()}
    sizes = axis_sizes(job.arch, job.table, job.source)
    entries = created(
        job.table.lone(job.target, job.source, job.options.parts),
        read,
        axis_sizes(job.arch, job.table, job.target),
    )
    for pair in job.wanted(job.source, job.target):
        watched = watch(read[pair.source], taken[pair.source], pair.variance, suspicious)
        entries[pair.target] = _relaid_entry(watched, pair, sizes[pair.source])
    return {pair.target: entries[pair.target] for pair in job.wanted(job.target, job.target)}


def _relaid_entry(stored: Entry, pair: Pair, sizes: Sizes) -> Entry:
    shape = relayout_shape(stored.shape, pair.source_axes, pair.target_axes, sizes)
    return Entry(shape, stored.dtype, partial(_relaid, stored, pair, sizes))


def _relaid(stored: Entry, pair: Pair, sizes: Sizes) -> np.ndarray:
    return relayout(stored.load(), pair.source_axes, pair.target_axes, sizes)
