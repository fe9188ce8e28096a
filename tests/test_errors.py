"""The helpers of errors' sentences: long lists are counted by what their names share."""

from __future__ import annotations

import pytest

from porter.errors import first_of, listing, summary

COUNTERS = [f"blocks.{number}.bn.num_batches_tracked" for number in range(192)]
TIED = [f"MultipleGridAnchorGenerator/Sqrt_{number}/x" for number in range(18)]
OTHER = [f"head/box_{number}/{leaf}" for number in range(9) for leaf in ("weights", "biases", "beta", "gamma")]


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (COUNTERS, ["192 x blocks.*.num_batches_tracked"]),
        (OTHER, ["36 x head/*"]),
        (TIED, ["18 x MultipleGridAnchorGenerator/*/x"]),
        ([*OTHER, "global_step"], ["36 x head/*", "global_step"]),
        ([f"{name} (3, 3)" for name in OTHER], ["36 x head/*"]),
        ([f"{name}, which is there as int4" for name in COUNTERS], ["192 x blocks.*.num_batches_tracked"]),
        (COUNTERS[:10], COUNTERS[:10]),
        ([f"a{number}" for number in range(40)], [f"a{number}" for number in range(40)]),
    ],
)
def test_a_long_list_is_counted(names: list[str], shown: list[str]) -> None:
    assert summary(names) == shown


def test_nothing_in_common_is_cut() -> None:
    assert listing(summary(f"a{number}" for number in range(12))).endswith("\n  a9\n  … and 2 more")


def test_the_first_of_several() -> None:
    assert first_of("layer", ["conv1"]) == "1 layer (conv1)"
    assert first_of("layer", ["conv1", "conv2"]) == "2 layers (such as conv1)"
