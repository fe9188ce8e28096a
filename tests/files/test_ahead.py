"""Working ahead: order, errors in their turn, and how far ahead the other threads are."""

from __future__ import annotations

import threading

import pytest

from helpers.processes import HANG
from porter.files.ahead import ahead


def test_results_come_in_order_and_from_other_threads() -> None:
    both = threading.Barrier(2)  # passed by two threads that compute at once

    def compute(item: int) -> tuple[int, int]:
        if item < 2:
            both.wait(timeout=HANG)
        return item, threading.get_ident()

    found = list(ahead(compute, range(20), threads=2))
    assert [item for item, _ in found] == list(range(20))
    assert threading.get_ident() not in {thread for _, thread in found}


def test_an_error_is_raised_in_its_turn() -> None:
    results = ahead(lambda item: 1 // (item - 3), range(9))
    assert [next(results) for _ in range(3)] == [-1, -1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("threads", [1, 2])
def test_no_more_than_a_few_results_wait(threads: int) -> None:
    computed: list[int] = []
    taken = 0
    for each in ahead(lambda item: computed.append(item) or item, range(50), threads):
        taken += 1
        assert len(computed) <= each + threads + 1
    assert taken == 50


def test_a_caller_that_stops_leaves_no_thread() -> None:
    before = threading.active_count()
    results = ahead(lambda item: item, range(1000))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
