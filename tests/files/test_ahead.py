"""Working ahead: order, errors in their turn, and how far ahead the second thread is."""

from __future__ import annotations

import threading

import pytest

from porter.files.ahead import AHEAD, ahead


def test_results_come_in_order_and_from_another_thread() -> None:
    found = list(ahead(lambda item: (item, threading.get_ident()), range(20)))
    assert [item for item, _ in found] == list(range(20))
    assert threading.get_ident() not in {thread for _, thread in found}


def test_an_error_is_raised_in_its_turn() -> None:
    results = ahead(lambda item: 1 // (item - 3), range(9))
    assert [next(results) for _ in range(3)] == [-1, -1, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_no_more_than_a_few_results_wait() -> None:
    computed: list[int] = []
    taken = 0
    for each in ahead(lambda item: computed.append(item) or item, range(50)):
        taken += 1
        assert len(computed) <= each + AHEAD + 1
    assert taken == 50


def test_a_caller_that_stops_leaves_no_thread() -> None:
    before = threading.active_count()
    results = ahead(lambda item: item, range(1000))
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
