"""compare_runs: runs a reference and ports on the same pictures, batch by batch, and judges every endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from porter.catalog.models import Arch
from porter.errors import PorterError
from porter.files.progress import Track, untracked
from porter.mapping.dialects import FRAMEWORKS
from porter.mapping.head import Head, has_background
from porter.mapping.table import Table
from porter.parity.compare import ALONE_LARGEST_BOUND, ALONE_RMS_BOUND, ErrorAccumulator, Report, select
from porter.parity.diagnose import SKIPPED, Sample, diagnose
from porter.parity.head_outputs import outputs_with
from porter.runners.runner import PRECISIONS, Runner

BATCH = 4
"""Pictures run at once where nothing is asked for: their activations on both sides are in memory together."""

DIAGNOSED = 3
"""Pictures on which the first divergence is looked at: enough for a factor and an offset, and one more."""

Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Settings:
    """How to compare: ``endpoints`` by regular expression, one ``precision``, ``batch`` pictures at once, ``atol``."""

    atol: float | None = None
    endpoints: str | None = None
    precision: str | None = None
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in (None, *PRECISIONS):
            raise PorterError(
                f"--precision {self.precision} is none that verify runs in: take one of {', '.join(PRECISIONS)}"
            )
        if self.batch is not None and self.batch < 1:
            raise PorterError(f"--batch {self.batch} is no number of pictures: take 1 or more")
        if self.atol is not None and not self.atol >= 0:
            raise PorterError(f"--atol {self.atol} is no distance: take 0 or more")

    def precisions(self, runner: Runner, name: str) -> tuple[str, ...]:
        """Return the precisions to run ``runner`` in. Raises PorterError where it does not have the one asked for."""
        if self.precision is None:
            return runner.precisions
        if self.precision not in runner.precisions:
            raise PorterError(
                f"{name} computes in {', '.join(runner.precisions)} only: leave --precision {self.precision} out"
            )
        return (self.precision,)


@dataclass(frozen=True)
class Comparison:
    """Each port's report, and the logits of both sides, in float32 where they ran in it."""

    reports: dict[str, Report]
    reference_logits: np.ndarray | None
    logits: dict[str, np.ndarray]


def compare_runs(
    ports: Mapping[str, Runner],
    reference: Runner,
    pictures: np.ndarray,
    arch: Arch,
    table: Table,
    settings: Settings | None = None,
    head: Head | None = None,
    track: Track[int] = untracked,
) -> Comparison:
    """Hold each of ``ports`` against ``reference`` on NHWC float32 ``pictures``.

    Only ``settings.batch`` pictures are run at once, by every side in all its precisions. Where a head has one class
    less than the other's and that has a background class, the rest is compared. With another ``head`` than the
    original's, what is left of the original's outputs is judged.
    """
    return _Comparer(
        ports, reference, pictures, arch, table, settings or Settings(), head or Head(), track
    ).comparison()


class _Comparer:
    """One call of compare_runs."""

    def __init__(
        self,
        ports: Mapping[str, Runner],
        reference: Runner,
        pictures: np.ndarray,
        arch: Arch,
        table: Table,
        settings: Settings,
        head: Head,
        track: Track[int],
    ) -> None:
        self.ports, self.reference, self.pictures = ports, reference, pictures
        self.arch, self.table, self.settings, self.head, self.track = arch, table, settings, head, track
        self.notes: dict[str, list[str]] = {name: [] for name in ports}
        settings.precisions(reference, "the reference")
        for name, runner in ports.items():
            settings.precisions(runner, name)

    def comparison(self) -> Comparison:
        tallies: dict[str, ErrorAccumulator] = {}
        logits: dict[str, list[np.ndarray]] = {}
        step = self.settings.batch or BATCH
        for at in self.track(range(0, len(self.pictures), step), "verifying"):
            batch = self.pictures[at : at + step]
            want = self._run(self.reference, "the reference", batch)
            self._keep(logits, "", want)
            for name, runner in self.ports.items():
                got = self._run(runner, name, batch)
                self._keep(logits, name, got)
                ours, theirs = self._comparable(name, runner, got, want)
                if name not in tallies:
                    strict = name in FRAMEWORKS  # ours are whole
                    tallies[name] = ErrorAccumulator(
                        self._judged(theirs),
                        self.settings.atol,
                        strict,
                        self.table.softmaxes,
                        self.settings.endpoints,
                    )
                tallies[name].add(ours, theirs)
        reports = {name: self._finished(name, tally.report()) for name, tally in tallies.items()}
        joined = {name: np.concatenate(parts) for name, parts in logits.items()}
        return Comparison(reports, joined.pop("", None), joined)

    def _run(self, runner: Runner, name: str, batch: np.ndarray) -> dict[str, Outputs]:
        runs = {p: runner(batch.astype(p)) for p in self.settings.precisions(runner, name)}
        if runner is not self.reference and self.head.is_original:
            return runs
        return {p: outputs_with(self.head, run, self.table) for p, run in runs.items()}

    def _keep(self, logits: dict[str, list[np.ndarray]], name: str, runs: Mapping[str, Outputs]) -> None:
        outputs = next(iter(runs.values()))
        if self.table.logits in outputs:
            logits.setdefault(name, []).append(outputs[self.table.logits])

    def _judged(self, want: Mapping[str, Outputs]) -> str | None:
        """Return the endpoint without which nothing is judged."""
        if self.settings.endpoints is not None:
            return None
        return self.table.logits if self.head.is_original else list(next(iter(want.values())))[-1]

    def _comparable(
        self, name: str, runner: Runner, got: dict[str, Outputs], want: dict[str, Outputs]
    ) -> tuple[dict[str, Outputs], dict[str, Outputs]]:
        """Return both sides' runs with the same classes, and as probes where one side is a golden."""
        got, want = self._same_classes(name, got, want)
        # A golden keeps probes alone: of the other side no more is compared.
        if hasattr(self.reference, "probe") and hasattr(runner, "probe"):
            pass
        elif hasattr(self.reference, "probe"):
            got = {p: self.reference.probe(run) for p, run in got.items()}
        elif hasattr(runner, "probe"):
            want = {p: runner.probe(run) for p, run in want.items()}
        pattern = self.settings.endpoints
        if pattern is not None and not all(select(next(iter(runs.values())), pattern) for runs in (got, want)):
            there = ", ".join(next(iter(want.values())))
            raise PorterError(f"--endpoints {pattern!r} is found in no endpoint's name: there are {there}")
        return got, want

    def _same_classes(
        self, name: str, got: dict[str, Outputs], want: dict[str, Outputs]
    ) -> tuple[dict[str, Outputs], dict[str, Outputs]]:
        logits, sides = self.table.logits, {"got": got, "want": want}
        counts = {
            side: outputs[logits].shape[-1]
            for side, runs in sides.items()
            if logits in (outputs := next(iter(runs.values())))
        }
        if len(counts) < 2 or abs(counts["got"] - counts["want"]) != 1 or not has_background(self.arch):
            return got, want
        larger = max(counts, key=lambda side: counts[side])
        if counts[larger] != self.arch.num_classes:
            return got, want
        note = "one side alone has a background class: the other classes are compared"
        if note not in self.notes[name]:
            self.notes[name].append(note)
        cut = Head(drop_background=True)
        sides[larger] = {p: outputs_with(cut, run, self.table) for p, run in sides[larger].items()}
        return sides["got"], sides["want"]

    def _finished(self, name: str, report: Report) -> Report:
        """Return ``report`` with its notes, and the cause of its first divergence."""
        notes = [*self.notes[name], *_precision_notes(self.reference, self.ports[name], self.settings)]
        for side in (self.reference, self.ports[name]):
            notes.extend(getattr(side, "notes", ()))
        row = report.first_divergence
        cause = self._cause(name, row.endpoint, row.worst) if row is not None else None
        return replace(report, cause=cause, notes=tuple(dict.fromkeys(notes)))

    def _cause(self, name: str, endpoint: str, worst: int) -> str | None:
        """Run the pictures again on which the first divergence is looked at."""
        chosen = [worst, *(number for number in range(len(self.pictures)) if number != worst)][:DIAGNOSED]
        port, batch = self.ports[name], self.pictures[chosen]
        whole_got, whole_want = self._same_classes(
            name, self._run(port, name, batch), self._run(self.reference, "the reference", batch)
        )
        got, want = self._comparable(name, port, whole_got, whole_want)
        precision = "float64" if "float64" in got and "float64" in want else next(iter(got))
        if precision not in want:
            return None
        golden = next((side for side in (self.reference, port) if hasattr(side, "indices")), None)
        whole = whole_got if golden is self.reference else whole_want
        shapes = {endpoint: values.shape[1:] for endpoint, values in whole[precision].items()}
        ours, theirs = got[precision], want[precision]
        flat = [np.asarray(side[endpoint], np.float64).reshape(len(chosen), -1) for side in (ours, theirs)]
        shape = shapes[endpoint]
        count = int(np.prod(shape))
        indices = golden.indices(endpoint, count) if golden is not None else np.arange(count)
        names = [n for n in theirs if n in ours]
        before = names[names.index(endpoint) - 1] if names.index(endpoint) else None
        order = list(want[precision])
        gone = [n for n in order[: order.index(endpoint)] if n not in ours]
        # Of somebody else's partial side an absent endpoint says nothing.
        if gone and gone[-1] == order[order.index(endpoint) - 1] and not getattr(port, "partial", False):
            return SKIPPED.format(names=", ".join(gone[-3:]), are="is" if len(gone) == 1 else "are")
        peaks = None
        if golden is self.reference:
            upto = names[: names.index(endpoint) + 1]
            cap = max(float(theirs[n].max()) for n in upto)
            if sum(int((theirs[n] == cap).sum()) for n in upto) > 1:  # a cap comes up again and again
                peaks = (max(float(whole_got[precision][n].max()) for n in upto), cap)
        others = {n: v for n, v in theirs.items() if n != endpoint and v.shape[1:] == shape} if golden is None else {}
        return diagnose(
            Sample(flat[0], flat[1], shape, indices, precision == "float64"),
            before=shapes[before] if before else None,
            logits=endpoint == self.table.logits,
            others=others,
            peaks=peaks,
        )


def _precision_notes(reference: Runner, port: Runner, settings: Settings) -> list[str]:
    if settings.atol is not None:
        return []
    lacking = [
        side
        for side, runner in (("the reference", reference), ("the port", port))
        if "float64" not in settings.precisions(runner, side)
    ]
    if len(lacking) == 2:
        why = "--precision float32" if settings.precision else "no float64 on either side"
        return [
            f"{why}: float32 is held against float32, by at most {ALONE_RMS_BOUND:.0e} (root mean square) and "
            f"{ALONE_LARGEST_BOUND:.0e} (largest) of the deviation; smaller differences are not seen"
        ]
    if lacking:
        return [
            f"{lacking[0]} has no float64 that proves anything: it is judged in float32 alone, against the other "
            "side's float64, by the same bounds of rounding"
        ]
    return []
