"""The fault drill's shorter pass: one mistake of each kind is caught, located, and its cause guessed."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from helpers.places import ROOT

fault_drill, faults = importlib.import_module("fault_drill"), importlib.import_module("faults")
FAULTS = faults.FAULTS

SHORT = (
    *("epsilon 1e-5 in one batch norm", "epsilon rounded to float32", "symmetric padding, stride 2"),
    *("padding that replicates the border", "plain ReLU for ReLU6", "activation left out", "gamma and beta swapped"),
    *("beta left at 0", "depthwise kernel's H and W swapped", "output channels in another order", "a block skipped"),
    *("the last pool counts its padding", "classes off by one", "raw weights for averages", "BGR for RGB"),
    "one layer computes in float32",
)


@pytest.mark.parametrize(
    ("model", "fault"),
    [(model, fault) for model, planted in FAULTS.items() for fault in planted if fault.name in SHORT],
    ids=lambda value: f"{value.name} in {value.framework}" if isinstance(value, faults.Fault) else "",
)
def test_a_fault_is_caught_where_it_sits_and_its_cause_is_guessed(model: str, fault: Any) -> None:
    outcome = fault_drill.drill(model, fault)
    assert outcome.diverges == fault.diverges
    assert fault.cause in (outcome.cause or "")


def test_the_drill_has_faults_of_every_kind() -> None:
    planted = [fault for model in FAULTS.values() for fault in model]
    assert len(planted) >= 24
    assert {fault.framework for fault in planted} == {"torch", "keras"}
    assert {fault.name for fault in planted} >= set(SHORT)


def test_the_page_shows_the_drill() -> None:
    page = (ROOT / "docs/verify.md").read_text(encoding="utf-8")
    for model, planted in FAULTS.items():
        count = len(planted)
        assert f"{model}: {count} faults, {count} caught, {count} located" in page
        assert all(f"| {fault.name} | {fault.framework} | {fault.diverges} | yes | yes |" in page for fault in planted)
