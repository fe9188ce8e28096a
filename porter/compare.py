"""compare(got, want) -> Report: parity by two rules, endpoint by endpoint.

- exact: in float64, no value is farther from the original's than 1e-9 of the standard deviation of
  the original's values. An epsilon rounded to float32 already shows 1e-9, a wrong pad 1e-3.
- rounding: in float32, the port's distance from the float64 truth is at most 4 times (root mean
  square) and 16 times (largest) that of the original's own float32 run.

Values are pooled over the pictures. Top-1 plays no part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from porter.errors import PorterError

EXACT_BOUND = 1e-9
RMS_BOUND = 4.0
LARGEST_BOUND = 16.0

Outputs = Mapping[str, np.ndarray]
"""What a runner returns: {endpoint: values}, pictures first, channels last."""


@dataclass(frozen=True)
class Row:
    """One endpoint's verdict: ``exact`` in standard deviations, None where the port has no float64; two ratios."""

    endpoint: str
    exact: float | None
    rounding_rms: float
    rounding_largest: float

    @property
    def ok(self) -> bool:
        exact = self.exact is None or self.exact <= EXACT_BOUND
        return exact and self.rounding_rms <= RMS_BOUND and self.rounding_largest <= LARGEST_BOUND


@dataclass(frozen=True)
class Report:
    """The rows in graph order, and the endpoints ``missing`` in the port. True where nothing is, and all agree."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rows) and not self.missing and all(row.ok for row in self.rows)

    @property
    def first_departure(self) -> Row | None:
        """The first endpoint, in graph order, that is not within the bounds."""
        return next((row for row in self.rows if not row.ok), None)

    def __str__(self) -> str:
        row = self.first_departure
        if row is None and self.missing:
            return f"parity is not shown: the port computes no {', '.join(self.missing)}"
        if row is None:
            exact = [row.exact for row in self.rows if row.exact is not None]
            noise = max(row.rounding_rms for row in self.rows)
            proof = f"float64 within {max(exact):.1e} of the deviation (bound {EXACT_BOUND:.0e}), " if exact else ""
            return (
                f"parity holds at {len(self.rows)} endpoints: {proof}"
                f"float32 rounding {noise:.2f} times the original's (bound {RMS_BOUND:g})"
            )
        exactly = "" if row.exact is None else f"by {row.exact:.1e} of the deviation in float64 and "
        return (
            f"parity fails: {row.endpoint} is the first endpoint that departs, {exactly}"
            f"{row.rounding_rms:.3g} times the original's own rounding in float32"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        departure = self.first_departure
        return {
            "ok": bool(self),
            "first_departure": departure.endpoint if departure else None,
            "missing": list(self.missing),
            "endpoints": [asdict(row) | {"ok": row.ok} for row in self.rows],
        }


def compare(got: Mapping[str, Outputs], want: Mapping[str, Outputs], logits: str) -> Report:
    """Compare a port's runs with the original's; each maps ``float32`` and ``float64`` to outputs.

    ``want``'s order is the graph's. Every endpoint of ``want`` must be there in ``got``, which may have more; both
    must compute the endpoint ``logits``. A port without a ``float64`` run is judged by its rounding alone.

    Raises PorterError where one endpoint differs in its number of values.
    """
    ours, theirs = got["float32"], want["float32"]
    for side, outputs in (("port", ours), ("original", theirs)):
        if logits not in outputs:
            raise PorterError(f"the {side} computes no endpoint {logits!r}: without its logits nothing can be judged")
    names = [name for name in theirs if name in ours]
    rows = tuple(_row(name, got, want) for name in names)
    return Report(rows, tuple(name for name in theirs if name not in ours))


def _row(name: str, got: Mapping[str, Outputs], want: Mapping[str, Outputs]) -> Row:
    ours, rounded, truth = (_flat(run[name]) for run in (got["float32"], want["float32"], want["float64"]))
    if ours.shape != truth.shape:
        raise PorterError(
            f"{name} has {ours.shape[1]} values for each of {ours.shape[0]} pictures in the port, {truth.shape[1]} for "
            f"each of {truth.shape[0]} in the original: compare the same network at the same input size"
        )
    exact = None
    if "float64" in got:
        exact = _ratio(np.abs(_flat(got["float64"][name]) - truth).max(), truth.std())
    ours, rounded = ours - truth, rounded - truth
    return Row(
        name,
        exact,
        _ratio(_rms(ours), _rms(rounded)),
        _ratio(np.abs(ours).max(), np.abs(rounded).max()),
    )


def _flat(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(len(values), -1)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _ratio(value: float, unit: float) -> float:
    """Return value / unit; no difference at all is 0, and one that has no unit, or is NaN, infinite."""
    if value == 0:
        return 0.0
    ratio = float(value / unit) if unit else np.inf
    return ratio if not np.isnan(ratio) else np.inf
