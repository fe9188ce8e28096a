"""Every reader takes the same random mutations of its seeds: it reads them or raises porter's errors."""

from __future__ import annotations

import random

import pytest

from helpers.fuzz_readers import TARGETS, feed, mutated

ROUNDS = 300


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_porters_errors(name: str) -> None:
    if name.startswith("pth"):
        pytest.importorskip("torch")
    target = TARGETS[name]
    seeds = target.seeds()
    assert feed(target, seeds[0]) is None or name == "state file", "the seed is refused"
    noise = random.Random(name)
    told = []
    for _ in range(ROUNDS):
        raw = mutated(seeds, noise)
        try:
            told.append(feed(target, raw))
        except BaseException:
            print(f"{name}: {raw!r}")
            raise
    assert any(told), "nothing was refused"
