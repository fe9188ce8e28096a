"""--out FOLDER/: a port's weights with its facts, labels and a model card."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from porter.errors import PorterError, listing
from porter.files.seals import is_ours, write_record
from porter.formats.input_digests import digest
from porter.parity.result import Verification

WEIGHTS = {"tf": "model.safetensors", "torch": "model.safetensors", "keras": "model.keras"}
"""The file that holds the weights in a folder of each dialect."""


PAPERS = {"config.json", "labels.txt", "README.md"}


def check(folder: Path, sources: Iterable[Path]) -> None:
    """Raise PorterError unless ``folder`` can be made, or holds only what an earlier port wrote there.

    ``sources`` are the checkpoint's files, none of which may lie in it.
    """
    if not folder.absolute().parent.is_dir():
        raise PorterError(f"--out {folder}/: the folder {folder.parent} does not exist: make it first")
    found = {path.name for path in folder.glob("*")}
    others = sorted(found - PAPERS - set(WEIGHTS.values()) if is_ours(folder / "config.json") else found)
    if others:
        raise PorterError(f"--out {folder}/ holds other files: name a new folder{listing(others)}")
    if folder.resolve() == Path.cwd():
        raise PorterError(f"--out {folder}/ is the folder that you are in: name a new one in it")
    inside = [path for path in sources if path.resolve().is_relative_to(folder.resolve())]
    if inside:
        raise PorterError(
            f"--out {folder}/ would replace the checkpoint itself: name a new folder{listing(map(str, inside))}"
        )


def write_papers(folder: Path, facts: dict[str, Any], names: Iterable[str], tensors: dict[str, str]) -> None:
    """Write labels.txt where the classes have names, the model card README.md, and config.json over all of it."""
    if labels := list(names):
        (folder / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_card(facts), encoding="utf-8")
    files = {path.name: digest(path) for path in sorted(folder.iterdir())}
    write_record(folder / "config.json", facts, files, tensors)


def parity(verification: Verification) -> dict[str, Any]:
    """Return what a file says of its own verification."""
    (report,) = verification.ports.values()
    return {
        "ok": bool(verification),
        "reference": verification.reference,
        "inputs": verification.inputs,
        "verdict": str(report),
    }


def _card(facts: dict[str, Any]) -> str:
    """Return the model card: what a person who finds the folder wants to know."""
    parity = facts["parity"]
    classes = f"{facts['num_classes']} classes" if facts["num_classes"] else "no classifier"
    labels = ", named in labels.txt" if facts["labels"] else ""
    taken = "the exponential moving averages" if facts["average"] == "ema" else "the raw values"
    sources = "\n".join(f"- `{name}`, SHA-256 `{digest}`" for name, digest in facts["source"].items())
    left_out = [f"{count} × {role}" for role, count in facts["roles"].items() if role != "variable"]
    left_out += [f"`{name}`, as asked" for name in facts["ignored"]]
    checked = f"{parity['verdict']}.\n\n{parity['reference']}, on {parity['inputs']}." if parity else "Not checked."
    rounded = f" Weights are rounded to {facts['dtype']}, after the parity was checked." if facts["dtype"] else ""
    return f"""# {facts["model"]} for {facts["framework"]}

Ported by porter {facts["versions"].get("porter", "")} from a {facts["source_format"]}.

- Input: {facts["input_size"][0]}x{facts["input_size"][1]} RGB, `{facts["preprocessing"]}` preprocessing.
- Output: logits, {classes}{labels}. Head: {facts["head"]}.
- Weights: {taken}.{rounded}

## Source

{sources}

Left out: {"; ".join(left_out) or "nothing"}.

## Parity

{checked}

config.json holds the same facts for programs.
"""
