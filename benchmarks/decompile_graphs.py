"""What `port decompile` makes of real graphs, what that costs, and what other converters make of them.

    pip download --no-deps ai-benchmark==0.1.2    # 22 MB, Apache 2.0; a wheel is a zip file
    python benchmarks/contenders/make_environments.py tf2onnx onnx2tf onnx2torch
    python benchmarks/decompile_graphs.py [--graphs ai_benchmark/models] [--alone | --others] [--write] [NAME ...]

It downloads nothing. Each step of each graph is a process of its own, within limits of time and memory.
build/decompile/ keeps the results, so that an interrupted run goes on; delete NAME.json there to measure a graph again.
--write writes the kept results into the tables of docs/decompile.md; other graphs keep the rows that they have there.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pages
from bench import machine
from contest import OWN, ROOT, Contender, attempt

WORK = ROOT / "build" / "decompile"
RETRAINED = ROOT / "build/weights/nudity/files/retrained_graph.pb"
SECONDS, MEMORY, PEERS_MEMORY = 1800.0, 8192.0, 10240.0
"""The limits of a step: seconds of wall time, and MiB. The other converters hold the weights many times."""
GOLDENS = (
    "mobilenet_v1_0.25_128 mobilenet_v1_1.0_224 mobilenet_v2_1.0_224 mobilenet_v3_small_1.0_224 "
    "mobilenet_v3_large_1.0_224 nasnet_cifar inception_v1 inception_v2 resnet_v1_50 resnet_v2_50 inception_v3 "
    "nasnet_mobile pnasnet_mobile inception_v4 inception_resnet_v2 amoebanet_d_6x256_224 pnasnet_large nasnet_large"
).split()
AI_BENCHMARK = {
    "srcnn": 32, "dped": 32, "vgg19": 32, "srgan": 32, "unet": 32, "deeplab": 32, "vgg_16": 0, "pspnet": 473, "icnet": 0
}  # fmt: skip
"""Its graphs, and the side of their images; 0 where the graph states it."""
GAINS = {"icnet": "0.7"}
"""Factors of seeded kernels: ICNet has no norms, and its last tanh would be 1 or -1 everywhere."""
PEERS = ("onnx2tf", "onnx2torch")
Found = dict[str, Any]


def graphs(folder: Path | None) -> Iterator[tuple[str, int, list[str]]]:
    """Yield each graph's name, the side of its images where that is open, and its model or file and gain."""
    for name in GOLDENS:
        yield name, 0, [name]
    if RETRAINED.exists():
        yield RETRAINED.stem, 0, [str(RETRAINED)]
    for name, side in AI_BENCHMARK.items() if folder else ():
        yield f"ai-benchmark_{name}", side, [f"{folder}/{name}.meta", *filter(None, [GAINS.get(name)])]


class Measured:
    """The results of one graph by step, as `attempt` gives them; a file keeps them."""

    def __init__(self, name: str) -> None:
        self.name, self.folder, self.file = name, WORK / name, WORK / f"{name}.json"
        self.found: Found = json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}

    def run(self, side: int, source: list[str], own: bool, peers: bool) -> None:
        """Take the steps that have no result yet: porter's ``own`` and, last, those of the ``peers``."""
        if "done" in self.found:
            return
        if not (self.folder / "double.npy").exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self.found = {}
        inputs = self._step("inputs", OWN, "decompile_inputs.py", str(self.folder), str(side), *source)["answer"]
        if inputs is not None:
            if own:
                self._own(side, inputs)
            if peers:
                self._peers(inputs["ends"])
            if not (own and peers):
                return
        self._keep("done", True)
        shutil.rmtree(self.folder)

    def _own(self, side: int, inputs: Found) -> None:
        given = [inputs["graph"], str(self.folder / "net"), str(side), *filter(None, [inputs["checkpoint"]])]
        self._step("import", OWN, "import_of.py", "tensorflow")
        self._step("porter", OWN, "decompile_cost.py", *given)
        if (self.folder / "net").exists():
            self._step("run", OWN, "porter_network.py", str(self.folder))

    def _peers(self, ends: list[str]) -> None:
        given = (str(self.folder / "frozen.pb"), *ends, str(self.folder / "network.onnx"))
        if not self._step("tf2onnx", "tf2onnx", "tf2onnx_convert.py", *given)["failure"]:
            for peer in PEERS:
                self._step(peer, peer, f"{peer}_network.py", str(self.folder))

    def _step(self, name: str, environment: str, script: str, *arguments: str) -> Found:
        if name not in self.found:
            print(f"  {self.name}: {name} …", flush=True)
            limit = MEMORY if environment == OWN else PEERS_MEMORY
            got = attempt(Contender(name, environment, script, arguments), SECONDS, limit)
            self._keep(name, {"answer": None, "failure": "is not installed"} if got is None else asdict(got))
        return self.found[name]  # type: ignore[no-any-return]

    def _keep(self, name: str, result: object) -> None:
        self.found[name] = result
        self.file.write_text(json.dumps(self.found, indent=1), encoding="utf-8")

    def has(self, step: str) -> bool:
        """Tell whether a step has a result, of a graph that has none of its own too: nothing came after its inputs."""
        return step in self.found or "done" in self.found

    def row(self) -> list[str]:
        """Return the cells of porter's table."""
        inputs, got = self.found["inputs"], self.found.get("porter", {})
        answer = got.get("answer") or {}
        if "lines" not in answer:
            why = f"not written: {', '.join(answer.get('problems', ())) or short(got.get('failure', ''))}"
            if inputs["failure"]:
                why = f"not measured: in TensorFlow alone {short(inputs['failure'])}"
            return [self.name, "", "", "", why, *[""] * 5]
        base, written = self.found["import"], answer["written"]
        allowed = 2 * inputs["answer"]["megabytes"] + base["peak"]
        return [
            self.name,
            "x".join(map(str, inputs["answer"]["shape"])),
            str(answer["lines"]),
            str(answer.get("blocks", "")),
            self._verdict(answer, got["failure"]),
            f"{answer['float64']:.1e}" if "float64" in answer else "",
            f"{answer['rounding']:.2f}" if "rounding" in answer else "",
            f"{written['cpu'] / base['cpu']:.2f}",
            f"{written['peak']:.0f} of {allowed:.0f}",
            "{cpu:.0f} s, {peak:.0f} MiB".format(**answer["verification"]) if "verification" in answer else "",
        ]

    def _verdict(self, answer: Found, failure: str) -> str:
        if failure:
            return f"not verified: {short(failure)}"
        return "the same function" if answer["verdict"] else short(answer["said"])

    def peers_row(self, before: str = "") -> list[str]:
        """Return the cells of the peers' table, with porter's error ``before`` where it has no new one."""
        own = (self.found.get("run") or {}).get("answer") or {}
        error = f"{own['error']:.1e}" if "error" in own else before
        return [self.name, error, *self._peer("onnx2tf", True), *self._peer("onnx2torch", False)]

    def _peer(self, peer: str, writes: bool) -> list[str]:
        """Return a peer's lines of source, error, CPU seconds and memory, with those of tf2onnx."""
        first, got = self.found.get("tf2onnx"), self.found.get(peer)
        empty = [""] * (3 + writes)
        if first is None:
            return [*empty[:-3], "not measured", *empty[-2:]]
        if got is None or got["failure"]:
            by, failed = ("tf2onnx", first) if got is None else (peer, got)
            return [*empty[:-3], f"{by}: {short(failed['failure'])}", *empty[-2:]]
        answer = got["answer"]
        error = f"{answer['error']:.1e}" if "error" in answer else f"does not run: {short(answer['failed'])}"
        cost = [f"{first['cpu'] + answer['cpu']:.0f}", f"{max(first['peak'], answer['peak']) / 1024:.1f}"]
        return [*([str(answer["lines"])] if writes else []), error, *cost]


def short(text: str) -> str:
    """Return the beginning of a message for a cell."""
    plain = " ".join(text.replace("|", "/").replace("`", "'").split())
    return plain if len(plain) <= 90 else f"{plain[:90]}…"


def table(head: str, rows: list[list[str]]) -> list[str]:
    """Return a table in Markdown."""
    columns = head.split(" | ")
    return [f"| {head} |", f"| --- |{' --: |' * (len(columns) - 1)}", *(f"| {' | '.join(row)} |" for row in rows), ""]


def tables(measured: list[Measured], before: list[str]) -> list[str]:
    """Return both tables, and what they depend on; a graph without new results has its rows of ``before``."""
    where = ", ".join(f"{key} {value}" for key, value in machine().items())
    head = "graph | image | lines | compared | verdict | float64 | float32 | time | MiB | verification"
    peers = "graph | porter: error | onnx2tf: lines | error | CPU s | GiB | onnx2torch: error | CPU s | GiB"
    old = {(row[0], len(row)): row for line in before if len(row := cells(line)) > 1}
    widths = [len(columns.split(" | ")) for columns in (head, peers)]
    own, others = ([old.get((each.name, width), []) for each in measured] for width in widths)
    for at, each in enumerate(measured):
        own[at] = each.row() if each.has("porter") else own[at]
        if each.has("tf2onnx") or (each.has("run") and not others[at]):
            others[at] = each.peers_row(*others[at][1:2])
    return [f"{where}.", "", *table(head, list(filter(None, own))), *table(peers, list(filter(None, others)))]


def cells(line: str) -> list[str]:
    """Return the cells of a table's row."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def main() -> None:
    """Measure the graphs, and write the tables of those that have results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="some of the graphs")
    parser.add_argument("--graphs", type=Path, help="ai-benchmark's folder models")
    one_side = parser.add_mutually_exclusive_group()
    one_side.add_argument("--alone", action="store_true", help="leave the other converters to a later run")
    one_side.add_argument("--others", action="store_true", help="run the other converters alone")
    parser.add_argument("--write", action="store_true", help="write docs/decompile.md")
    given = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    for name, side, source in graphs(given.graphs):
        if not given.names or name in given.names:
            each = Measured(name)
            each.run(side, source, own=not given.others, peers=not given.alone)
            rows = [each.row()] * each.has("porter") + [each.peers_row()]
            print(*(" | ".join(row) for row in rows), sep="\n", flush=True)
    every = [Measured(name) for name, _, _ in graphs(Path())]
    if given.write:
        page, script = "decompile.md", "decompile_graphs.py"
        pages.write(page, script, tables(every, pages.written(page, script)))


if __name__ == "__main__":
    main()
