"""Verifying many images needs no more memory than a few: the page's table, and that the benchmark would notice."""

from __future__ import annotations

import importlib

import pytest

verify_memory = importlib.import_module("verify_memory")


def test_the_pages_table_is_the_benchmarks() -> None:
    head, rows = verify_memory.HEAD, verify_memory.pages.written("verify.md", "verify_memory.py")
    assert rows[:2] == list(head)
    counts = [int(row.split("|")[1].replace(",", "")) for row in rows[2:]]
    assert counts[:2] == list(verify_memory.COUNTS)
    assert all(verify_memory.ratio(row) <= verify_memory.BOUND for row in rows[2:])


@pytest.mark.slow
def test_a_hundred_images_need_no_more_memory_than_ten(tf: object) -> None:
    rows = verify_memory.measure((10, 100))
    assert verify_memory.ratio(rows[1]) <= verify_memory.BOUND
