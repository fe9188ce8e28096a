"""Correct ports never fail: random images through three models, in both frameworks and several settings.

    python benchmarks/false_alarms.py                  100 images
    python benchmarks/false_alarms.py --images 8       fewer
    python benchmarks/false_alarms.py --write          write the table into docs/verify.md

TensorFlow runs the original's recorded graph, with name-seeded weights, as the reference. Each image gets its own
verdict, which is stricter than one for all, because rounding is not averaged over images. Exits with 1 on an alarm.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import pages
from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.catalog.models import find_arch
from porter.graph.rewrite.freeze import freeze
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.nets.build import build
from porter.parity.compare import ErrorAccumulator
from porter.runners.runner import Runner, run_all
from porter.runners.runner_of import runner_of
from porter.runners.tensorflow_settings import before_tensorflow

HEAD = ("| model | run in | images | alarms | float64 | float32 |", "| --- | --- | --: | --: | --: | --: |")
MODELS = ("mobilenet_v1_1.0_224", "mobilenet_v1_0.25_128", "nasnet_mobile")


@dataclass(frozen=True)
class Setting:
    """One way to run a port."""

    framework: str
    batch: int
    threads: int
    channels_last: bool = False

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.framework}, batch {self.batch}, {threads}{', channels_last' if self.channels_last else ''}"


SETTINGS = [
    *(Setting(framework, batch, threads) for framework in ("torch", "keras") for batch in (1, 8) for threads in (1, 2)),
    Setting("torch", 8, 2, channels_last=True),
]


def random_images(count: int, size: int) -> np.ndarray:
    """Return distinct images in [-1, 1]: noise, smooth fields, flat colours and extremes in turn."""
    images = []
    for number in range(count):
        draw = np.random.default_rng(number)
        noise = draw.uniform(-1, 1, (size, size, 3))
        coarse = draw.uniform(-1, 1, (size // 16 + 2, size // 16 + 2, 3))
        smooth = np.kron(coarse, np.ones((16, 16, 1)))[:size, :size]
        flat = np.broadcast_to(draw.uniform(-1, 1, (1, 1, 3)), (size, size, 3))
        extreme = np.sign(noise)
        images.append((noise, smooth, 0.9 * flat + 0.1 * noise, extreme)[number % 4])
    return np.stack(images).astype(np.float32)


def original(model: str) -> Runner:
    """Return TensorFlow running the recorded graph with name-seeded weights."""
    from porter.runners.tensorflow import TFRunner

    golden = recorded(model)
    graph = freeze(golden.load_graph(), dict(seeded_checkpoint(golden)))
    return TFRunner(graph, Table.load(find_arch(model).table), golden.graph)


def port(model: str, setting: Setting) -> Runner:
    """Return the port in ``setting``."""
    arch, seeds = find_arch(model), seeded_checkpoint(recorded(model))
    tensors = translate(seeds, arch, "tf", setting.framework).as_checkpoint(seeds)
    network: Any = build(arch, setting.framework, tensors)
    if setting.channels_last:
        import torch

        network = network.to(memory_format=torch.channels_last)
    return runner_of(network, Table.load(arch.table))


def alarms(model: str, count: int, settings: list[Setting]) -> Iterator[tuple[Setting, int, float, float]]:
    """Yield each setting's alarms, largest float64 difference and largest rounding ratio."""
    import torch

    before_tensorflow()
    arch = find_arch(model)
    table = Table.load(arch.table)
    images = random_images(count, recorded(model).input_size)
    reference = original(model)
    settings = [setting for setting in settings if setting.framework in arch.builders]
    ports = {setting: port(model, setting) for setting in settings}
    found = dict.fromkeys(settings, (0, 0.0, 0.0))
    threads = torch.get_num_threads()
    for at in range(0, count, 8):
        batch = images[at : at + 8]
        want = run_all(reference, batch)
        for setting, runner in ports.items():
            torch.set_num_threads(setting.threads)
            parts = [run_all(runner, batch[i : i + setting.batch]) for i in range(0, len(batch), setting.batch)]
            for i in range(len(batch)):
                part, place = parts[i // setting.batch], i % setting.batch
                tally = ErrorAccumulator(table.logits, softmaxes=table.softmaxes)
                tally.add(_one(part, place), _one(want, i))
                report = tally.report()
                exact = max(row.exact or 0.0 for row in report.rows)
                rounding = max(row.rounding_rms or 0.0 for row in report.rows)
                failed, far, rough = found[setting]
                found[setting] = (failed + (not report), max(far, exact), max(rough, rounding))
    torch.set_num_threads(threads)
    for setting, (failed, far, rough) in found.items():
        yield setting, failed, far, rough


def _one(runs: dict[str, dict[str, np.ndarray]], place: int) -> dict[str, dict[str, np.ndarray]]:
    return {p: {name: values[place : place + 1] for name, values in run.items()} for p, run in runs.items()}


def rows(count: int, threads: int) -> Iterator[str]:
    """Yield the rows of the settings with this number of threads, which TensorFlow sets once per process."""
    before_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for model in MODELS:
        settings = [setting for setting in SETTINGS if setting.threads == threads]
        for setting, failed, far, rough in alarms(model, count, settings):
            yield f"| {model} | {setting} | {count} | {failed} | {far:.1e} | {rough:.2f} |"


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="write the table into docs/verify.md")
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        for row in rows(options.images, options.threads):
            print(row, flush=True)
        return 0
    lines = [*HEAD]
    print(*HEAD, sep="\n")
    for threads in sorted({setting.threads for setting in SETTINGS}):
        command = [sys.executable, __file__, "--threads", str(threads), "--images", str(options.images)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                print(line, end="", flush=True)
                lines.append(line.strip())
        if child.returncode:
            return child.returncode
    if options.write:
        pages.write("verify.md", "false_alarms.py", lines)
    return 1 if any(line.split("|")[4].strip() != "0" for line in lines[2:]) else 0


if __name__ == "__main__":
    sys.exit(main())
