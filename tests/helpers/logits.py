"""Logits of another program, judged by the float32 rule."""

from __future__ import annotations

import numpy as np

from porter.catalog.goldens import recorded
from porter.parity.compare import Report, compare


def judged(logits: np.ndarray, golden: str) -> Report:
    """Compare float32 ``logits`` on the sample images with those that ``golden`` recorded."""
    assert logits.dtype == np.float32
    values = recorded(golden).values()
    want = {precision: {"Logits": values[f"logits_{precision}"]} for precision in ("float32", "float64")}
    return compare({"float32": {"Logits": logits}}, want, "Logits")
