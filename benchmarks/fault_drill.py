"""Plants single mistakes and reports for each whether verify catches it, where, and which cause it guesses.

    python benchmarks/fault_drill.py                 all faults of all families
    python benchmarks/fault_drill.py vgg_16          those of one model of benchmarks/faults/, or of several
    python benchmarks/fault_drill.py --write         and put the tables into docs/verify.md

The reference is the same network without a mistake, which the goldens prove. Both run in both precisions on the three
sample images. A golden keeps only probes of most activations, so it is not the reference here. The exit status is 1
where a fault is not caught or not located.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import pages
from faults import FAULTS, Fault, planted
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.formats.checkpoint import Checkpoint, Entry
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.nets.build import build
from porter.parity.compare_runs import Subject, compare_runs
from porter.runners.golden import golden_images
from porter.runners.runner import Runner, run_all
from porter.runners.runner_of import runner_of
from porter.runners.tensorflow_settings import before_tensorflow


@dataclass(frozen=True)
class Outcome:
    """What verify reported about one fault."""

    fault: Fault
    diverges: str | None
    cause: str | None

    @property
    def caught(self) -> bool:
        return self.diverges is not None

    @property
    def located(self) -> bool:
        return self.diverges == self.fault.diverges


class Remembered(Runner):
    """The outputs of a network without a mistake, computed before a fault changes the code that both share."""

    label = "the sound network"

    def __init__(self, runner: Runner, images: np.ndarray) -> None:
        self.images = images
        self.outputs = run_all(runner, images)

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        chosen = [next(n for n, known in enumerate(self.images) if np.array_equal(known, image)) for image in images]
        return {name: values[chosen] for name, values in self.outputs[images.dtype.name].items()}


@cache
def sound(model: str, framework: str) -> tuple[dict[str, np.ndarray], Remembered]:
    """Return the ported tensors, and the runner of the network without a mistake."""
    before_tensorflow()
    golden = recorded(model)
    arch, seeds = find_arch(golden.model), seeded_checkpoint(golden)
    translated = translate(seeds, arch, "tf", framework).as_checkpoint(seeds)
    runner = runner_of(build(arch, framework, translated, input_size=golden.input_size), Table.of(arch))
    return dict(translated), Remembered(runner, golden_images(golden.input_size))


def drill(model: str, fault: Fault) -> Outcome:
    """Plant ``fault`` in ``model`` and return what verify reports."""
    golden = recorded(model)
    arch, size = find_arch(golden.model), golden.input_size
    table = Table.of(arch)
    tensors, reference = sound(model, fault.framework)
    tensors = dict(tensors)
    if fault.weights is not None:
        fault.weights(tensors)
    entries = {name: Entry(v.shape, v.dtype, lambda v=v: v) for name, v in tensors.items()}  # type: ignore[misc]
    with planted(fault):
        network = build(arch, fault.framework, Checkpoint(Path("drill"), "drill", entries), input_size=size)
        if fault.network is not None:
            network = fault.network(network) or network
        images = golden_images(size)
        report = compare_runs({"fault": runner_of(network, table)}, reference, images, Subject(arch, table))["fault"]
    divergence = report.first_divergence
    return Outcome(fault, divergence.endpoint if divergence else None, report.cause)


def rows(outcomes: list[Outcome]) -> list[str]:
    """Return the table in Markdown."""
    lines = ["| fault | in | sits in | caught | located | cause guessed |", "| --- | --- | --- | --- | --- | --- |"]
    for outcome in outcomes:
        fault = outcome.fault
        located = "yes" if outcome.located else f"at {outcome.diverges}" if outcome.caught else ""
        caught = "yes" if outcome.caught else "**no**"
        lines.append(
            f"| {fault.name} | {fault.framework} | {fault.diverges} | {caught} | {located} | {outcome.cause or ''} |"
        )
    return lines


def tables(lines: Iterable[str]) -> dict[str, list[str]]:
    """Return the lines of each model's table, its summary first."""
    found: dict[str, list[str]] = {}
    model = ""
    for line in lines:
        if summary := re.match(r"(\S+): \d+ faults, ", line):
            model = summary[1]
        found.setdefault(model, []).append(line)
    return found


def main() -> int:
    """Run the drill and print its tables."""
    chosen = [name for name in sys.argv[1:] if not name.startswith("--")] or list(FAULTS)
    if unknown := sorted(set(chosen) - FAULTS.keys()):
        sys.exit(f"fault_drill.py: no faults of {', '.join(unknown)}: choose from {', '.join(FAULTS)}")
    written = tables(pages.written("verify.md", "fault_drill.py"))
    everything = []
    for model, faults in ((name, FAULTS[name]) for name in chosen):
        outcomes = []
        for fault in faults:
            outcome = drill(model, fault)
            outcomes.append(outcome)
            print(rows([outcome])[-1], flush=True)
        everything += outcomes
        caught, located = (sum(getattr(o, what) for o in outcomes) for what in ("caught", "located"))
        guessed = sum(outcome.cause is not None for outcome in outcomes)
        summary = (
            f"{model}: {len(outcomes)} faults, {caught} caught, {located} located, {guessed} with a cause guessed."
        )
        print(summary)
        written[model] = [summary, "", *rows(outcomes)]
    if "--write" in sys.argv:
        lines = [line for model in FAULTS for line in written.get(model, ())]
        pages.write("verify.md", "fault_drill.py", lines)
    return 0 if all(outcome.caught and outcome.located for outcome in everything) else 1


if __name__ == "__main__":
    sys.exit(main())
