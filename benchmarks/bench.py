"""Measures porter beside its peers, in turns, and writes docs/performance.md.

    python benchmarks/bench.py                       everything: about 20 minutes on two cores
    python benchmarks/bench.py porting startup       some parts; the page keeps the others' last numbers
    python benchmarks/bench.py --rounds 9            more rounds than five
    python benchmarks/bench.py --write               write docs/performance.md and the plot beside it

Parts: startup, porting, sizes, running, keras, verifying, inspecting, gpu. `make contenders` makes the peers'
environments under build/contenders/; a peer without one is left out. Numbers are medians of rounds in turns.
Networks have fresh weights, checkpoints name-seeded ones. Files lie in build/bench/ (up to 12 GB, which is removed).
"""

from __future__ import annotations

import argparse
import compileall
import json
import math
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import performance_page
from contest import OWN, ROOT, Contender, medians, python_of, run_commands, run_workers

WORK = ROOT / "build" / "bench"
RESULTS = WORK / "results.json"
LARGE = "nasnet_large"
SIZES = {"50 MB": "amoebanet_d_6x128_224", "500 MB": "amoebanet_d_18x256_224", "5 GB": "amoebanet_d_198x256_224"}
"""Networks whose variables take about as much: AmoebaNet-D with more cells, none larger than 20 MB."""
NODES = (1_000, 10_000, 100_000)

# porter's name, timm's, Cadene's, the side of the images. Cadene's ResNet is torchvision's, which has no CPU build.
NETWORKS = (
    ("nasnet_large", "nasnetalarge", "nasnetalarge", 331),
    ("nasnet_mobile", None, "nasnetamobile", 224),
    ("mobilenet_v1_1.0_224", "mobilenetv1_100", None, 224),
    ("mobilenet_v2_1.0_224", "mobilenetv2_100", None, 224),
    ("resnet_v1_50", "resnet50", None, 224),
)
KERAS = (("nasnet_mobile", "NASNetMobile"), ("mobilenet_v1_1.0_224", "MobileNet"), ("resnet_v1_50", "ResNet50"))

Part = dict[str, Any]
"""A part's results: ``tables`` of rows for the page, ``versions``, and ``points`` for the plot."""


def port(name: str, prefix: Path, out: Path, *more: str, model: str = LARGE, target: str = "torch") -> Contender:
    """Return the command that ports ``prefix`` to ``out``."""
    files = ("--checkpoint", str(prefix), "--out", str(out))
    command = (model, "--from", "tf", "--to", target, *files, *more)
    return Contender(name, OWN, "porter.cli", command, clean=lambda: out.unlink(missing_ok=True))


def seeded(name: str, model: str = LARGE, *more: str) -> Path:
    """Return the prefix of a name-seeded checkpoint, which is written unless it is there."""
    prefix = WORK / name
    if not prefix.with_name(f"{name}.index").exists():
        subprocess.run([sys.executable, "-m", "porter.cli", "seed", model, "--out", str(prefix), *more], check=True)
    return prefix


# ---- porting
def startup(rounds: int) -> Part:
    """Compare `port --help` with the import of click."""
    click = Contender("import click", OWN, "import_of.py", ("click",))
    helped = Contender("port --help", OWN, "porter.cli", ("--help",))
    return {"tables": {"Startup": compared(run_commands([click, helped], rounds), "import click")}}


def porting(rounds: int) -> Part:
    """Compare ports of NASNet-A Large with scripts by hand."""
    plain, training = seeded("large"), seeded("training", LARGE, "--training")
    out = WORK / "out.safetensors"
    subprocess.run(port("", plain, out).command or [], check=True, stdout=subprocess.DEVNULL)
    bare, by_hand = plans(plain, out)
    contenders = [
        Contender("bare script", OWN, "bare.py", (str(bare),)),
        Contender("bare script with digests and fsync", OWN, "bare.py", (str(bare), "checked")),
        port("porter", plain, WORK / "one.safetensors"),
        port("porter, averages beside raw values", training, WORK / "two.safetensors", "--ignore", "global_step"),
        port("porter --to keras", plain, WORK / "three.keras", target="keras"),
        Contender("import keras", OWN, "import_of.py", ("keras", "tensorflow")),
        Contender("TensorFlow and PyTorch by hand", "by_hand", "by_hand.py", (str(by_hand),)),
    ]
    frozen = WORK / "frozen.pb"
    if not frozen.exists() and python_of("tf2onnx"):
        command = port("", plain, frozen, target="tf").command
        subprocess.run(command or [], check=True, stdout=subprocess.DEVNULL)
    ends = ("input", "final_layer/predictions")
    contenders.append(Contender("tf2onnx", "tf2onnx", "tf2onnx_convert.py", (str(frozen), *ends, str(onnx_of(LARGE)))))
    return {"tables": {"Porting NASNet-A Large, 355.8 MB": compared(run_commands(contenders, rounds), "bare script")}}


def plans(prefix: Path, ported: Path) -> tuple[Path, Path]:
    """Write what the two scripts by hand read instead of a mapping table."""
    from porter.catalog.models import find_arch
    from porter.formats.open import open_checkpoint
    from porter.mapping.table import Table

    # The header alone: a child's peak memory starts from that of the process that starts it.
    with ported.open("rb") as file:
        length = file.read(8)
        text = length + file.read(int.from_bytes(length, "little"))
    header = json.loads(text[8:])
    pairs = {pair.target: pair for pair in Table.of(find_arch(LARGE)).pairs("tf", "torch")}
    order = {
        name: [pair.source_axes.index(letter) for letter in pair.target_axes if letter.isalpha()]
        for name, pair in pairs.items()
    }
    entries = open_checkpoint(prefix).entries
    records = {name: entries[pair.source].load.args[2] for name, pair in pairs.items()}  # type: ignore[attr-defined]
    names = sorted(header.keys() & pairs.keys(), key=lambda name: header[name]["data_offsets"])
    tensors = [[records[n].offset, records[n].size, entries[pairs[n].source].shape, order[n]] for n in names]
    bare, by_hand = WORK / "bare.json", WORK / "by_hand.json"
    data = f"{prefix}.data-00000-of-00001"
    plan = {"input": data, "output": str(WORK / "bare.safetensors"), "header": text.hex(), "tensors": tensors}
    bare.write_text(json.dumps(plan))
    listed = [[pairs[name].source, name, order[name]] for name in names]
    by_hand.write_text(json.dumps({"prefix": str(prefix), "output": str(WORK / "by_hand.pth"), "names": listed}))
    return bare, by_hand


def sizes(rounds: int) -> Part:
    """Port synthetic checkpoints of three sizes; the largest one once, after one round that is not counted."""
    rows, points = [], []
    for title, model in SIZES.items():
        prefix, out = seeded(model, model), WORK / "sized.safetensors"
        size = sum(path.stat().st_size for path in WORK.glob(f"{model}.*"))
        few = rounds if size < 1e9 else 1
        cost = medians(run_commands([port("porter", prefix, out, model=model)], few))["porter"]
        rows.append([title, f"{size / 1e6:,.0f} MB", *seconds(cost), f"{cost['cpu'] / size * 1e9:.2f} s"])
        points.append([size, cost["wall"], cost["cpu"]])
        for path in (*WORK.glob(f"{model}.*"), out):
            path.unlink()
    head = ["checkpoint", "size", "wall", "CPU", "peak memory", "CPU per GB"]
    return {"tables": {"Porting by size: AmoebaNet-D with more cells": [head, *rows]}, "points": points}


# ---- running
def running(rounds: int) -> Part:
    """Run networks in PyTorch and in onnxruntime, on one thread and on two."""
    tables: dict[str, list[list[str]]] = {}
    versions: dict[str, str] = {}
    for network in NETWORKS:
        graph(network[0], network[3])
        for batch, threads in ((1, 1), (1, 2), (16, 2)):
            costs, found = run_workers(runners(*network, batch, threads), rounds)
            versions |= found
            title = f"{network[0]}, batch {batch}, {threads} thread{'s' if threads > 1 else ''}"
            tables[title] = compared(costs, "porter-fused")
            print(*tables[title], sep="\n", flush=True)
    return {"tables": tables, "versions": versions}


def runners(model: str, timm: str | None, cadene: str | None, side: int, batch: int, threads: int) -> list[Contender]:
    """Return the workers of one network; compilation takes minutes, and is measured for one image on two threads."""
    numbers = (str(side), str(batch), str(threads))
    few = {"OMP_NUM_THREADS": str(threads)}
    ours = ["porter", "porter-fused", *(["porter-compiled"] if (batch, threads) == (1, 2) else [])]
    found = [Contender(each, OWN, "run_torch.py", (each, model, *numbers), few) for each in ours]
    for library, name in (("timm", timm), ("cadene", cadene)):
        if name is not None:
            found.append(Contender(library, library, "run_torch.py", (library, name, *numbers), few))
    if onnx_of(model).exists():
        found.append(Contender("onnxruntime", "onnxruntime", "run_onnx.py", (str(onnx_of(model)), *numbers)))
    return found


def onnx_of(model: str) -> Path:
    """Return the path of a model in ONNX."""
    return WORK / f"{model}.onnx"


def graph(model: str, side: int) -> None:
    """Convert a model's frozen graph with tf2onnx, unless it is there or tf2onnx is not."""
    if onnx_of(model).exists() or not python_of("tf2onnx"):
        return
    from porter.formats.tensorflow.source import load_graph

    frozen = WORK / f"{model}.pb"
    command = port("", seeded(model, model), frozen, model=model, target="tf").command
    subprocess.run(command or [], check=True, stdout=subprocess.DEVNULL)
    nodes = load_graph(frozen).node
    ends = (next(node.name for node in nodes if node.op == "Placeholder"), nodes[-1].name)
    converter = Contender("tf2onnx", "tf2onnx", "tf2onnx_convert.py", (str(frozen), *ends, str(onnx_of(model))))
    subprocess.run(converter.command or [], check=True, env=converter.surroundings)


def keras(rounds: int) -> Part:
    """Run Keras networks, porter's beside those of keras.applications."""
    tables, versions = {}, {}
    for model, theirs in KERAS:
        pair = [("porter", model), ("keras.applications", theirs)]
        contenders = [
            Contender(library, OWN, "run_keras.py", (library, name, "224", "1", "2")) for library, name in pair
        ]
        costs, found = run_workers(contenders, rounds)
        tables[f"{model} in Keras, batch 1, 2 threads"] = compared(costs, "porter")
        versions |= found
    return {"tables": tables, "versions": versions}


# ---- verifying and inspecting
def answer(script: str, *arguments: str) -> dict[str, float]:
    """Return the JSON object that a script prints last."""
    contender = Contender(script, OWN, script, arguments)
    done = subprocess.run(
        contender.command or [], env=contender.surroundings, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def verifying(rounds: int) -> Part:
    """Compare the whole of verify with its forward passes, beside the golden and beside TensorFlow."""
    rows = []
    for model in ("nasnet_mobile", LARGE):
        for against, checkpoint in (
            ("golden", ()),
            ("TensorFlow", (str(seeded(model if model != LARGE else "large", model)),)),
        ):
            runs = [answer("verify_cost.py", model, *checkpoint) for _ in range(max(1, rounds // 2))]
            best = sorted(runs, key=lambda run: run["whole"])[len(runs) // 2]
            whole, forward = best["whole"], best["forward"]
            rows.append(
                [
                    model,
                    against,
                    f"{whole:.1f} s",
                    f"{forward:.1f} s",
                    f"{whole / forward:.2f}",
                    f"{best['peak']:,.0f} MiB",
                ]
            )
    head = ["model", "reference", "verify", "its forward passes", "ratio", "peak memory"]
    return {"tables": {"Verifying, float64 and float32": [head, *rows]}}


def inspecting(rounds: int) -> Part:
    """Inspect synthetic graphs of residual blocks, and decompile them without the verification."""
    rows = []
    for nodes in NODES:
        path, row = WORK / f"nodes_{nodes}.pb", [f"{nodes:,}"]
        maker = str(Path(__file__).parent / "inspect_graphs.py")
        subprocess.run([sys.executable, maker, str(nodes), str(path)], check=True)
        few = rounds if nodes < 50_000 else 1
        for verb in ("inspect", "decompile"):
            spent = median(answer("nodes_cost.py", verb, str(path))["seconds"] for _ in range(few))
            row += [f"{spent:.2f} s", f"{spent / nodes * 1e6:.0f} µs"]
        rows.append(row)
    head = ["nodes", "inspect, CPU", "per node", "decompile, CPU", "per node"]
    return {"tables": {"Inspecting and decompiling by size": [head, *rows]}}


def gpu(rounds: int) -> Part:
    """Run the networks on a GPU, where PyTorch sees one."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "gpu.py"), "--rounds", str(rounds)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: Part = json.loads(done.stdout.splitlines()[-1])
    return found


# ---- tables
def seconds(cost: Mapping[str, float]) -> list[str]:
    """Return wall, CPU and peak memory as cells."""
    return [f"{cost['wall']:.2f} s", f"{cost['cpu']:.2f} s", f"{cost['peak']:,.0f} MiB"]


def compared(costs: Mapping[str, Mapping[str, Sequence[float]]], first: str) -> list[list[str]]:
    """Return a table of medians, each with its ratio to that of ``first``."""
    found = medians(costs)  # type: ignore[arg-type]
    base = found[first]
    whole = "cpu" in base
    head = ["", "wall", f"of {first}", "spread", *(["CPU", f"of {first}", "peak memory"] if whole else [])]
    rows = [head]
    for name, each in found.items():
        walls = costs[name]["wall"]
        row = [name, f"{each['wall']:.3f} s", f"{each['wall'] / base['wall']:.2f}"]
        row.append(f"{min(walls):.3f} to {max(walls):.3f}")
        if whole:
            row += [f"{each['cpu']:.3f} s", f"{each['cpu'] / base['cpu']:.2f}", f"{each['peak']:,.0f} MiB"]
        rows.append(row)
    return rows


PARTS: dict[str, Callable[[int], Part]] = {
    each.__name__: each for each in (startup, porting, sizes, running, keras, verifying, inspecting, gpu)
}


def machine() -> dict[str, str]:
    """Return what the numbers depend on."""
    from importlib.metadata import version

    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "unknown")
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if "MemTotal" in line), "0")
    return {
        "CPU": f"{cpu}, {os.cpu_count()} cores",
        "memory": f"{math.ceil(int(memory) / 2**20)} GiB",
        "system": platform.platform(terse=True),
        "Python": platform.python_version(),
        "numpy": version("numpy"),
    }


def _lines(path: str) -> Iterable[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else ()


def main() -> int:
    """Run the parts, keep their results, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]}: choose from {', '.join(PARTS)}")
    os.environ["PYTHONPATH"] = str(ROOT)
    compileall.compile_dir(ROOT / "porter", quiet=1)  # as pip compiles what it installs
    WORK.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in options.parts or PARTS:
        print(f"{name} …", flush=True)
        results[name] = {**PARTS[name](options.rounds), "rounds": options.rounds, "machine": machine()}
        for title, table in results[name]["tables"].items():
            print(title, *(" | ".join(row) for row in table), sep="\n  ", flush=True)
        RESULTS.write_text(json.dumps(results, indent=1), encoding="utf-8")
    if options.write:
        performance_page.write(results, list(PARTS))
    for path in WORK.glob("*"):
        if path != RESULTS and path.suffix != ".onnx":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
