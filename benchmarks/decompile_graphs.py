"""How long written networks are, how exact, and what writing them costs: the table of docs/decompile.md.

    python benchmarks/decompile_graphs.py [--write] [GOLDEN ...]

Each golden's graph is written as source and filled with the golden's name-seeded weights. The source runs in float64 on
one picture; its distance from the logits that the authors' code computed is in their standard deviation. Each golden
runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/decompile.md"
BEGIN, END = "<!-- written by decompile_graphs.py -->\n", "<!-- end of decompile_graphs.py -->"
GOLDENS = (
    "mobilenet_v1_0.25_128 mobilenet_v1_1.0_224 mobilenet_v2_1.0_224 mobilenet_v3_large_1.0_224 "
    "mobilenet_v3_small_1.0_224 inception_v1 inception_v2 inception_v3 inception_v4 inception_resnet_v2 resnet_v1_50 "
    "resnet_v2_50 vgg_16 nasnet_cifar nasnet_mobile pnasnet_mobile"
).split()


def measure(name: str) -> dict[str, object]:
    """Write one golden's network, and compare it with the golden."""
    import numpy as np

    from porter.catalog.goldens import recorded, seeded_entries
    from porter.export.written_network import SOURCE, network_state, write_state
    from porter.formats.tensorflow.graph_source import graph_source
    from porter.formats.tensorflow.tensorproto import tensor_values
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.codegen.lower import lower
    from porter.graph.codegen.network import WEIGHTS, write_network

    golden = recorded(name)
    begin = time.process_time()
    analysis = Analysis(graph_source(golden.graph, golden.load_graph()))
    program = lower(analysis)
    if program.problems:
        return {"name": name, "problems": sorted({problem.op for problem in program.problems})}
    network = write_network(program, analysis, name, "A network that porter wrote from a TensorFlow graph.")
    seconds = time.process_time() - begin
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    entries = seeded_entries(golden)
    constants = {node.name: node.attr["value"].tensor for node in analysis.source.graph.node if node.op == "Const"}

    def load(weight: str) -> np.ndarray:
        return entries[weight].load() if weight in entries else tensor_values(Path(), weight, constants[weight])

    from porter.runners.decompiled import DecompiledRunner, load_network
    from porter.runners.golden import golden_images
    from porter.runners.softmax import softmax

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / SOURCE).write_text(network.source, encoding="utf-8")
        write_state(Path(folder) / WEIGHTS, network_state(network, load), {})
        run = DecompiledRunner(
            load_network(Path(folder) / SOURCE), dict.fromkeys(program.inputs, ()), (), program.outputs
        )
        got = run(golden_images(golden.input_size)[:1].astype(np.float64))[program.outputs[-1].source]
    want = golden.values()["logits_float64"][:1]
    want = softmax(want) if program.steps[-1].what == "softmax" else want
    distance = float(np.abs(got.reshape(want.shape) - want).max() / want.std())
    return {"name": name, "lines": network.lines, "float64": distance, "seconds": seconds, "memory": memory}


def row(found: dict[str, object]) -> str:
    """Return a row of the table."""
    if "problems" in found:
        return f"| {found['name']} | no translation of {', '.join(map(str, found['problems']))} | | | |"  # type: ignore[call-overload]
    return "| {name} | {lines} | {float64:.1e} | {seconds:.1f} | {memory:.0f} |".format(**found)


def main() -> None:
    """Measure the goldens and print the table; with --write, put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("goldens", nargs="*", default=GOLDENS)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one)))
        return
    lines = ["| graph | lines | float64 distance of the output | CPU seconds | MB |", "| --- | --- | --- | --- | --- |"]
    for name in given.goldens:
        run = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True, cwd=ROOT)
        if run.returncode:
            raise SystemExit(f"{name}: {run.stderr.strip().splitlines()[-1]}")
        lines.append(row(json.loads(run.stdout.splitlines()[-1])))
        print(lines[-1], flush=True)
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        PAGE.write_text(before + BEGIN + "\n".join(lines) + "\n" + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
