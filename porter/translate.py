"""A checkpoint's tensors under another dialect's names and axes: entries -> pairs -> relayout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

import numpy as np

from porter.archs import Arch
from porter.checkpoint import Checkpoint, Entry
from porter.errors import MappingError, PorterError, listing
from porter.layout import parse_axes, relayout
from porter.mapping import Pair, Table
from porter.recorded import recorded
from porter.roles import SHADOW, SHADOW_SUFFIX, VARIABLE, counts, roles, shadowed

WEIGHTS = ("auto", "ema", "raw")


@dataclass(frozen=True)
class Translation:
    """The target's tensors, not yet read, and what was found on the way.

    ``taken`` gives, for each source variable, the checkpoint entry that was read for it: itself, or
    its moving average. ``ema_difference`` is the largest ``|raw - ema|``, None without both.
    """

    entries: dict[str, Entry]
    taken: dict[str, str]
    weights: str
    ema_difference: float | None
    num_classes: int
    roles: dict[str, int]
    ignored: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """The number of values in all target tensors."""
        return sum(int(np.prod(entry.shape)) for entry in self.entries.values())


def translate(
    checkpoint: Checkpoint,
    arch: Arch,
    source: str,
    target: str,
    weights: str = "auto",
    ignore: Sequence[str] = (),
) -> Translation:
    """Translate ``checkpoint`` from the dialect ``source`` to ``target``; nothing is read yet but the averages.

    Raises MappingError where a variable is neither mapped nor ignored, where one is missing, or where
    a shape is not the architecture's.
    """
    table = Table.load(arch.table)
    pairs = table.pairs(source, target)
    found = roles(checkpoint.entries)
    # A variable of which only the average is there is a variable all the same.
    variables = list(dict.fromkeys(shadowed(n) for n, role in found.items() if role in (VARIABLE, SHADOW)))
    mapped = {pair.source for pair in pairs}
    ignored = _ignored(checkpoint, table, source, variables, mapped, ignore)
    taken, kind = _choose(checkpoint, arch, pairs, weights)
    num_classes = _check_shapes(checkpoint, arch, table, source, pairs, taken)
    entries = {pair.target: _entry(checkpoint, taken[pair.source], pair) for pair in pairs}
    summary = counts({name: _shown_role(name, role, mapped) for name, role in found.items()})
    return Translation(
        entries,
        taken,
        kind,
        _ema_difference(checkpoint, mapped),
        num_classes,
        summary | counts(checkpoint.asides),
        ignored,
    )


def _shown_role(name: str, role: str, mapped: set[str]) -> str:
    return "ignored variable" if role == VARIABLE and name not in mapped else role


def _ignored(
    checkpoint: Checkpoint,
    table: Table,
    source: str,
    variables: Sequence[str],
    mapped: set[str],
    patterns: Sequence[str],
) -> tuple[str, ...]:
    """Return the variables left out on purpose; raise where one is left over."""
    left_out, left_over = [], []
    for name in variables:
        asked = any(fnmatchcase(name, pattern) for pattern in patterns)
        if name in mapped:
            if asked:
                raise MappingError(f"--ignore would leave out {name}, which the model needs: narrow the pattern")
        elif asked or table.ignored(source, name):
            left_out.append(name)
        else:
            left_over.append(name)
    if left_over:
        entries = checkpoint.entries
        shown = listing(f"{n} {entries[n if n in entries else n + SHADOW_SUFFIX].shape}" for n in left_over)
        raise MappingError(
            f"{_plural(len(left_over), 'variable')} in {checkpoint.path.name} "
            f"{'is' if len(left_over) == 1 else 'are'} neither mapped nor ignored:{shown}\n"
            f"  leave them out with --ignore 'PATTERN', or add a [[layer]] or an ignore.{source} pattern "
            f"to mappings/{table.name}.toml"
        )
    return tuple(left_out)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _choose(checkpoint: Checkpoint, arch: Arch, pairs: Sequence[Pair], weights: str) -> tuple[dict[str, str], str]:
    """Return the entry to read for every source variable, and whether those are ``ema`` or ``raw``."""
    if weights not in WEIGHTS:
        raise PorterError(f"there are no weights {weights!r}: take one of {', '.join(WEIGHTS)}")
    entries = checkpoint.entries
    missing = [p.source for p in pairs if p.source not in entries and p.source + SHADOW_SUFFIX not in entries]
    if missing:
        raise MappingError(
            f"{checkpoint.path} lacks {len(missing)} of the {len(pairs)} tensors of {arch.name}:{listing(missing)}\n"
            "  name the model that the checkpoint belongs to"
        )
    raw = all(pair.source in entries for pair in pairs)
    unaveraged = [p.source for p in pairs if p.trainable and p.source + SHADOW_SUFFIX not in entries]
    kind = weights if weights != "auto" else "raw" if unaveraged else "ema"
    if kind == "ema" and unaveraged:
        raise MappingError(
            f"{checkpoint.path} has no moving average of {_plural(len(unaveraged), 'trainable variable')}:"
            f"{listing(unaveraged)}\n  take --weights raw"
        )
    if kind == "raw" and not raw:
        only = [pair.source for pair in pairs if pair.source not in entries]
        raise MappingError(
            f"{checkpoint.path} holds only the moving average of {_plural(len(only), 'variable')}:{listing(only)}\n"
            "  take --weights ema"
        )
    taken = {}
    for pair in pairs:
        shadow = pair.source + SHADOW_SUFFIX
        taken[pair.source] = shadow if kind == "ema" and shadow in entries else pair.source
    return taken, kind


def _ema_difference(checkpoint: Checkpoint, mapped: set[str]) -> float | None:
    """Return the largest |raw - ema| over the variables that have both."""
    both = [name for name in mapped if name in checkpoint and name + SHADOW_SUFFIX in checkpoint]
    if not both:
        return None
    return max(float(np.max(np.abs(checkpoint[name] - checkpoint[name + SHADOW_SUFFIX]), initial=0)) for name in both)


def _check_shapes(
    checkpoint: Checkpoint,
    arch: Arch,
    table: Table,
    source: str,
    pairs: Sequence[Pair],
    taken: Mapping[str, str],
) -> int:
    """Hold every shape against the original's; return the number of classes, which is the head's to say."""
    shapes = expected_shapes(arch, table, source)
    found: dict[int, str] = {}
    for pair in pairs:
        shape, want = checkpoint.entries[taken[pair.source]].shape, shapes[pair.source]
        if pair.head and len(shape) == len(want):
            axis = parse_axes(pair.source_axes).index("O")
            found.setdefault(shape[axis], pair.source)
            want = (*want[:axis], shape[axis], *want[axis + 1 :])
        if shape != want:
            what = "the head has another shape than the target's" if pair.head else "a shape is not the model's"
            raise MappingError(
                f"{checkpoint.path}: {what}: {pair.source} is {shape}, {arch.name} wants {want}; "
                "name the model that the checkpoint belongs to"
            )
    if len(found) != 1:
        raise MappingError(
            f"{checkpoint.path}: the head's tensors disagree on the number of classes: "
            + ", ".join(f"{name} has {classes}" for classes, name in found.items())
        )
    return next(iter(found))


def expected_shapes(arch: Arch, table: Table, dialect: str) -> dict[str, tuple[int, ...]]:
    """Return every tensor's shape in ``dialect``, for the released number of classes, as recorded of the original."""
    variables = recorded(arch.name).variables
    return {
        pair.target: relayout(
            np.broadcast_to(np.int8(0), variables[pair.source]), pair.source_axes, pair.target_axes
        ).shape
        for pair in table.pairs("tf", dialect)
    }


def _entry(checkpoint: Checkpoint, name: str, pair: Pair) -> Entry:
    stored = checkpoint.entries[name]
    blank = np.broadcast_to(np.zeros((), stored.dtype), stored.shape)
    shape = relayout(blank, pair.source_axes, pair.target_axes).shape
    return Entry(shape, stored.dtype, partial(_relaid, stored, pair))


def _relaid(stored: Entry, pair: Pair) -> np.ndarray:
    return relayout(stored.load(), pair.source_axes, pair.target_axes)
