"""Runs porter's PyTorch networks on a GPU: eager, fused, compiled, and compiled in bfloat16.

    PYTHONPATH=. python benchmarks/gpu.py                          all of MODELS
    PYTHONPATH=. python benchmarks/gpu.py --models nasnet_large --batches 1 16

It needs torch, numpy, safetensors and porter's folder. Weights are fresh; images are random and lie on the GPU. The
ways take turns within each round; a number is the median of the rounds, in milliseconds per batch. The last line is
one JSON object, which bench.py reads. Without a GPU its tables are empty.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import nn

from porter.catalog.models import find_arch
from porter.nets.build import build
from porter.nets.fuse_torch import fuse

MODELS = ("nasnet_large", "nasnet_mobile", "mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224", "resnet_v1_50")
BATCHES = (1, 16, 128)
WAYS = ("eager", "fused", "compiled", "bf16")
ENOUGH = 0.2
"""Seconds that a measured run takes at least."""


def made(model: str, way: str) -> nn.Module:
    """Return the network on the GPU, as ``way`` runs it."""
    torch.manual_seed(0)
    network = build(find_arch(model), "torch", None)
    if way != "eager":
        network = fuse(network)
    network = network.to("cuda", torch.bfloat16 if way == "bf16" else torch.float32)
    return torch.compile(network, dynamic=False) if way in ("compiled", "bf16") else network


def timed(run: Callable[[], object], count: int) -> float:
    """Return the seconds of one of ``count`` runs."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        run()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


@torch.inference_mode()
def measured(model: str, batch: int, networks: dict[str, nn.Module], rounds: int) -> dict[str, float]:
    """Return the median seconds of each way."""
    side = find_arch(model).input_size
    runs: dict[str, Callable[[], object]] = {}
    for way, network in networks.items():
        images = torch.randn(batch, 3, side, side, device="cuda").to(next(network.parameters()).dtype)
        images = images if way == "eager" else images.to(memory_format=torch.channels_last)
        runs[way] = lambda network=network, images=images: network(images)
    counts = {}
    for way, run in runs.items():
        run()
        counts[way] = max(1, round(ENOUGH / max(timed(run, 3), 1e-6)))
    found: dict[str, list[float]] = {way: [] for way in runs}
    for _ in range(rounds):
        for way, run in runs.items():
            found[way].append(timed(run, counts[way]))
    return {way: median(values) for way, values in found.items()}


def table(models: Sequence[str], batches: Sequence[int], ways: Sequence[str], rounds: int) -> list[list[str]]:
    """Return the rows of all models and batches."""
    rows = [["network", "batch", *(f"{way}, ms" for way in ways), *(f"{way} of eager" for way in ways[1:])]]
    for model in models:
        networks = {way: made(model, way) for way in ways}
        for batch in batches:
            cost = measured(model, batch, networks, rounds)
            ratios = [f"{cost[way] / cost['eager']:.2f}" for way in ways[1:]]
            rows.append([model, str(batch), *(f"{cost[way] * 1e3:.2f}" for way in ways), *ratios])
            print(*rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, and print the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=BATCHES)
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    tables, versions = {}, {"torch": torch.__version__}
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # float32 means float32
        title = f"On {torch.cuda.get_device_name()}"
        tables[title] = table(options.models, options.batches, ("eager", *options.ways[1:]), options.rounds)
    print(json.dumps({"tables": tables, "versions": versions}))


if __name__ == "__main__":
    main()
