"""Writes docs/performance.md and its plot from the results of bench.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent / "docs"
PAGE, PLOT = DOCS / "performance.md", DOCS / "performance.svg"

INTRODUCTION = """# Performance

Written by `make bench`, which is `python benchmarks/bench.py --write`. Contenders take turns, so that a machine that
slows down slows all of them down. Numbers are medians; the spread is from the fastest round to the slowest. CPU is
user and system time of the whole process, with its imports.
"""

NOTES: Mapping[str, str] = {
    "porting": "The bare script maps the file, transposes each tensor and streams it out. It has no names, no checks, "
    "no digests and no fsync, and gets the plan from a port. The second one digests input and output, looks for values "
    "that are not finite, and flushes the file: the least that porter's checks cost. `by hand` reads all tensors "
    "with TensorFlow and saves a state dict. tf2onnx converts the frozen graph.",
    "sizes": "Every tensor is read, checked against its checksum, relaid, hashed and written one after the other.",
    "running": "All networks but `porter` are channels_last. `porter-fused` is `porter.load(..., fused=True)`, "
    "`porter-compiled` is that under `torch.compile` with freezing. onnxruntime runs what tf2onnx made of the frozen "
    "graph.",
    "verifying": "The forward passes are those of both sides in both precisions; a golden runs nothing.",
    "inspecting": "Residual blocks of two convolutions, 50 to a stage, with a scope and a kernel for each layer. CPU "
    "seconds are those of the verb in a process of its own, without its import; decompile plans the network and writes "
    "its source, without the verification. Both compare the graph with every network that porter has, whose tables "
    "they read first: that is most of the time for 1,000 nodes.",
    "gpu": "`python benchmarks/gpu.py` prints this row on any machine where PyTorch sees a GPU. It needs torch, numpy, "
    "safetensors and this folder alone.",
}

FINDINGS: Mapping[str, str] = {
    "running": """### Where the time goes

torch.profiler and onnxruntime's `enable_profiling`: NASNet-A Large, batch 1, one thread, three runs. Other programs ran
beside them, so the shares count and not the sums.

| | porter-fused | onnxruntime |
| --- | --: | --: |
| 1x1 convolutions | 61 % | 66 % |
| depthwise convolutions | 13 % | 9 % |
| ReLUs and sums | 10 % | 5 % |
| concatenations | 3 % | 5 % |
| pools | 3 % | 4 % |
| changes of layout | 0 % | 7 % |
| all else, with PyTorch's calls | 10 % | 4 % |

- onnxruntime keeps maps and weights in blocks of channels (NCHWc), and reorders the weights once, at load. It pays with
  71 changes of layout. Of the times above, its 1x1 convolutions take 66 % of 0.345 s, porter-fused's 61 % of 0.501 s.
- PyTorch computes 1x1 convolutions of one image on one thread as matrix products (`_slow_conv2d_forward`), after it has
  written the bias to every pixel: 6.5 points of the 61 %.
- The ReLUs of NASNet stand before convolutions, so that onnxruntime fuses none of them: it runs 67, porter-fused 188.
- MobileNet V1 has them behind. There onnxruntime runs 28 convolutions, their ReLUs included: 98 % of its time.
- Compiled, porter's MobileNet V1 calls 27 convolutions of oneDNN with their ReLUs: 73 % of its time.

Tried for NASNet-A Large, CPU time of all its large 1x1 convolutions of one image, one thread:

| | CPU |
| --- | --: |
| F.conv2d, channels_last | 343 ms |
| F.linear on the same map | 346 ms |
| torch.addmm on the same map | 324 ms |
| F.conv2d, NCHW | 322 ms |
| torch.mkldnn_convolution (oneDNN), channels_last | 403 ms |
| torch.mkldnn_convolution (oneDNN), NCHW | 567 ms |

On one thread no form gains enough to be worth code of its own, so porter keeps F.conv2d. On two threads F.linear makes
the whole fused network faster: NASNet-A Large 1.07 times, Mobile 1.08 times, medians of nine and forty runs in turn.
porter does not use it yet.
"""
}
"""Behind a part's tables: measured by hand, and not by bench.py."""


def write(results: Mapping[str, Any], order: Sequence[str]) -> None:
    """Write the page with the parts in ``order``; a part without results keeps the tables that the page has of it."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    lines = [INTRODUCTION]
    for part in order:
        found = results.get(part, {})
        measured = _measured(part, found) if found.get("tables") else _kept(part, page)
        if measured:
            lines += [f"## {part.capitalize()}", "", *([NOTES[part], ""] if part in NOTES else []), *measured, ""]
            lines += [FINDINGS[part]] if part in FINDINGS else []
    if results.get("sizes", {}).get("points"):
        _plot(results["sizes"]["points"])
    PAGE.write_text("\n".join(lines), encoding="utf-8")


def _measured(name: str, found: Mapping[str, Any]) -> list[str]:
    """Return the command, the machine and the tables of a part."""
    versions = {**found["machine"], **found.get("versions", {})}
    lines = [f"{_command(name)} --rounds {found['rounds']}`;"]
    lines.append(", ".join(f"{key} {value}" for key, value in versions.items()) + ".")
    for title, (head, *rows) in found["tables"].items():
        lines += ["", f"### {title}", "", f"| {' | '.join(head)} |", f"| --- |{' --: |' * (len(head) - 1)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return [*lines, "", f"![cost against size]({PLOT.name})"] if found.get("points") else lines


def _kept(name: str, page: str) -> list[str]:
    """Return the lines that `_measured` wrote into ``page``, none where it wrote none."""
    _, _, part = f"\n{page}".partition(f"\n## {name.capitalize()}\n")
    part = part.partition("\n## ")[0]
    if name in FINDINGS:
        part = part.partition(f"\n{FINDINGS[name].splitlines()[0]}\n")[0]
    begin = part.find(_command(name))
    return part[begin:].strip().splitlines() if begin >= 0 else []


def _command(name: str) -> str:
    return f"`python benchmarks/bench.py {name}"


def _plot(points: Sequence[Sequence[float]]) -> None:
    """Draw wall and CPU seconds against the checkpoint's size, both logarithmic."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "porter"
    from matplotlib import pyplot

    sizes = [size / 1e6 for size, *_ in points]
    figure, axes = pyplot.subplots(figsize=(6, 3.5))
    for at, label in ((1, "wall"), (2, "CPU")):
        axes.loglog(sizes, [point[at] for point in points], marker="o", label=label)
    axes.set_xlabel("checkpoint, MB")
    axes.set_ylabel("seconds")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(PLOT, bbox_inches="tight", metadata={"Date": None})
