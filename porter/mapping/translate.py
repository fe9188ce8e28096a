"""Translates a checkpoint's tensors into another dialect's names and axes: entries -> pairs -> relayout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property, partial

import numpy as np

from porter.catalog.models import Arch
from porter.errors import MappingError, PorterError, listing, plural, summary
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.roles import SHADOW, SHADOW_SUFFIX, VARIABLE, base_name, counts, has_variable, roles
from porter.formats.suspicious import Findings, watch
from porter.mapping import needed_parts
from porter.mapping.absent_roles import check_fills, created
from porter.mapping.averages import AVERAGES, Differences, check_average, choose_averages
from porter.mapping.places import beside_the_head, by_scope
from porter.mapping.relayout import relayout, relayout_shape
from porter.mapping.shapes import (
    IMAGE_CHANNELS,
    Sizes,
    axis_sizes,
    boxes_of,
    classes_of,
    image_channels,
    shapes_of,
    with_free_axes,
)
from porter.mapping.stored_names import Located, Wanted, locate
from porter.mapping.table import Pair, Table
from porter.mapping.unfit import unfit
from porter.mapping.variants import complete, named_as_original

__all__ = ["AVERAGES", "Options", "Translation", "translate"]


@dataclass(frozen=True)
class Options:
    """How to read a checkpoint.

    ``average`` is ``auto``, ``ema`` or ``raw``. ``ignore`` holds patterns of variables to leave out. ``prefix`` stands
    before the model's names, and is found where it is None. ``rename`` maps a leading scope of the names in the file to
    the model's. ``headless`` leaves out the checkpoint's classifier. ``parts`` are the optional parts of the table to
    take. ``backbone`` leaves out everything that is not the network's body.
    """

    average: str = "auto"
    ignore: Sequence[str] = ()
    prefix: str | None = None
    headless: bool = False
    parts: Sequence[str] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    backbone: bool = False

    @property
    def bodily(self) -> bool:
        """Whether the network's body is taken alone, without the checkpoint's classifier."""
        return self.headless or self.backbone


@dataclass(frozen=True)
class Translation:
    """The target's tensors, not yet read, and what was found on the way.

    ``taken`` holds, for each of the table's names in the dialect ``source``, the checkpoint entry that is read: the
    variable, or its moving average. ``averaged_only`` counts raw weights that the file lacks, whose averages are read.
    ``left_out`` counts the variables of each optional part that nobody asked for. ``other_scopes`` counts the variables
    outside of the network, by scope: other copies of it, and what ``backbone`` leaves out. ``prefix`` stands before the
    names in the file, ``prefixes`` counts the names behind each where there are several; ``renamed`` maps the file's
    leading scope to the model's. ``differences`` are those between raw values and averages. ``num_classes`` is that of
    the checkpoint's head, 0 without one; ``in_channels`` are the images' channels that its stem reads. ``notes`` say
    how the file differs from the original, a sentence each, and ``made`` holds the entries taken that are not in the
    file, or have another name there. ``head`` holds the classifier's tensors in the target's dialect; ``head_note``
    says what changed in them. ``suspicious`` gets a sentence for each tensor that fails a sanity check when it is read.
    """

    entries: dict[str, Entry]
    source: str
    taken: dict[str, str]
    average: str
    averaged_only: int
    differences: Differences
    num_classes: int
    roles: dict[str, int]
    ignored: tuple[str, ...]
    left_out: dict[str, int]
    other_scopes: dict[str, int]
    prefix: str
    renamed: dict[str, str]
    prefixes: dict[str, int]
    head: tuple[Pair, ...]
    head_note: str | None = None
    suspicious: Findings = field(default_factory=Findings)
    in_channels: int = IMAGE_CHANNELS
    notes: tuple[str, ...] = ()
    made: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """The number of values in all target tensors."""
        return sum(int(np.prod(entry.shape)) for entry in self.entries.values())

    @property
    def ema_difference(self) -> float | None:
        """The largest ``|raw - ema|``, None where no variable has both. It reads the variables that nobody has read."""
        return self.differences.largest

    def as_checkpoint(self, of: Checkpoint) -> Checkpoint:
        """Return the target's tensors as a checkpoint that names the file ``of`` which they come from."""
        return Checkpoint(of.path, "translation", self.entries, threads=of.threads)


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
        return [pair for pair in pairs if not (pair.head and self.options.bodily)]

    @cached_property
    def sizes(self) -> Mapping[str, Sizes]:
        """The sizes of the axis letters of the source's tensors, by name, as in the original."""
        return axis_sizes(self.arch, self.table, self.source)

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes of the source's tensors, by name, as in the original. Most files need none to be located."""
        return shapes_of(self.table, self.source, self.sizes)


def translate(
    checkpoint: Checkpoint, arch: Arch, source: str, target: str, options: Options | None = None
) -> Translation:
    """Translate ``checkpoint`` from the dialect ``source`` to ``target``.

    Reads the variables that ``target`` lacks; everything else is read later.
    Raises MappingError where a variable is neither mapped nor ignored, where one is missing, where a shape differs
    from the architecture's, and where ``target`` lacks a tensor whose values matter.
    """
    job = _Job(checkpoint, arch, Table.of(arch), source, target, options or Options())
    _check_options(job)
    named = named_as_original(checkpoint, arch, job.table, source)
    located = _located(replace(job, checkpoint=named.checkpoint))
    there = {part for name, part in located.unasked.items() if has_variable(name, named.checkpoint.entries)}
    parts = needed_parts.in_file(job.table, target, job.options.parts, there)
    if len(parts) > len(job.options.parts):
        job = replace(job, options=replace(job.options, parts=parts))
        located = _located(replace(job, checkpoint=named.checkpoint))
    completed = complete(named, arch, job.table, source, located.names)
    checkpoint = completed.checkpoint
    job = replace(job, checkpoint=checkpoint)
    found = roles(checkpoint.entries)
    wanted = job.wanted(source, source)
    ignored, others, left_over = _left_out(job, located, found)
    _check_complete(job, located, wanted, left_over)
    choice = choose_averages(checkpoint, wanted, located.names, job.options.average)
    num_classes, in_channels = _check_shapes(job, wanted, choice.taken)
    if left_over:  # after the shapes: with others it is another network, which the error then names
        raise _left_over(job, located, left_over)
    check_fills(job.table.lone(source, target, job.options.parts), choice.taken, checkpoint, target)

    suspicious, differences = Findings(), Differences(checkpoint, located.names.values())
    read = {name: differences.watch(entry) for name, entry in choice.taken.items()}
    fresh = needed_parts.lacking(job.table, target, job.options.parts)
    return Translation(
        _target_entries(
            job, choice.taken, read, suspicious, needed_parts.made(arch, job.table, target, fresh, num_classes)
        ),
        source,
        choice.taken,
        choice.average,
        choice.averaged_only,
        differences,
        num_classes,
        counts(
            {name: _shown(job, located, name, role) for name, role in found.items() if name not in completed.invented},
            checkpoint.asides,
        ),
        ignored,
        dict(Counter(part for name, part in located.unasked.items() if has_variable(name, checkpoint.entries))),
        others,
        located.prefix,
        dict(located.place.renamed),
        located.place.shares,
        tuple(pair for pair in job.table.pairs(target, target, [*job.options.parts, *fresh]) if pair.head),
        suspicious=suspicious,
        in_channels=in_channels,
        notes=(*completed.notes, *needed_parts.notes(job.table, target, fresh)),
        made=completed.made,
    )


def _check_options(job: _Job) -> None:
    check_average(job.options.average)
    for pattern in job.options.ignore:
        if not any(fnmatchcase(base_name(name), pattern) for name in job.checkpoint.entries):
            raise MappingError(f"`ignore={pattern!r}` matches nothing in {job.checkpoint.path}: leave it out")
    for part in job.options.parts:
        if part not in job.table.parts:
            raise PorterError(f"{job.arch.name} has no part {part!r}: leave `{part}` out")
        for dialect in (job.source, job.target):
            if part not in job.table.parts_of(dialect):
                raise PorterError(f"{job.arch.name} has no {job.table.parts[part]} in {dialect}: leave `{part}` out")


def _located(job: _Job) -> Located:
    """Return where the checkpoint has the table's tensors."""
    pairs = {pair.source: pair for pair in job.wanted(job.source, job.source)}
    entries = job.checkpoint.entries

    def fits(ours: str, theirs: str) -> bool:
        shape = entries[theirs if theirs in entries else theirs + SHADOW_SUFFIX].shape
        return ours not in pairs or shape == with_free_axes(pairs[ours], job.shapes[ours], shape)

    wanted = Wanted(job.options.parts, job.options.prefix, job.options.rename, fits)
    return locate(job.checkpoint, job.table, job.source, wanted)


# ---- variables that nothing takes
def _left_out(
    job: _Job, located: Located, found: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, int], tuple[str, ...]]:
    """Return the ignored variables, the number of those outside of the network by scope, and those left over.

    Optional parts are none of these. Raises MappingError where ``ignore`` names a variable that the model needs.
    """
    left_out, left_over, outside = [], [], []
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
        elif job.options.backbone or name in located.elsewhere:
            outside.append(name)
        else:
            left_over.append(name)
    separator = job.table.record(job.source).separator
    return tuple(left_out), by_scope(outside, located.stored, separator), tuple(left_over)


def _left_over(job: _Job, located: Located, names: Sequence[str]) -> MappingError:
    """Return the error for variables of the file that are neither the model's nor ignored."""
    entries, heads, body = job.checkpoint.entries, list[str](), list[str]()
    for pair in job.wanted(job.source, job.source):
        (heads if pair.head else body).append(located.names[pair.source])
    if beside := beside_the_head(heads, body, names, job.table.record(job.source).separator):
        layers = f"{plural(len(beside), 'tensor')} beside its head that {job.arch.name} does not have"
        return unfit(job.checkpoint, job.arch, job.source, f"{job.checkpoint.path} has {layers}, such as {beside[0]}")
    shown = (f"{name} {entries[name if name in entries else name + SHADOW_SUFFIX].shape}" for name in names)
    return MappingError(
        f"{plural(len(names), 'variable')} in {job.checkpoint.path.name} {'is' if len(names) == 1 else 'are'} neither "
        f"mapped nor ignored:{listing(summary(shown))}\n"
        f'  leave them out with `ignore="PATTERN"`, take the body alone with `backbone=True`, or add a [[layer]] or '
        f"an ignore.{job.source} pattern to mappings/{job.table.name}.toml"
    )


def _shown(job: _Job, located: Located, name: str, role: str) -> str:
    """Return a role as readers see it: it tells the variables that the port takes from the others."""
    if role != VARIABLE or name in located.stored:
        return role
    part = located.unasked.get(name)
    return f"{job.table.parts[part]} variable" if part else "ignored variable"


# ---- variables that are missing
def _check_complete(job: _Job, located: Located, wanted: Sequence[Pair], left_over: Sequence[str]) -> None:
    """Raise MappingError where the checkpoint lacks a tensor of ``wanted``."""
    missing = [pair for pair in wanted if not has_variable(located.names[pair.source], job.checkpoint.entries)]
    if not missing:
        return
    parts = {pair.part for pair in missing if pair.part}
    shown = listing(summary(_with_aside(job.checkpoint, located.names[pair.source]) for pair in missing))
    some = f"lacks {len(missing)} of the {len(wanted)} tensors of {job.arch.name}"
    if all(pair.part for pair in missing):
        raise MappingError(f"{job.checkpoint.path} {some}:{shown}\n  leave `{min(parts)}` out")
    if all(pair.head or pair.part for pair in missing) and not left_over:
        leave = f"leave `{min(parts)}` out, or " if parts else ""
        raise MappingError(f"{job.checkpoint.path} {some}:{shown}\n  {leave}take `no_head=True` or `num_classes`")
    if len(missing) == len(wanted):
        some, shown = f"has none of the tensors of {job.arch.name} in the dialect {job.source}", ""
    raise unfit(job.checkpoint, job.arch, job.source, f"{job.checkpoint.path} {some}{':' if shown else ''}", shown)


def _with_aside(checkpoint: Checkpoint, name: str) -> str:
    """Return the name of a missing variable, and the form in which the file has it, if any."""
    aside = checkpoint.asides.get(name)
    return f"{name}, which the file has as {aside}" if aside else name


# ---- shapes
def _check_shapes(job: _Job, wanted: Sequence[Pair], taken: Mapping[str, str]) -> tuple[int, int]:
    """Compare every shape with the original's; return the head's number of classes, 0 without a head, and channels.

    The stem may read images of any number of channels.
    """
    shapes = job.shapes
    stem = [pair for pair in wanted if pair.stem]
    entries = job.checkpoint.entries
    in_channels = image_channels((pair.source_axes, entries[taken[pair.source]].shape) for pair in stem)
    for pair in wanted:
        _check_tensor(job, pair, taken[pair.source], shapes[pair.source])
    classes: dict[int, str] = {}
    for pair in wanted:
        if pair.head:
            classes.setdefault(_classes(job, pair, taken[pair.source], shapes[pair.source]), pair.source)
    if len(classes) > 1:
        raise MappingError(
            f"{job.checkpoint.path}: the head's tensors disagree on the number of classes: "
            + ", ".join(f"{name} has {number}" for number, name in classes.items())
        )
    return next(iter(classes), 0), in_channels


def _classes(job: _Job, pair: Pair, name: str, released: tuple[int, ...]) -> int:
    """Return the number of classes of the head's tensor ``name``. Raises MappingError for other boxes than released."""
    shape = job.checkpoint.entries[name].shape
    found = classes_of(pair, shape, released, job.arch.num_classes)
    if found is None:
        boxes = boxes_of(pair, released, job.arch.num_classes)
        finding = f"{job.checkpoint.path}: {name} has shape {shape}, which does not have classes for {boxes} boxes"
        raise unfit(job.checkpoint, job.arch, job.source, finding)
    return found


def _check_tensor(job: _Job, pair: Pair, name: str, original: tuple[int, ...]) -> None:
    """Raise MappingError where the entry ``name`` does not hold floats of the original's shape."""
    entry, path = job.checkpoint.entries[name], job.checkpoint.path
    if entry.dtype.kind != "f":
        raise MappingError(
            f"{path}: {name} has dtype {entry.dtype}, where {job.arch.name} has floats: "
            "save the weights that the network computes with"
        )
    want = with_free_axes(pair, original, entry.shape)
    if entry.shape != want:
        what = "the head has another shape than the target's" if pair.head else "a shape differs from the model's"
        finding = f"{path}: {what}: {name} has shape {entry.shape}, {job.arch.name} expects {want}"
        raise unfit(job.checkpoint, job.arch, job.source, finding)


# ---- the target's tensors
def _target_entries(
    job: _Job, taken: Mapping[str, str], read: Mapping[str, Entry], suspicious: Findings, fresh: Mapping[str, Entry]
) -> dict[str, Entry]:
    """Return the target's tensors in its order: the source's relaid, those that it lacks created, and ``fresh``.

    ``read`` holds the source's entries by the table's names, ``taken`` their names in the file.
    """
    lone = job.table.lone(job.target, job.source, job.options.parts)
    entries = created(lone, read, axis_sizes(job.arch, job.table, job.target)) if lone else {}
    for pair in job.wanted(job.source, job.target):
        statistic = not pair.trainable  # a batch norm's; nothing else is updated without training
        watched = watch(read[pair.source], taken[pair.source], pair.variance, suspicious, statistic)
        entries[pair.target] = _relaid_entry(watched, pair, job.sizes[pair.source])
    record = job.table.record(job.target)
    names = [pair.target for pair in job.wanted(job.target, job.target)]
    entries |= fresh
    return {name: entries[name] for name in sorted([*names, *fresh], key=record.rank)}


def _relaid_entry(stored: Entry, pair: Pair, sizes: Sizes) -> Entry:
    shape = relayout_shape(stored.shape, pair.source_axes, pair.target_axes, sizes)
    return Entry(shape, stored.dtype, partial(_relaid, stored, pair, sizes))


def _relaid(stored: Entry, pair: Pair, sizes: Sizes) -> np.ndarray:
    return relayout(stored.load(), pair.source_axes, pair.target_axes, sizes)
