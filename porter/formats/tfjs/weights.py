"""read_tfjs(path) -> Checkpoint: the weights of a TensorFlow.js model, with their quantization undone."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from tensorboard.compat.proto.graph_pb2 import GraphDef

from porter.errors import FormatError, plural
from porter.formats.checkpoint import Checkpoint, Entry
from porter.formats.dtypes import unread
from porter.formats.keras.config import check_config
from porter.formats.tensorflow.convolutions import find_convolutions
from porter.formats.tfjs.model import Model, dtype_of, read_model, values_of

FORMAT = "TensorFlow.js model"


def read_tfjs(path: Path) -> Checkpoint:
    """Read the weights that a model.json or weights_manifest.json lists. Raises FormatError.

    Of a graph's constants, those of floats with axes are weights; the others become asides.
    """
    model = read_model(path)
    entries: dict[str, Entry] = {}
    asides: dict[str, str] = {}
    for group, weight in model.weights:
        if weight.name in entries or weight.name in asides:
            raise FormatError(f"{path} lists {weight.name} twice; copy or download it again")
        if weight.stored is None:
            asides[weight.name] = unread("string")
        elif model.is_graph and (not weight.shape or dtype_of(weight).kind != "f"):
            asides[weight.name] = "graph constant"
        else:
            load = partial(values_of, path, group, weight)
            entries[weight.name] = Entry(weight.shape, dtype_of(weight), load)
    if not entries:
        raise FormatError(f"{path} lists no weights: name the model.json that came with its shards")
    config = None if model.is_graph else keras_config(model)
    check_config(config, path)
    shards = dict.fromkeys(shard for group in model.groups for shard in group.shards)
    convolutions = find_convolutions(topology_graph(model)) if model.is_graph else ()
    return Checkpoint(
        path,
        FORMAT,
        entries,
        asides,
        (path, *shards),
        notes=notes_on(model),
        convolutions=convolutions,
        config=config,
    )


def keras_config(model: Model) -> Any:
    """Return the Keras model of a layers-model, None if there is none; a model without weights has no wrapper."""
    topology = model.topology
    return topology.get("model_config", topology) if isinstance(topology, dict) else None


def topology_graph(model: Model) -> Any:
    """Return the GraphDef of a graph-model, whose constants have no values. Raises FormatError."""
    try:
        return json_format.ParseDict(model.topology, GraphDef(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        why = str(error).splitlines()[0]
        raise FormatError(f"{model.path} holds no whole graph ({why}); copy or download it again") from None


def notes_on(model: Model) -> tuple[str, ...]:
    """Return how the file stores its weights, where not as they are."""
    counts: dict[str, int] = {}
    for _, weight in model.weights:
        if weight.stored is not None and weight.stored != dtype_of(weight):
            counts[weight.stored.name] = counts.get(weight.stored.name, 0) + 1
    return tuple(
        f"{plural(count, 'weight')} {'is' if count == 1 else 'are'} stored as {name}, and taken as the floats that "
        "TensorFlow.js computes from them"
        for name, count in counts.items()
    )
