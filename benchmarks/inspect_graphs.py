"""Time and memory of `port inspect` for growing graphs, and for NASNet-A Large next to `import tensorflow`.

    python benchmarks/inspect_graphs.py

Each time is the best of three whole processes, interpreter included; memory is the largest resident set.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.graph.rewrite.freeze import constant

LARGE = Path(__file__).parent.parent / "tests/graphs/nasnet_large.pb.gz"
SIZES = (1_000, 10_000, 100_000)
RUNS = 3


class Cost(NamedTuple):
    """Seconds and megabytes of a process."""

    seconds: float
    megabytes: float


def chain(nodes: int) -> GraphDef:
    """Return a graph of about ``nodes`` nodes: residual blocks of two convolutions in scopes."""
    graph = GraphDef()
    graph.versions.producer = 2474
    node = graph.node.add(name="input", op="Placeholder")
    node.attr["dtype"].type = 1
    for size in (-1, 14, 14, 8):
        node.attr["shape"].shape.dim.add(size=size)
    kernel = constant("kernel", np.zeros((3, 3, 8, 8), np.float32))
    x, block = "input", 0
    while len(graph.node) < nodes:
        start = x
        for part in ("a", "b"):
            scope = f"stage_{block // 50}/block_{block % 50}/{part}"
            weights = graph.node.add()
            weights.CopyFrom(kernel)
            weights.name = f"{scope}/weights"
            graph.node.add(name=f"{scope}/weights/read", op="Identity", input=[weights.name])
            conv = graph.node.add(name=f"{scope}/Conv2D", op="Conv2D", input=[x, f"{scope}/weights/read"])
            conv.attr["strides"].list.i.extend((1, 1, 1, 1))
            conv.attr["padding"].s = b"SAME"
            x = graph.node.add(name=f"{scope}/Relu", op="Relu", input=[conv.name]).name
        x = graph.node.add(name=f"stage_{block // 50}/block_{block % 50}/add", op="AddV2", input=[x, start]).name
        block += 1
    return graph


def measure(code: str) -> Cost:
    """Run ``code`` in new processes; return the cost of the fastest."""
    costs = []
    for _ in range(RUNS):
        wrapped = f"{code}\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", wrapped], capture_output=True, text=True, check=True)
        costs.append(Cost(time.perf_counter() - start, int(done.stdout.split()[-1]) / 1024))
    return min(costs)


def overview(path: Path) -> str:
    """Return code that prints a graph's overview through the command line."""
    return f"from porter.cli.main import main\ntry:\n    main(['inspect', {str(path)!r}])\nexcept SystemExit:\n    pass"


def main() -> None:
    """Print one table, and one line of JSON."""
    found: dict[str, Cost] = {
        "an empty process": measure("pass"),
        "import porter.cli.main": measure("import porter.cli.main"),
    }
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / f"{size}.pb"
            # A new process, because a child's largest resident set starts at its parent's.
            subprocess.run([sys.executable, __file__, str(size), str(path)], check=True)
            found[f"overview of {size:,} nodes"] = measure(overview(path))
    found["overview of NASNet-A Large (13,450 nodes)"] = measure(overview(LARGE))
    found["import tensorflow"] = measure("import tensorflow")
    for name, cost in found.items():
        print(f"{name:44} {cost.seconds:7.2f} s {cost.megabytes:7.0f} MB")
    ratio = found["import tensorflow"].seconds / found["overview of NASNet-A Large (13,450 nodes)"].seconds
    print(f"importing TensorFlow takes {ratio:.1f} times as long as NASNet-A Large's overview")
    print(json.dumps({name: cost._asdict() for name, cost in found.items()}))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        Path(sys.argv[2]).write_bytes(chain(int(sys.argv[1])).SerializeToString())
    else:
        main()
