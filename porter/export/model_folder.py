"""The files of a model folder: weights, and the papers beside them (config.json, labels.txt and README.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from porter.catalog.models import find_arch
from porter.errors import summary
from porter.files.seals import write_record
from porter.formats.input_digests import digest
from porter.mapping.table import Table

WEIGHTS = {"tf": "model.safetensors", "torch": "model.safetensors", "keras": "model.keras"}
"""The name of the weights' file for each framework."""
CONFIG, LABELS, CARD = "config.json", "labels.txt", "README.md"
FILES = {CONFIG, LABELS, CARD, *WEIGHTS.values()}
"""Every file that porter writes into a model folder."""


def write_papers(folder: Path, facts: Mapping[str, Any], labels: Iterable[str], tensors: Mapping[str, str]) -> None:
    """Write the papers beside the weights in ``folder``: ``labels`` in class order, unless there are none.

    config.json holds ``facts``, the digests of all other files, and those of the ``tensors`` that no file states.
    """
    if lines := list(labels):
        (folder / LABELS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / CARD).write_text(_card(facts), encoding="utf-8")
    files = {path.name: digest(path) for path in sorted(folder.iterdir())}
    write_record(folder / CONFIG, facts, files, tensors)


def _card(facts: Mapping[str, Any]) -> str:
    """Return the model card, which introduces the folder to a reader."""
    classes = f"{facts['num_classes']} classes" if facts["num_classes"] else "no classifier"
    labels = f", named in {LABELS}" if facts["labels"] else ""
    taken = "the exponential moving averages" if facts["average"] == "ema" else "the raw values"
    rounded = (
        f" Weights are rounded to {facts['save_dtype']}, after the parity was checked." if facts["save_dtype"] else ""
    )
    sources = "\n".join(f"- `{name}`, SHA-256 `{digest}`" for name, digest in facts["source"].items())
    return f"""# {facts["model"]} for {facts["framework"]}

Ported by porter {facts["versions"]["porter"]} from a {facts["source_format"]}.

- Input: {facts["input_size"][0]}x{facts["input_size"][1]} {_channels(facts)}, `{facts["preprocessing"]}` preprocessing.
- Output: {_outputs(facts)}, {classes}{labels}. Head: {facts["head"]}.
- Weights: {taken}.{rounded}{_variant(facts)}

## Source

{sources}

Left out: {_left_out(facts)}.

## Parity

{_verdict(facts["parity"])}

{CONFIG} holds the same facts for programs.
"""


def _outputs(facts: Mapping[str, Any]) -> str:
    """Name what the network returns: a detector has scores of boxes, and no logits of the image."""
    logits = Table.load(find_arch(facts["model"]).table).logits
    return "logits" if logits else "feature maps, raw boxes and their scores before post-processing"


def _channels(facts: Mapping[str, Any]) -> str:
    return {1: "grayscale", 3: "RGB"}.get(facts["in_channels"], f"with {facts['in_channels']} channels")


def _variant(facts: Mapping[str, Any]) -> str:
    return "".join(f"\n- The original: {note}." for note in facts["notes"] or ())


def _left_out(facts: Mapping[str, Any]) -> str:
    parts = [f"{count} × {role}" for role, count in facts["roles"].items() if role != "variable"]
    parts += [f"`{name}`, as asked" for name in summary(facts["ignored"])]
    return "; ".join(parts) or "nothing"


def _verdict(parity: Mapping[str, Any] | None) -> str:
    if parity is None:
        return "Not checked."
    return f"{parity['verdict']}.\n\n{parity['reference']}, on {parity['inputs']}."
