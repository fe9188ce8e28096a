"""Record goldens: what the authors' own code computes from name-seeded weights.

    pip install --no-deps -r golden/requirements.txt    # beside porter and TensorFlow
    python golden/record.py mobilenet_v1_1.0_224
    python golden/record.py amoebanet_d_6x256_224 --code tpu    # a clone of code that is on no package index

A golden is a folder that is named after its record in models.toml:

golden.json     the recipe, every endpoint's shape, and the multiply-adds for the logits of one image
golden.npz      the logits of the sample images and 32 values of each endpoint (`probe_indices` says which):
                `logits_float32` and `endpoint_float32:NAME`, in the precision of the release;
                `logits_float64` and `endpoint:NAME`, as the truth for both sides

Goldens of one architecture share two more files, in the folder of the golden that models.toml names:

variables.json  every variable's name and shape
graph.pb.gz     the float32 inference GraphDef, its variables not frozen

golden.json then lists the few shapes and node attributes that depend on its own input size.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from porter.formats.tensorflow.graph_source import graph_source
from porter.graph.analysis.analysis import Analysis
from porter.graph.rewrite.prune import prune
from recorders import Description, Recipe, RecordError, find_recorder

MODELS = Path(__file__).resolve().parent / "models.toml"


def architectures(models: Path = MODELS) -> dict[str, str]:
    """Return, for each golden of ``models``, the golden that holds its variables and its graph."""
    return {name: record.get("architecture", name) for name, record in _records(models).items()}


def recipes(models: Path = MODELS, code: Path | None = None) -> dict[str, Recipe]:
    """Return every recipe of ``models`` by its golden's name; ``code`` is the folder of the authors' code, if any."""
    records, found = _records(models), {}
    for name, record in records.items():
        fields = records[record["architecture"]] | record if "architecture" in record else dict(record)
        fields.pop("architecture", None)
        common = {key: fields.pop(key) for key in ("recorder", "input_size", "num_classes", "salt", "gain")}
        found[name] = Recipe(**common, options=fields, code=code)
    return found


def _records(models: Path) -> dict[str, dict[str, Any]]:
    return tomllib.loads(models.read_text(encoding="utf-8"))


def to_json(fields: Mapping[str, Any]) -> str:
    """Return ``fields`` as JSON with every item of a list or table on its own line."""
    lines = []
    for key, value in fields.items():
        text = json.dumps(value)
        if isinstance(value, dict | list) and value:
            # One dumps for each item keeps its shape on its line; indent= would spread it.
            if isinstance(value, dict):
                items = [f"{json.dumps(name)}: {json.dumps(item)}" for name, item in value.items()]
            else:
                items = [json.dumps(item) for item in value]
            text = text[0] + "\n    " + ",\n    ".join(items) + "\n  " + text[-1]
        lines.append(f"  {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def to_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return ``arrays`` as a compressed .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # mypy takes an array for allow_pickle
    return buffer.getvalue()


def shared_files(described: Description) -> dict[str, bytes]:
    """Return the files that all goldens of an architecture share; the same network gives the same bytes."""
    fields = {
        "eval_variables": list(described.variables.items()),
        "train_only_variables": list(described.training_variables.items()),
        "trainable": described.trainable,
    }
    files = {"variables.json": to_json(fields).encode()}
    if described.graph is not None:
        files["graph.pb.gz"] = gzip.compress(described.graph.SerializeToString(deterministic=True), mtime=0)
    return files


def golden_fields(recipe: Recipe, described: Description) -> dict[str, Any]:
    """Return golden.json's fields, without those that name an architecture."""
    outputs = described.outputs or (described.logits_tensor,)
    work = multiply_adds(described.graph, *outputs)
    return {
        "origin": described.origin,
        "recorder": recipe.recorder,
        **recipe.options,
        "input_size": recipe.input_size,
        "num_classes": recipe.num_classes,
        "salt": recipe.salt,
        "gain": recipe.gain,
        "logits_tensor": described.logits_tensor,
        **({"outputs": list(described.outputs)} if described.outputs else {}),
        **({} if work is None else {"multiply_adds": work}),
        "endpoints": described.endpoints,
    }


def multiply_adds(graph: Any, *outputs: str) -> int | None:
    """Return the multiply-adds for the outputs of one image, None if no GraphDef computes them or data decides.

    An auxiliary head does not count.
    """
    if graph is None or not {*outputs} <= {node.name for node in graph.node}:
        return None
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    ours = GraphDef.FromString(graph.SerializeToString())  # TensorFlow's own class has the same fields
    return Analysis(graph_source(Path("graph"), prune(ours, outputs, Path("graph")))).multiply_adds


def differences(name: str, own: Description, architecture: str, shared: Description) -> dict[str, Any]:
    """Return golden.json's fields that say where ``own`` differs from ``shared``: shapes and node attributes.

    Raises RecordError if the two differ in more than that: then they are two architectures.
    """
    different = RecordError(f"{name} is not of the architecture {architecture}: leave `architecture` out of its record")
    ours, theirs = (d.variables | d.training_variables for d in (own, shared))
    if list(ours) != list(theirs) or own.trainable != shared.trainable or own.logits_tensor != shared.logits_tensor:
        raise different
    fields: dict[str, Any] = {"architecture": architecture}
    shapes = {variable: shape for variable, shape in ours.items() if shape != theirs[variable]}
    if shapes:
        fields["variables_at_this_size"] = shapes
    if (own.graph is None) != (shared.graph is None):
        raise different
    if own.graph is not None:
        attributes = _other_attributes(own.graph, shared.graph)
        if attributes is None:
            raise different
        fields["graph_at_this_size"] = attributes
    return fields


def _other_attributes(own: Any, shared: Any) -> dict[str, dict[str, Any]] | None:
    """Return {node: {attribute: its value in ``own``}} where two GraphDefs differ, None if they differ elsewhere too.

    Values are in protobuf's JSON form.
    """
    from google.protobuf.json_format import MessageToDict

    if _without_attributes(own) != _without_attributes(shared):
        return None
    found: dict[str, dict[str, Any]] = {}
    for ours, theirs in zip(own.node, shared.node, strict=True):
        if set(ours.attr) != set(theirs.attr):
            return None
        for key in sorted(ours.attr):
            if ours.attr[key] != theirs.attr[key]:
                found.setdefault(ours.name, {})[key] = MessageToDict(ours.attr[key])
    return found


def _without_attributes(graph: Any) -> Any:
    bare = type(graph).FromString(graph.SerializeToString())
    for node in bare.node:
        node.attr.clear()
    return bare


def record(name: str, out: Path, models: Path = MODELS, code: Path | None = None) -> Path:
    """Record the golden ``name`` into the folder ``out/name``, and return that folder."""
    known = recipes(models, code)
    if name not in known:
        raise RecordError(f"{models} has no {name}: check the name, or add a record")
    recipe, architecture = known[name], architectures(models)[name]
    recorder = find_recorder(recipe.recorder)
    described = recorder.describe(recipe)
    fields, files = golden_fields(recipe, described), {}
    if architecture == name:
        files = shared_files(described)
    else:
        fields |= differences(name, described, architecture, recorder.describe(known[architecture]))
    files |= {"golden.npz": to_npz(recorder.measure(recipe)), "golden.json": to_json(fields).encode()}
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        # Rename each finished file, so that an interrupted run leaves the old file or the new one.
        part = folder / f"{file}.part"
        part.write_bytes(content)
        part.replace(folder / file)
    return folder


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="record.py", description="Record goldens from the authors' own code.")
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a record of models.toml, or all")
    parser.add_argument("--records", type=Path, default=MODELS, metavar="FILE", help="default: golden/models.toml")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where MODEL/ goes (default: beside the records)")
    parser.add_argument("--code", type=Path, metavar="FOLDER", help="a clone of code that is on no package index")
    arguments = parser.parse_args()
    names = list(recipes(arguments.records)) if "all" in arguments.models else arguments.models
    for name in names:
        start = time.perf_counter()
        try:
            folder = record(name, arguments.out or arguments.records.parent, arguments.records, arguments.code)
        except RecordError as error:
            parser.exit(2, f"record.py: {error}\n")
        print(f"{folder}: {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
