"""There and back between every pair of dialects of each family's smallest model, bit for bit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from helpers.checkpoints import with_fills
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import ARCHS, find_arch
from porter.errors import MappingError
from porter.formats.checkpoint import Checkpoint
from porter.mapping.relayout import in_c_order
from porter.mapping.table import Lone, Table
from porter.mapping.translate import translate

QUICK = "mobilenet_v1_0.25_128"


def smallest() -> list[str]:
    """Return the smallest model of each family for each set of dialects that its tables have."""
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for arch in ARCHS.values():
        groups.setdefault((arch.family, Table.of(arch).dialects), []).append(arch.golden)
    return [min(names, key=lambda name: recorded(name).multiply_adds or 0) for names in groups.values()]


def stored(seeds: Checkpoint, model: str, dialect: str) -> Checkpoint:
    """Return the seeded weights of ``model`` with the names of ``dialect``; biases it adds are 0."""
    if dialect == "tf":
        return seeds
    table = Table.of(find_arch(model))
    filled = with_fills(seeds, table.lone("tf", dialect))
    return held(translate(filled, find_arch(model), "tf", dialect).as_checkpoint(seeds))


def held(checkpoint: Checkpoint) -> Checkpoint:
    """Return ``checkpoint`` with its values in memory as a file has them, where every pair of dialects reads them."""
    values = {name: in_c_order(entry.load()) for name, entry in checkpoint.entries.items()}
    entries = {name: entry._replace(load=partial(values.get, name)) for name, entry in checkpoint.entries.items()}
    return replace(checkpoint, entries=entries)


def refused(checkpoint: Checkpoint, tensors: Collection[Lone]) -> list[str]:
    """Return the tensors with values that a dialect without them would lose."""
    named = [lone for lone in tensors if lone.own.source in checkpoint.entries]
    return [lone.own.source for lone in named if (checkpoint[lone.own.source] != lone.fill).any()]


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in smallest()]
)
def test_there_and_back_is_bit_identical_or_refused_by_name(model: str) -> None:
    arch = find_arch(model)
    table, seeds = Table.of(arch), held(seeded_checkpoint(recorded(model)))
    for source in table.dialects:
        weights = stored(seeds, model, source)
        for target in (each for each in table.dialects if each != source):
            lost, before = table.lone(source, target), weights
            if names := refused(before, lost):
                with pytest.raises(
                    MappingError, match=rf"must be \d everywhere, because {target} has no \w+ there"
                ) as no:
                    translate(before, arch, source, target)
                assert any(name in str(no.value) for name in names)
                before = with_fills(before, lost)
            there = translate(before, arch, source, target).as_checkpoint(before)
            back = translate(there, arch, target, source).entries
            kept = [pair.source for pair in table.pairs(source, source)]
            assert [name for name in back if name in set(kept)] == sorted(kept, key=table.record(source).rank)
            for name in kept:
                assert np.array_equal(back[name].load(), before[name]), (source, target, name)
