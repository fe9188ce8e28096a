"""The folder of a written network: its source, weights, mapping table, graph, card and record."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from porter.errors import FormatError, PorterError, listing
from porter.export.output import Output
from porter.export.provenance import Facts
from porter.export.safetensors import add_metadata, write_safetensors
from porter.files.json import to_json
from porter.files.seals import TENSORS, is_ours, write_record
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.identify import RECORD_NAMES
from porter.formats.input_digests import digest
from porter.formats.named import refuse_other_suffix
from porter.formats.open import open_checkpoint
from porter.graph.codegen.network import WEIGHTS, Network, Placed
from porter.graph.shapes import Shape
from porter.mapping.relayout import in_c_order

RECORD = RECORD_NAMES[0]
SOURCE, TABLE, GRAPH, CARD = "model.py", "mapping.toml", "graph.pb.gz", "README.md"
FILES = frozenset({SOURCE, WEIGHTS, TABLE, GRAPH, CARD, RECORD})
_COUNTER = "num_batches_tracked"


def require_folder(out: str | Path) -> Path:
    """Return the folder ``out``. Raises PorterError where it holds anything that porter did not write there."""
    path = Path(out)
    if not str(out):
        raise PorterError("`out` is empty: name a folder")
    if path.exists() and not path.is_dir():
        raise PorterError(f"`out` {path} is a file: name a folder for the network's source and weights")
    refuse_other_suffix("out", out, "decompile writes a folder: name one, such as net/")
    if not path.absolute().parent.is_dir():
        raise PorterError(f"`out` {path}: the folder {path.parent} does not exist: make it first")
    if path.resolve() == Path.cwd():
        raise PorterError(f"`out` {path} is the current folder: name a new folder in it")
    found = {each.name for each in path.glob("*")}
    others = found - FILES if is_ours(path / RECORD) else found
    if others - {"__pycache__"}:
        raise PorterError(f"`out` {path} holds other files: name a new folder{listing(sorted(others))}")
    return path


def network_state(network: Network, load: Callable[[str], np.ndarray]) -> dict[str, np.ndarray]:
    """Return the module's state: the graph's tensors in the module's order of axes, and what the graph leaves out.

    ``load`` returns a tensor of the graph. Raises FormatError where one has another shape than the graph says.
    """
    found = {placed.path: _arranged(placed, load(placed.weight.name)) for placed in network.weights}
    for path, (value, size) in network.fills.items():
        found[path] = np.full(size, value, np.float32)
    for path in [path for path in found if path.endswith(".running_mean")]:
        found[f"{path.rpartition('.')[0]}.{_COUNTER}"] = np.asarray(0, np.int64)
    return found


def _arranged(placed: Placed, values: np.ndarray) -> np.ndarray:
    weight = placed.weight
    try:
        turned = in_c_order(values.transpose(weight.order) if weight.order else values)
        return turned.reshape(weight.shape) if weight.shape is not None else turned
    except ValueError:
        raise FormatError(
            f"{weight.name} has shape {values.shape}, and the graph's is another: name the graph's own checkpoint"
        ) from None


def graph_checkpoint(network: Network, weights: Path, shapes: Mapping[str, Shape]) -> Checkpoint:
    """Return the graph's variables with the values that the file ``weights`` has under the module's names.

    ``shapes`` has the shape of each variable. Raises FormatError where the file is not of ``network``.
    """
    state = open_checkpoint(weights)
    entries: dict[str, Entry] = {}
    for placed in network.weights:
        name = placed.weight.name
        if name not in shapes:
            continue  # a constant of the graph
        shape = tuple(size or 0 for size in shapes[name] or ())
        entry = state.entries.get(placed.path)
        if entry is None or math.prod(entry.shape) != math.prod(shape):
            raise FormatError(
                f"{weights} has no {placed.path} with as many values as {name} in the graph: decompile the graph again"
            )
        entries[name] = Entry(shape, entry.dtype, partial(_restored, entry, placed.weight.order, shape))
    return Checkpoint(weights, state.format, entries)


def _restored(entry: Entry, order: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Return a module's tensor in the graph's order of axes: what `_arranged` undoes."""
    if not order:
        return entry.load().reshape(shape)
    return entry.load().reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def write_state(path: Path, state: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Write a module's state as safetensors, which load() of the source reads, with ``facts`` and digests."""
    entries = {name: _entry(values) for name, values in state.items()}
    tensors = Checkpoint(path, "a network that porter wrote", entries)
    digests = write_safetensors(path, Output(None, tensors, Facts({"format": "pt", **facts})))
    add_metadata(path, {TENSORS: to_json(digests)})


def _entry(values: np.ndarray) -> Entry:
    return Entry(values.shape, values.dtype, lambda: values)


def write_graph(path: Path, graph: Any, variables: Collection[str]) -> None:
    """Write the GraphDef ``graph`` gzipped, with ``variables`` in place of a frozen graph's constants."""
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    kept = GraphDef(versions=graph.versions, library=graph.library)
    for node in graph.node:
        kept.node.append(variable_of(node) if node.op == "Const" and node.name in variables else node)
    path.write_bytes(gzip.compress(kept.SerializeToString(), mtime=0))


def variable_of(node: Any) -> Any:
    """Return a variable of the name, shape and dtype of a constant."""
    from tensorboard.compat.proto.node_def_pb2 import NodeDef

    found = NodeDef(name=node.name, op="VariableV2")
    found.attr["dtype"].type = node.attr["dtype"].type
    found.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
    return found


def write_record_and_card(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the card and, last, the record of ``facts`` with the digests of all other files."""
    (folder / CARD).write_text(_card(facts), encoding="utf-8")
    files = {path.name: digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
    write_record(folder / RECORD, facts, files, {})


def _card(facts: Mapping[str, Any]) -> str:
    sources = "\n".join(f"- `{name}`, SHA-256 `{value}`" for name, value in facts["source"].items())
    notes = "".join(f"- {note}.\n" for note in facts["notes"])
    return f"""# {facts["model"]} for PyTorch

porter {facts["versions"]["porter"]} wrote this network from a TensorFlow graph.

- `model.py`: {facts["lines"]} lines. It needs torch and safetensors.
- `model.safetensors`: the weights. `mapping.toml` names each in the graph and in the module.
- `graph.pb.gz`: the graph without the weights.
{notes}
```python
from model import load

network = load()
```

## Source

{sources}

## Parity

{facts["parity"]["verdict"]}.

{facts["parity"]["reference"]}, on {facts["parity"]["inputs"]}.

{RECORD} holds the same facts for programs.
"""
