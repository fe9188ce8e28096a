"""The model card, which introduces a folder to a reader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from porter.errors import summary


def write_card(
    path: Path, facts: Mapping[str, Any], labels: str, record: str, library: str = "", use: str = ""
) -> None:
    """Write the card of ``facts``.

    ``labels`` is the file that names the classes, ``record`` the one with the facts. ``library`` is the name by which
    a model hub knows the library that opens the folder, ``use`` the Python code that opens it.
    """
    path.write_text(_front(library) + _card(facts, labels, record, use), encoding="utf-8")


def _front(library: str) -> str:
    """Return the metadata of a hub's card (huggingface.co/docs/hub/model-cards)."""
    return f"---\nlibrary_name: {library}\npipeline_tag: image-classification\n---\n\n" if library else ""


def _card(facts: Mapping[str, Any], labels_file: str, record: str, use: str) -> str:
    classes = f"{facts['num_classes']} classes" if facts["num_classes"] else "no classifier"
    labels = f", named in {labels_file}" if facts["labels"] else ""
    taken = "the exponential moving averages" if facts["average"] == "ema" else "the raw values"
    rounded = (
        f" Weights are rounded to {facts['save_dtype']}, after the parity was checked." if facts["save_dtype"] else ""
    )
    sources = "\n".join(f"- `{name}`, SHA-256 `{digest}`" for name, digest in facts["source"].items())
    usage = f"## Use\n\n```python\n{use}\n```\n\n" if use else ""
    return f"""# {facts["model"]} for {facts.get("dialect", facts["framework"])}

Ported by porter {facts["versions"]["porter"]} from a {facts["source_format"]}.

- Input: {facts["input_size"][0]}x{facts["input_size"][1]} {_channels(facts)}, `{facts["preprocessing"]}` preprocessing.
- Output: logits, {classes}{labels}. Head: {facts["head"]}.
- Weights: {taken}.{rounded}{_variant(facts)}

{usage}## Source

{sources}

Left out: {_left_out(facts)}.

## Parity

{_verdict(facts["parity"])}

{record} holds the same facts for programs.
"""


def _channels(facts: Mapping[str, Any]) -> str:
    return {1: "grayscale", 3: "RGB"}.get(facts["in_channels"], f"with {facts['in_channels']} channels")


def _variant(facts: Mapping[str, Any]) -> str:
    notes = [f"The original: {note}" for note in facts["notes"] or ()]
    notes += [f"The function: {sentence}" for sentence in facts.get("differs") or ()]
    return "".join(f"\n- {note}." for note in notes)


def _left_out(facts: Mapping[str, Any]) -> str:
    parts = [f"{count} × {role}" for role, count in facts["roles"].items() if role != "variable"]
    parts += [f"`{name}`, as asked" for name in summary(facts["ignored"])]
    return "; ".join(parts) or "nothing"


def _verdict(parity: Mapping[str, Any] | None) -> str:
    if parity is None:
        return "Not checked."
    return f"{parity['verdict']}.\n\n{parity['reference']}, on {parity['inputs']}."
