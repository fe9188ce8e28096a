"""compare(got, want) -> Report: parity by two rules, endpoint by endpoint.

- exact: in float64, no value differs from the original's by more than 1e-9 of the standard deviation of the
  original's values. An epsilon rounded to float32 already shows 1e-9, a wrong pad 1e-3.
- rounding: in float32, the port's distance from the float64 truth is at most 4 times (root mean square) and
  16 times (largest) that of the original's own float32 run. A softmax has few values, and the original's may be right
  by luck, so its rounding counts as at least what its logits' rounding predicts.

Where only one side has float64, its values are the truth, and the other side is judged by its rounding. Where neither
has, float32 is compared with float32 by a stated bound, and smaller differences are not detected.

Values are pooled over the images. Top-1 accuracy plays no part.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np

from porter.errors import PorterError, plural
from porter.runners.softmax import softmax_rounding

EXACT_BOUND = 1e-9
RMS_BOUND = 4.0
LARGEST_BOUND = 16.0
# A difference beyond a bound is followed back to where it exceeds this. An independent forward pass reaches 1e-13.
ONSET = 1e-11
# Two float32 runs of MobileNet V1 differ by 5.5e-6 (root mean square) and 7.8e-5 (largest); real faults by 1e-3.
ALONE_RMS_BOUND = 1e-4
ALONE_LARGEST_BOUND = 1e-3
# A head of one number may give the same one for every image, within rounding.
ULPS = 4
# Values compared at once, which stay in the processor's cache. Maps of NASNet-A Large take 2.8 times as long whole.
BLOCK = 1 << 16

T = TypeVar("T")

Outputs = Mapping[str, np.ndarray]
"""A runner's outputs: {endpoint: values}, images first, channels last."""


@dataclass(frozen=True)
class Row:
    """One endpoint's numbers and verdict.

    ``largest`` and ``mean`` are absolute differences in standard deviations of the original's values, in float64 where
    both sides have it. ``cosine`` is between the two sides' values. ``amplification`` is ``largest`` over that of the
    endpoint before; None for the first, and after an endpoint without a difference. ``exact`` is ``largest`` in
    float64, None where a side lacks it. ``rounding_rms`` and ``rounding_largest`` are the ratios of the second rule,
    None where neither side has float64. ``single`` and ``noise`` are the largest distances from the truth, in standard
    deviations, of the float32 runs of the judged side and of the side that supplies the truth. ``alone_rms`` is the
    root mean square difference where neither side has float64.

    ``absolute`` is the largest difference in the values' own units. ``worst`` is the number of the image that has it.
    """

    endpoint: str
    largest: float
    mean: float
    cosine: float
    amplification: float | None
    exact: float | None
    rounding_rms: float | None
    rounding_largest: float | None
    single: float | None
    noise: float | None
    alone_rms: float | None
    absolute: float
    worst: int
    ok: bool


@dataclass(frozen=True)
class Report:
    """The rows in graph order, and the endpoints ``missing`` in the port. True where all rows agree.

    A ``strict`` report is also false where an endpoint is missing. ``cause`` describes the first divergence, None where
    nothing diverges or no pattern shows. ``notes`` say how the endpoints were judged. ``atol`` is set where it replaced
    the two rules.
    """

    rows: tuple[Row, ...]
    missing: tuple[str, ...] = ()
    cause: str | None = None
    notes: tuple[str, ...] = ()
    atol: float | None = None
    strict: bool = True

    def __bool__(self) -> bool:
        whole = not (self.strict and self.missing)
        return bool(self.rows) and whole and all(row.ok for row in self.rows)

    @property
    def exact(self) -> bool:
        """Whether the float64 rule holds at all endpoints; false where a side lacks float64."""
        return all(row.exact is not None and row.exact <= EXACT_BOUND for row in self.rows)

    @property
    def first_divergence(self) -> Row | None:
        """The endpoint where the first difference beyond the bounds begins, in graph order.

        A small mistake may grow with depth until it passes a bound. In float64 it is followed back to the endpoint
        where it exceeds the rounding.
        """
        beyond = self.first_beyond
        if beyond is None:
            return None
        at = self.rows.index(beyond)
        while at and (before := self.rows[at - 1].exact) is not None and before > ONSET and self.atol is None:
            at -= 1
        return self.rows[at]

    @property
    def first_beyond(self) -> Row | None:
        """The first endpoint, in graph order, beyond the bounds."""
        return next((row for row in self.rows if not row.ok), None)

    def __str__(self) -> str:
        row = self.first_divergence
        if row is None and self.missing and self.strict:
            return f"parity is not shown: the port does not compute {', '.join(self.missing)}"
        if row is None:
            return f"parity holds at {plural(len(self.rows), 'endpoint')}: {', '.join(self._proofs())}"
        cause = f"; likely cause: {self.cause}" if self.cause else ""
        return f"parity fails: {row.endpoint} is the first endpoint that diverges, {self._divergence(row)}{cause}"

    def _proofs(self) -> list[str]:
        if self.atol is not None:
            return [
                f"no value differs by more than {max(row.absolute for row in self.rows):.1e} (tolerance {self.atol:g})"
            ]
        exact = [row.exact for row in self.rows if row.exact is not None]
        rounding = [row.rounding_rms for row in self.rows if row.rounding_rms is not None]
        proofs = []
        if exact:
            proofs.append(f"float64 within {max(exact):.1e} of the deviation (bound {EXACT_BOUND:.0e})")
        if rounding:
            proofs.append(f"float32 rounding {max(rounding):.2f} times the original's (bound {RMS_BOUND:g})")
        if not proofs:
            largest = max(row.largest for row in self.rows)
            proofs.append(f"float32 alone, within {largest:.1e} of the deviation (bound {ALONE_LARGEST_BOUND:.0e})")
        return proofs

    def _divergence(self, row: Row) -> str:
        if self.atol is not None:
            return f"by {row.absolute:.3g} (tolerance {self.atol:g})"
        parts = []
        if row.exact is not None:
            parts.append(f"by {row.exact:.1e} of the deviation in float64")
        if row.rounding_rms is not None:
            parts.append(f"{row.rounding_rms:.3g} times the original's own rounding in float32")
        if row.ok and self.first_beyond is not None:
            parts = [f"{parts[0]} that grow beyond the bound ({EXACT_BOUND:.0e}) at {self.first_beyond.endpoint}"]
        return " and ".join(parts) or f"by {row.largest:.1e} of the deviation in float32 alone"

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        divergence = self.first_divergence
        return {
            "ok": bool(self),
            "first_divergence": divergence.endpoint if divergence else None,
            "cause": self.cause,
            "verdict": str(self),
            "missing": list(self.missing),
            "notes": list(self.notes),
            "endpoints": [asdict(row) for row in self.rows],
        }


def compare(
    got: Mapping[str, Outputs], want: Mapping[str, Outputs], logits: str | None, atol: float | None = None
) -> Report:
    """Compare a port's runs with the original's; each maps ``float32``, ``float64`` or both to outputs.

    ``want``'s order is the graph's. Every endpoint of ``want`` must be in ``got``, which may have more. Both must
    compute the endpoint ``logits`` unless it is None. With ``atol`` only the largest absolute difference counts.

    Raises PorterError where an endpoint has another number of values.
    """
    errors = ErrorAccumulator(logits, atol)
    errors.add(got, want)
    return errors.report()


class ErrorAccumulator:
    """Pools differences over batches of images: add each batch's runs, then read the report.

    ``softmaxes`` maps each softmax endpoint to its logits' endpoint. ``endpoints`` selects the judged ones, see
    ``select``. A port may leave out ``optional`` endpoints: a part of the network computes them. The other arguments
    are as in ``compare`` and ``Report``.
    """

    def __init__(
        self,
        logits: str | None,
        atol: float | None = None,
        strict: bool = True,
        softmaxes: Mapping[str, str] | None = None,
        endpoints: str | None = None,
        optional: Collection[str] = (),
    ) -> None:
        self.strict = strict
        self.optional = optional
        self.endpoints = endpoints or ""
        self.softmaxes = softmaxes or {}
        self.logits = logits
        self.atol = atol
        self.sums: dict[str, _Sums] = {}
        self.missing: tuple[str, ...] = ()

    def add(self, got: Mapping[str, Outputs], want: Mapping[str, Outputs]) -> None:
        """Add one batch. Raises PorterError as ``compare`` does."""
        ours, theirs = (next(iter(runs.values())) for runs in (got, want))
        for side, outputs in (("port", ours), ("original", theirs)):
            if self.logits is not None and self.logits not in outputs:
                raise PorterError(
                    f"the {side} does not compute {self.logits}, which parity is judged by: name other endpoints by "
                    "`endpoints`"
                )
        chosen = select(theirs, self.endpoints)
        self.missing = tuple(name for name in chosen if name not in ours and name not in self.optional)
        for name in chosen:
            if name in ours:
                pair = ({p: run[name] for p, run in runs.items()} for runs in (got, want))
                self.sums.setdefault(name, _Sums(name)).add(*pair)
        known = want if "float64" in want else got
        for name, logits in self.softmaxes.items():
            if name in self.sums and len(known) == 2 and logits in known["float64"]:
                expected = softmax_rounding(*(known[precision][logits] for precision in ("float32", "float64")))
                self.sums[name].expect(expected, known["float64"][name].size)

    def report(self) -> Report:
        """Return the verdict on everything added."""
        rows: list[Row] = []
        for sums in self.sums.values():
            before = rows[-1].largest if rows else 0.0
            row = sums.row(self.atol)
            rows.append(replace(row, amplification=row.largest / before if before and np.isfinite(before) else None))
        return Report(tuple(rows), self.missing, atol=self.atol, strict=self.strict)


class _Sums:
    """The sums that one endpoint's numbers come from, over the images added so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.largest = {"got": 0.0, "single": 0.0, "noise": 0.0, "expected": 0.0}
        self.square = {"got": 0.0, "single": 0.0, "noise": 0.0, "expected": 0.0}
        self.absolute = 0.0
        self.values = self.images = self.worst = 0
        self.shift: float | None = None  # close to the mean, so that the variance loses no digits
        self.sum = self.sum_of_squares = 0.0
        self.dot = self.norm_got = self.norm_want = 0.0
        self.both = self.truth = self.single = False

    @np.errstate(invalid="ignore", over="ignore")
    def add(self, got: Outputs, want: Outputs) -> None:
        self.both = "float64" in got and "float64" in want
        self.truth = "float64" in got or "float64" in want
        self.single = "float32" in got and "float32" in want
        runs = {
            (side, precision): np.asarray(run)
            for side, outputs in (("got", got), ("want", want))
            for precision, run in outputs.items()
        }
        compared = "float64" if self.both else "float32"
        ours, theirs = (runs[side, compared] for side in ("got", "want"))
        if (len(ours), ours.size) != (len(theirs), theirs.size):
            raise PorterError(
                f"{self.name} has {ours.size // len(ours)} values for each of {len(ours)} images in the port, "
                f"{theirs.size // len(theirs)} for each of {len(theirs)} in the original: compare the same network at "
                "the same input size"
            )
        if not theirs.size:
            raise PorterError(f"{self.name} has no values, which shows nothing: name other endpoints by `endpoints`")
        # The truth, and its noise, come from the original, unless only the port has float64.
        judged, known = ("got", "want") if "float64" in want else ("want", "got")
        for image, block in _blocks(runs):
            self._pool(self.images + image, block["got", compared], block["want", compared])
            if self.truth and self.single:
                truth = block[known, "float64"]
                self._far("single", block[judged, "float32"] - truth)
                self._far("noise", block[known, "float32"] - truth)
        self.images += len(theirs)

    def expect(self, rounding: np.ndarray, size: int) -> None:
        """Add the expected rounding of a batch's softmax values; ``size`` of them were compared."""
        self.square["expected"] += float(np.square(rounding).mean()) * size
        if rounding.size == size:  # probes may lack the largest value
            self.largest["expected"] = max(self.largest["expected"], float(rounding.max()))

    def _pool(self, image: int, ours: np.ndarray, theirs: np.ndarray) -> None:
        difference = np.abs(ours - theirs)
        most = float(difference.max())
        if (np.inf if np.isnan(most) else most) > self.largest["got"]:
            self.worst = image
        self._far("got", difference)
        self.absolute += float(difference.sum())
        if self.shift is None:
            self.shift = float(theirs.mean())
        moved = theirs - self.shift
        self.sum += float(moved.sum())
        self.sum_of_squares += float(np.square(moved).sum())
        self.dot += float((ours * theirs).sum())
        self.norm_got += float(np.square(ours).sum())
        self.norm_want += float(np.square(theirs).sum())
        self.values += theirs.size

    def _far(self, which: str, difference: np.ndarray) -> None:
        # np.maximum, unlike max, keeps a NaN.
        self.largest[which] = float(np.maximum(self.largest[which], np.abs(difference).max()))
        self.square[which] += float(np.square(difference).sum())

    def _deviation(self) -> float:
        return float(np.sqrt(max(self.sum_of_squares / self.values - (self.sum / self.values) ** 2, 0.0)))

    def _least(self) -> float:
        """Return the unit that stands for the deviation of values that hardly differ: their rounding is no fault."""
        dtype, bound = ("float64", EXACT_BOUND) if self.both else ("float32", ALONE_LARGEST_BOUND)
        return ULPS * float(np.finfo(dtype).eps) / bound * float(np.sqrt(self.norm_want / self.values))

    def row(self, atol: float | None) -> Row:
        deviation = max(self._deviation(), self._least())
        largest = _ratio(self.largest["got"], deviation)
        norms = float(np.sqrt(self.norm_got) * np.sqrt(self.norm_want))
        rounding = self.truth and self.single
        square, noise = (max(sums["noise"], sums["expected"]) for sums in (self.square, self.largest))
        row = Row(
            self.name,
            largest,
            _ratio(self.absolute / self.values, deviation),
            # Rounding may carry a cosine past 1.
            min(self.dot / norms, 1.0) if norms else float(self.norm_got == self.norm_want),
            None,
            largest if self.both else None,
            _ratio(np.sqrt(self.square["single"]), np.sqrt(square)) if rounding else None,
            _ratio(self.largest["single"], noise) if rounding else None,
            _ratio(self.largest["single"], deviation) if rounding else None,
            _ratio(self.largest["noise"], deviation) if rounding else None,
            _ratio(np.sqrt(self.square["got"] / self.values), deviation) if not self.truth else None,
            self.largest["got"],
            self.worst,
            False,
        )
        return replace(row, ok=_within(row, atol))


def _within(row: Row, atol: float | None) -> bool:
    if atol is not None:
        return row.absolute <= atol
    bounds = (
        (row.exact, EXACT_BOUND),
        (row.rounding_rms, RMS_BOUND),
        (row.rounding_largest, LARGEST_BOUND),
        (row.alone_rms, ALONE_RMS_BOUND),
        (row.largest if row.alone_rms is not None else None, ALONE_LARGEST_BOUND),
    )
    return all(value <= bound for value, bound in bounds if value is not None)


def select(outputs: Outputs, pattern: str) -> dict[str, np.ndarray]:
    """Return the endpoints whose names the regular expression ``pattern`` matches anywhere.

    Raises PorterError where ``pattern`` is not a regular expression.
    """
    try:
        return {name: values for name, values in outputs.items() if re.search(pattern, name)}
    except re.error as error:
        raise PorterError(f"`endpoints` {pattern!r} is not a regular expression: {error}") from None


def _blocks(runs: Mapping[T, np.ndarray]) -> Iterator[tuple[int, dict[T, np.ndarray]]]:
    """Yield the number of an image, and some of its values in each of ``runs``: flat, in float64, about BLOCK."""
    if len({run.shape for run in runs.values()}) > 1:
        runs = {key: run.reshape(len(run), -1) for key, run in runs.items()}
    first = next(iter(runs.values()))
    for image in range(len(first)):
        rows = {key: np.atleast_1d(run[image]) for key, run in runs.items()}
        count, *row = np.atleast_1d(first[image]).shape
        step = max(1, BLOCK // max(1, math.prod(row)))
        for at in range(0, count, step):
            yield image, {key: np.asarray(run[at : at + step], np.float64).reshape(-1) for key, run in rows.items()}


def _ratio(value: float, unit: float) -> float:
    """Return value / unit: 0 for no difference, infinity for NaN or a difference over a unit of 0."""
    if value == 0:
        return 0.0
    ratio = float(value / unit) if unit else np.inf
    return ratio if not np.isnan(ratio) else np.inf
