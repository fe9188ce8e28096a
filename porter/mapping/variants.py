"""complete: gives a file the tensors that its variant of the network does without, where their values follow.

Batch norms may be folded into convolutions, a role such as gamma may be absent from all layers, and a graph's constants
may have lost their variables' names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from porter.catalog.families import is_outside
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, Arch
from porter.formats.checkpoint import Checkpoint, Convolution, Entry
from porter.formats.roles import SHADOW_SUFFIX, has_variable
from porter.mapping.absent_roles import created, never_there
from porter.mapping.dialects import ORIGINAL
from porter.mapping.folded import bias_beside, folded_norms, original_convolutions, original_names, sentence, unfolded
from porter.mapping.recognise import Shapes
from porter.mapping.shapes import axis_sizes
from porter.mapping.table import Table


@dataclass(frozen=True)
class Completed:
    """A checkpoint with the tensors that its variant lacks.

    ``notes`` say how the file differs from the original, a sentence each. ``made`` are the entries that are not the
    file's own, or that have another name there; ``invented`` names those of them that the file has in no form.
    """

    checkpoint: Checkpoint
    notes: tuple[str, ...] = ()
    made: Mapping[str, Entry] = field(default_factory=dict)
    invented: frozenset[str] = frozenset()


def named_as_original(checkpoint: Checkpoint, arch: Arch, table: Table, dialect: str) -> Completed:
    """Return a frozen graph's constants under the names of the original's variables, where the graph lost them."""
    found = Completed(checkpoint, checkpoint.notes)
    if not checkpoint.convolutions or dialect != ORIGINAL:
        return found
    names, entries = [pair.source for pair in table.pairs(ORIGINAL, ORIGINAL)], checkpoint.entries
    prefixes = [name.removesuffix(names[0]) for name in entries if name.endswith(names[0])]
    if any(all(prefix + name in entries for name in names) for prefix in prefixes):
        return found
    originals = original_convolutions(recorded(arch.golden))
    renamed = original_names(checkpoint.convolutions, originals, table.record(dialect))
    made = {name: entries[there] for name, there in renamed.items() if there in entries}
    entries = {name: entry for name, entry in entries.items() if name not in renamed.values()} | made
    return Completed(replace(checkpoint, entries=entries), found.notes, made)


def original_shapes(shapes: Shapes, convolutions: Sequence[Convolution]) -> Shapes:
    """Return the ``shapes`` of a frozen graph under the names that the closest original's variables have.

    Constants that lost these are found by the ops around them. The shapes stay as they are where no original is close.
    """
    tables = {arch.table: arch for arch in ARCHS.values() if not is_outside(arch.family)}
    best, most = shapes, 0
    for name, arch in tables.items() if convolutions else ():
        originals = original_convolutions(recorded(arch.golden))
        renamed = original_names(convolutions, originals, Table.load(name).record(ORIGINAL))
        if len(renamed) > max(most, len(originals) // 2):
            kept = {name: shape for name, shape in shapes.items() if name not in renamed.values()}
            found = {ours: shapes[theirs] for ours, theirs in renamed.items() if theirs in shapes}
            best, most = kept | found, len(renamed)
    return best


def complete(found: Completed, arch: Arch, table: Table, dialect: str, names: Mapping[str, str]) -> Completed:
    """Return ``found`` with every tensor of ``names`` that its file lacks and whose values follow from the others.

    ``names`` maps the table's names in ``dialect`` to the file's names, those that it lacks too.
    """
    entries = found.checkpoint.entries
    if all(has_variable(name, entries) for name in names.values()):
        return found
    record = table.record(dialect)
    biases = {bias_beside(name, record) for name in names.values()} - set(names.values())
    if any(has_variable(bias, entries) for bias in biases):
        found = _unfolded(found, original_convolutions(recorded(arch.golden)), table, dialect, names)
    return _filled(found, arch, table, dialect, names)


def _unfolded(
    found: Completed, originals: tuple[Convolution, ...], table: Table, dialect: str, names: Mapping[str, str]
) -> Completed:
    """Return ``found`` with the batch norms that are folded."""
    entries = found.checkpoint.entries
    norms = folded_norms(originals, table, table.record(dialect), names, entries)
    if not norms:
        return found
    made: dict[str, Entry] = {}
    for norm in norms:
        made |= unfolded(norm, entries)
    biases = {norm.bias + suffix for norm in norms for suffix in ("", SHADOW_SUFFIX)}
    betas = {norm.tensors.get("beta", "") + suffix for norm in norms for suffix in ("", SHADOW_SUFFIX)}
    kept = {name: entry for name, entry in entries.items() if name not in biases}
    note = sentence(len(norms), _count_norms(table, dialect, names))
    return Completed(
        replace(found.checkpoint, entries=kept | made),
        (*found.notes, note),
        {name: entry for name, entry in {**found.made, **made}.items() if name not in biases},
        frozenset(made.keys() - betas),  # a beta is the file's own bias
    )


def _count_norms(table: Table, dialect: str, names: Mapping[str, str]) -> int:
    """Return the number of batch norms with tensors among ``names``."""
    layers = [layer for layer in table.layers if layer.kind_in(dialect) == "batch_norm"]
    tensors = (layer.tensors(table.record(dialect)).values() for layer in layers)
    return sum(any(named.name in names for named in each) for each in tensors)


def _filled(found: Completed, arch: Arch, table: Table, dialect: str, names: Mapping[str, str]) -> Completed:
    """Return ``found`` with the roles that no layer of their kind has."""
    entries = found.checkpoint.entries
    absent = never_there(table, table.record(dialect), names, entries, found.made)
    if not absent:
        return found
    sizes = axis_sizes(arch, table, dialect)
    made: dict[str, Entry] = {}
    for suffix in ("", SHADOW_SUFFIX):
        read = {name: entries[stored + suffix] for name, stored in names.items() if stored + suffix in entries}
        made |= {names[name] + suffix: entry for name, entry in created(absent, read, sizes).items()}
    roles = dict.fromkeys((lone.own.kind, lone.role, lone.fill) for lone in absent)
    notes = tuple(f"no {kind.replace('_', ' ')} has a {role}: it is {fill:g} in the port" for kind, role, fill in roles)
    return Completed(
        replace(found.checkpoint, entries=entries | made),
        found.notes + notes,
        {**found.made, **made},
        found.invented | made.keys(),
    )
