"""Contests: commands, or workers that hold a network, take turns, and each is compared with the first by its medians.

Taking turns matters: a machine that slows down for a minute slows all of them down.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parent.parent
CONTENDERS = Path(__file__).parent / "contenders"
ENVIRONMENTS = ROOT / "build" / "contenders"
OWN = "porter"
"""The environment that runs this benchmark, with porter in it."""


def python_of(environment: str) -> Path | None:
    """Return the Python of an environment under build/; None where `make contenders` has not made it."""
    if environment == OWN:
        return Path(sys.executable)
    found = ENVIRONMENTS / environment / "bin" / "python"
    return found if found.exists() else None


@dataclass
class Contender:
    """A script in an environment, with its arguments; a script without a suffix is a module that ``-m`` runs."""

    name: str
    environment: str
    script: str
    arguments: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    clean: Callable[[], None] = lambda: None
    """Removes what the last round wrote, out of the measured time."""

    @property
    def command(self) -> list[str] | None:
        """The command; None where the environment is missing."""
        python = python_of(self.environment)
        if python is None:
            print(f"  {self.name}: build/contenders/{self.environment} is missing, run make contenders", flush=True)
            return None
        script = [str(CONTENDERS / self.script)] if self.script.endswith(".py") else ["-m", self.script]
        return [str(python), *script, *self.arguments]

    @property
    def surroundings(self) -> dict[str, str]:
        """The environment variables."""
        path = {"PYTHONPATH": str(ROOT)} if self.environment == OWN else {}
        return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **path, **self.variables}


Costs = dict[str, list[float]]
"""What the rounds of a contender cost: ``wall`` and ``cpu`` in seconds, ``peak`` in MiB."""


def run_commands(contenders: Iterable[Contender], rounds: int) -> dict[str, Costs]:
    """Return each command's costs; one round before the first is not counted, because it fills the disk's cache."""
    commands = {each.name: (each, command) for each in contenders if (command := each.command)}
    found: dict[str, Costs] = {name: {"wall": [], "cpu": [], "peak": []} for name in commands}
    for number in range(rounds + 1):
        for name, (contender, command) in commands.items():
            contender.clean()
            costs = _run(command, contender.surroundings)
            for key, value in costs.items() if number else ():
                found[name][key].append(value)
    return found


def _run(command: Sequence[str], surroundings: Mapping[str, str]) -> dict[str, float]:
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=surroundings) as child:
        errors = child.stderr.read() if child.stderr else b""
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode(errors='replace')[-2000:]}")
    return {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1024}


@dataclass(frozen=True)
class Attempt:
    """What one run of a contender gave: its last JSON line, why it failed, and its CPU seconds and peak in MiB."""

    answer: dict[str, Any] | None
    failure: str
    cpu: float
    peak: float


def attempt(contender: Contender, seconds: float, megabytes: float) -> Attempt | None:
    """Run a contender once, within limits of wall time and memory; return None where its environment is missing."""
    command = contender.command
    if command is None:
        return None
    contender.clean()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+", errors="replace") as errors:
        child = subprocess.Popen(
            command, stdout=said, stderr=errors, env=contender.surroundings, start_new_session=True
        )
        beyond = _watch(child.pid, seconds, megabytes)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        errors.seek(0)
        answers = [line for line in said if line.startswith("{")]
        lines = [line.strip() for line in errors if line.strip()]
    failure = beyond
    if child.returncode and not beyond:
        failure = lines[-1] if child.returncode > 0 and lines else f"status {child.returncode}"
    return Attempt(
        json.loads(answers[-1]) if answers else None, failure, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    )


def _watch(process: int, seconds: float, megabytes: float) -> str:
    """Wait for a process to end, or kill its group where it passes a limit, and return which."""
    end, beyond = time.monotonic() + seconds, ""
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > end:
            beyond = f"more than {seconds:.0f} s"
        elif _resident(process) > megabytes:
            beyond = f"more than {megabytes / 1024:.0f} GiB"
        if beyond:
            os.killpg(process, signal.SIGKILL)
            break
        time.sleep(0.1)
    return beyond


def _resident(process: int) -> float:
    """Return the resident set of a process in MiB, 0 once it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Worker:
    """A process that answers each line with one JSON object: first with its versions, then with a run's seconds."""

    def __init__(self, contender: Contender, command: Sequence[str]) -> None:
        self.name = contender.name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=contender.surroundings
        )

    def ask(self) -> dict[str, Any]:
        """Return the answer to one line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):  # libraries print warnings
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise SystemExit(f"{self.name} ended before it answered: run {' '.join(map(str, self._process.args))}")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def run_workers(contenders: Iterable[Contender], rounds: int) -> tuple[dict[str, Costs], dict[str, str]]:
    """Return each worker's costs, and the versions of what it ran."""
    workers = [Worker(each, command) for each in contenders if (command := each.command)]
    try:
        versions: dict[str, str] = {}
        for worker in workers:  # one after the other, since compilers take all cores
            versions |= worker.ask()
        found: dict[str, Costs] = {worker.name: {"wall": []} for worker in workers}
        for _ in range(rounds):
            for worker in workers:
                found[worker.name]["wall"].append(worker.ask()["seconds"])
    finally:
        for worker in workers:
            worker.close()
    return found, versions


def medians(costs: Mapping[str, Costs]) -> dict[str, dict[str, float]]:
    """Return the median of each cost of each contender."""
    return {name: {key: median(values) for key, values in each.items()} for name, each in costs.items()}
