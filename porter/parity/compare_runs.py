"""compare_runs: runs a reference and candidates on the same images, batch by batch, and judges every endpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from porter.catalog.models import Arch
from porter.errors import PorterError, plural
from porter.files.progress import Track, untracked
from porter.mapping.head import Head, has_background
from porter.mapping.table import Table
from porter.parity.compare import (
    ALONE_LARGEST_BOUND,
    ALONE_RMS_BOUND,
    LARGEST_BOUND,
    RMS_BOUND,
    ErrorAccumulator,
    Outputs,
    Report,
    select,
)
from porter.parity.first_divergence import Rerun
from porter.parity.head_outputs import outputs_with
from porter.runners.images import Images
from porter.runners.runner import PRECISIONS, Runner

BATCH = 4
"""Images per batch by default: memory holds their activations on every side."""

DIAGNOSED = 3
"""Images on which the first divergence is diagnosed: two determine a factor and an offset, one more confirms them."""

Runs = dict[str, Outputs]
"""Outputs by precision."""

LogitsSeen = Callable[[Mapping[str, np.ndarray]], None]
"""Gets each batch's logits by candidate, in float32 where they ran in it; the reference's key is ``""``."""


@dataclass(frozen=True)
class Settings:
    """How to compare.

    ``atol`` replaces the two rules by a largest absolute difference. ``endpoints`` selects endpoints by a regular
    expression, ``precision`` runs in one precision only, ``batch`` is the number of images per batch.
    Raises PorterError for a value out of range.
    """

    atol: float | None = None
    endpoints: str | None = None
    precision: str | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in (None, *PRECISIONS):
            raise PorterError(f"unsupported precision {self.precision}: choose {' or '.join(PRECISIONS)}")
        if self.batch is not None and self.batch < 1:
            raise PorterError(f"`batch` must be at least 1, got {self.batch}")
        if self.atol is not None and not self.atol >= 0:
            raise PorterError(f"`atol` must be 0 or more, got {self.atol}")

    def precisions(self, runner: Runner) -> tuple[str, ...]:
        """Return the precisions to run ``runner`` in. Raises PorterError where it lacks the one asked for."""
        if self.precision is None:
            return runner.precisions
        if self.precision not in runner.precisions:
            raise PorterError(
                f'{runner.label} computes in {", ".join(runner.precisions)} only: leave `precision="{self.precision}"` '
                "out"
            )
        return (self.precision,)


@dataclass(frozen=True)
class Subject:
    """What is compared: the model, its table of endpoints, and the head of its ports."""

    arch: Arch
    table: Table
    head: Head = field(default_factory=Head)


def compare_runs(
    candidates: Mapping[str, Runner],
    reference: Runner,
    images: Images,
    subject: Subject,
    settings: Settings | None = None,
    track: Track[int] = untracked,
    logits_seen: LogitsSeen | None = None,
) -> dict[str, Report]:
    """Compare each candidate with ``reference`` on float32 NHWC ``images``, and return a report for each.

    Memory holds one batch of every side's outputs in all its precisions, and sums. Where one side lacks the background
    class, the other classes are compared. With another head than the original's, the original's remaining outputs are
    compared. Where nothing but the rounding of float32 exceeds its bound, a candidate's plain kernels decide.
    Raises PorterError where the sides cannot be compared.
    """
    comparer = _Comparer(candidates, reference, images, subject, settings or Settings())
    for runner in (reference, *candidates.values()):
        comparer.settings.precisions(runner)
    step = comparer.settings.batch or BATCH
    for at in track(range(0, len(images), step), "verifying"):
        logits = comparer.add(images[at : at + step])
        if logits_seen:
            logits_seen(logits)
    reports = comparer.reports()
    for name, report in reports.items():
        plain = candidates[name].plain if _only_rounds(report) else None
        if plain is not None:
            again = compare_runs({name: plain}, reference, images, subject, settings, track)[name]
            reports[name] = replace(again, notes=(*again.notes, _rounds_more(report))) if again else report
    return reports


def _only_rounds(report: Report) -> bool:
    """Tell whether float32's root mean square alone makes ``report`` false, and is within the bound of the largest."""
    beyond = [row for row in report.rows if not row.ok]
    ratios = [ratio or 0 for row in beyond for ratio in (row.rounding_rms, row.rounding_largest)]
    whole = report.atol is None and not (report.strict and report.missing)
    return whole and report.exact and 0 < max(ratios, default=0) <= LARGEST_BOUND


def _rounds_more(report: Report) -> str:
    row = report.first_beyond
    assert row is not None
    return (
        f"float32 ran on plain kernels: this processor's own kernels round {row.rounding_rms:.3g} times as much as the "
        f"original at {row.endpoint} (bound {RMS_BOUND:g})"
    )


def _without(runs: Runs, endpoints: Collection[str]) -> Runs:
    """Return ``runs`` without the values of ``endpoints``."""
    return {p: {name: value for name, value in run.items() if name not in endpoints} for p, run in runs.items()}


class _Comparer:
    """One call of compare_runs: batches are added, then the reports are read."""

    def __init__(
        self,
        candidates: Mapping[str, Runner],
        reference: Runner,
        images: Images,
        subject: Subject,
        settings: Settings,
    ) -> None:
        self.candidates, self.reference, self.images = candidates, reference, images
        self.subject, self.settings = subject, settings
        self.accumulators: dict[str, ErrorAccumulator] = {}
        self.notes: dict[str, dict[str, None]] = {name: {} for name in candidates}

    def add(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Run and compare a batch, and return its logits by side."""
        want = self._run(self.reference, batch)
        logits = self._logits("", want)
        for name, runner in self.candidates.items():
            got = self._run(runner, batch)
            logits |= self._logits(name, got)
            same = self._same_shapes(name, *self._same_classes(name, got, want))
            self._accumulate(name, *self._comparable(name, *same))
        return logits

    def reports(self) -> dict[str, Report]:
        return {name: self._finished(name, found.report()) for name, found in self.accumulators.items()}

    def _run(self, runner: Runner, batch: np.ndarray) -> Runs:
        runs: Runs = {p: runner(batch.astype(p)) for p in self.settings.precisions(runner)}
        head = self.subject.head
        if runner is not self.reference and head.is_original:
            return runs
        return {p: outputs_with(head, run, self.subject.table) for p, run in runs.items()}

    def _logits(self, name: str, runs: Runs) -> dict[str, np.ndarray]:
        outputs, logits = next(iter(runs.values())), self.subject.table.logits
        return {name: outputs[logits]} if logits is not None and logits in outputs else {}

    def _accumulate(self, name: str, got: Runs, want: Runs) -> None:
        if name not in self.accumulators:
            self.accumulators[name] = ErrorAccumulator(
                self._judged(want),
                self.settings.atol,
                self.candidates[name].strict,
                self.subject.table.softmaxes,
                self.settings.endpoints,
                self.subject.table.optional,
            )
        self.accumulators[name].add(got, want)

    def _judged(self, want: Runs) -> str | None:
        """Return the endpoint that both sides must compute."""
        if self.settings.endpoints is not None:
            return None
        table, computed = self.subject.table, list(next(iter(want.values())))
        if not self.subject.head.is_original:
            return computed[-1]
        # With another number of classes the original computes only the first of a detector's class scores.
        scores = [endpoint.name for endpoint in table.endpoints if endpoint.scores and endpoint.name in computed]
        return scores[-1] if scores else table.judged

    def _comparable(self, name: str, got: Runs, want: Runs) -> tuple[Runs, Runs]:
        """Reduce the one side to the values that the other keeps. Raises PorterError where no endpoint is selected."""
        ours, theirs = self.candidates[name].probes, self.reference.probes
        if theirs and not ours:
            got = {p: theirs.reduce(run) for p, run in got.items()}
        if ours and not theirs:
            want = {p: ours.reduce(run) for p, run in want.items()}
        pattern = self.settings.endpoints
        if pattern is not None and not all(select(next(iter(runs.values())), pattern) for runs in (got, want)):
            raise PorterError(f"no endpoint matches {pattern!r}; available: {', '.join(next(iter(want.values())))}")
        return got, want

    def _same_classes(self, name: str, got: Runs, want: Runs) -> tuple[Runs, Runs]:
        """Drop the background class of the side that alone has one."""
        logits, arch = self.subject.table.judged, self.subject.arch
        runs = {"got": got, "want": want}
        outputs = {side: next(iter(run.values())) for side, run in runs.items()}
        counts = {side: values[logits].shape[-1] for side, values in outputs.items() if logits in values}
        if len(counts) < 2 or abs(counts["got"] - counts["want"]) != 1 or not has_background(arch):
            return got, want
        larger = max(counts, key=lambda side: counts[side])
        if counts[larger] != arch.num_classes:
            return got, want
        self.notes[name]["only one side has a background class: the other classes are compared"] = None
        cut = Head(drop_background=True)
        runs[larger] = {p: outputs_with(cut, run, self.subject.table) for p, run in runs[larger].items()}
        return runs["got"], runs["want"]

    def _same_shapes(self, name: str, got: Runs, want: Runs) -> tuple[Runs, Runs]:
        """Leave out the endpoints that a library's network pads to another shape."""
        if not (self.candidates[name].reshapes or self.reference.reshapes):
            return got, want
        ours, theirs = (next(iter(runs.values())) for runs in (got, want))
        other = {e for e in ours.keys() & theirs.keys() if ours[e].shape != theirs[e].shape}
        if other:
            verb = "is" if len(other) == 1 else "are"
            self.notes[name][f"{plural(len(other), 'endpoint')} of another shape {verb} not compared"] = None
        return _without(got, other), _without(want, other)

    def _finished(self, name: str, report: Report) -> Report:
        """Return ``report`` with its notes, and the cause of its first divergence."""
        candidate = self.candidates[name]
        notes = [*self.notes[name], *_precision_notes(self.reference, candidate, self.settings)]
        notes += [*self.reference.notes, *candidate.notes]
        row = report.first_divergence
        cause = self._cause(name, row.endpoint, row.worst) if row is not None else None
        return replace(report, cause=cause, notes=tuple(dict.fromkeys(notes)))

    def _cause(self, name: str, endpoint: str, worst: int) -> str | None:
        """Run the worst image and a few others again, and diagnose what they show at ``endpoint``."""
        others = (number for number in range(len(self.images)) if number != worst)
        chosen = [worst, *(number for number, _ in zip(others, range(DIAGNOSED - 1), strict=False))]
        batch, candidate = self.images[chosen], self.candidates[name]
        whole = self._same_classes(name, self._run(candidate, batch), self._run(self.reference, batch))
        got, want = self._comparable(name, *whole)
        precision = "float64" if "float64" in got and "float64" in want else next(iter(got))
        if precision not in want:
            return None
        rerun = Rerun(
            candidate,
            self.reference,
            got[precision],
            want[precision],
            whole[0][precision],
            whole[1][precision],
            precision == "float64",
        )
        table = self.subject.table
        return rerun.cause(endpoint, endpoint if endpoint in table.all_logits else table.judged)


def _precision_notes(reference: Runner, candidate: Runner, settings: Settings) -> list[str]:
    """Say which side is judged in float32 only, and by which bounds."""
    if settings.atol is not None:
        return []
    sides = (("the reference", reference), ("the candidate", candidate))
    lacking = [side for side, runner in sides if "float64" not in settings.precisions(runner)]
    if len(lacking) == 2:
        why = "compared in float32 only, as asked" if settings.precision else "neither side has a reliable float64"
        return [
            f"{why}: differences may be at most {ALONE_RMS_BOUND:.0e} (root mean square) and "
            f"{ALONE_LARGEST_BOUND:.0e} (largest) of the deviation; smaller differences are not detected"
        ]
    if lacking:
        return [
            f"{lacking[0]} has no reliable float64: judged in float32 only, against the other side's float64 and by "
            "the same rounding bounds"
        ]
    return []
