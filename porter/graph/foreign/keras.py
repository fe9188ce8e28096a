"""keras_source(checkpoint) -> Source: the network that a Keras config describes, as a GraphDef.

The wiring comes from the config alone, of Keras 1 to 3: a Sequential's order, or the inbound nodes of a functional
model. Models in models are written out where they are called. Nothing of Keras is imported, and no code in a config
runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from porter.errors import FormatError, PorterError, first_of
from porter.formats.checkpoint import Checkpoint
from porter.formats.open import open_checkpoint
from porter.formats.tensorflow.graph_source import Signature, Source
from porter.graph.foreign.keras_1 import modern
from porter.graph.foreign.keras_call import Call, ShapedBuilder, dtype_of
from porter.graph.foreign.keras_doubts import doubts
from porter.graph.foreign.keras_layers import LAYERS, write_layer
from porter.graph.shapes import Shape, shape_text

_MODELS = ("Functional", "Model", "Sequential")
_INPUT = "InputLayer"
_CALLS, _ROOM = 16, 1000
"""How often an average layer may be called, and the layers that any network may have."""
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


def read_keras_graph(path: Path) -> Source:
    """Read the network in a .keras or .h5 file. Raises FormatError, and PorterError if it holds weights alone."""
    return keras_source(open_checkpoint(path))


def keras_source(checkpoint: Checkpoint, writer: str = "") -> Source:
    """Return the network that ``checkpoint.config`` describes. Raises PorterError, FormatError."""
    path, config = checkpoint.path, checkpoint.config
    if config is None:
        raise PorterError(
            f"{path} holds weights and no config, so that its layers' wiring is unknown: name a whole model"
        )
    stored = {name: entry.shape for name, entry in checkpoint.entries.items()}
    wiring = _Wiring(stored, _CALLS * _count_layers(config) + _ROOM)
    try:
        inputs, outputs = wiring.model(config)
    except _MALFORMED as error:
        raise FormatError(
            f"{path} does not say how its layers are wired ({_reason(error)}): name a functional or sequential model"
        ) from None
    signature = Signature("serving_default", {name: name for name in inputs}, {name: name for name in outputs})
    kind = f"{checkpoint.format}, by its config"
    by = writer or _writer(config)
    graph, notes = wiring.builder.graph, tuple(wiring.notes())
    return Source(path, kind, graph, writer=by, signatures=(signature,), notes=notes, translated=True)


def _reason(error: Exception) -> str:
    """Say what a config lacks, of an error that reading it raised."""
    match error:
        case KeyError():
            part = error.args[0]
            return f"{part[0] if isinstance(part, tuple) else part} is missing"
        case IndexError():
            return "a list is too short"
        case UnicodeError():
            return "a name is not text"
        case RecursionError():
            return "it is nested too deeply"
    return " ".join(str(error).split()) or type(error).__name__


def _writer(config: Any) -> str:
    version = config.get("keras_version") if isinstance(config, Mapping) else None
    settings = config.get("config") if isinstance(config, Mapping) else None
    version = version or (settings.get("keras_version") if isinstance(settings, Mapping) else None)
    return f"Keras {version}" if isinstance(version, str) else "Keras"


@dataclass
class _Layer:
    """A layer of a config, and its calls: the tensors that each reads, as (layer, call, output)."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    calls: list[list[_Tensor]] = field(default_factory=list)


_Tensor = tuple[str, int, int]


class _Wiring:
    """Writes models into one graph; ``stored`` maps the file's weights to their shapes.

    A model in a model is written wherever it is called, up to ``left`` layers in all.
    """

    def __init__(self, stored: Mapping[str, tuple[int, ...]], left: int) -> None:
        self.left = left
        self.builder = ShapedBuilder()
        self.stored = stored
        self.weights: dict[str, str] = {}
        self.unknown: dict[str, str] = {}
        self.known: dict[str, tuple[str, Mapping[str, Any]]] = {}

    def model(self, config: Any, path: str = "", given: Sequence[str] | None = None) -> tuple[list[str], list[str]]:
        """Add a model's layers; return its inputs and outputs. ``given`` are the tensors that an inner one reads."""
        settings = config["config"]
        listed = settings["layers"] if isinstance(settings, Mapping) else settings  # Keras 1 lists a Sequential's
        if config["class_name"] == "Sequential":
            return self._sequential(config, listed, path, given)
        layers = [_layer(layer) for layer in listed]
        tensors: dict[_Tensor, str] = {}
        inputs = _references(settings.get("input_layers"))
        for at, reference in enumerate(inputs):
            if given is not None and at < len(given):
                tensors[reference] = given[at]
        for layer, call in _in_order(layers):
            self._call(layer, call, path, tensors)
        outputs = [tensors[reference] for reference in _references(settings.get("output_layers"))]
        return [tensors[reference] for reference in inputs], outputs

    def _sequential(
        self, config: Mapping[str, Any], listed: Any, path: str, given: Sequence[str] | None
    ) -> tuple[list[str], list[str]]:
        layers = [_layer(layer) for layer in listed]
        first = list(given[:1]) if given else []
        if not first:
            kept = [layer for layer in layers if layer.kind == _INPUT]
            own = kept[0] if kept else layers[0]
            name = own.name if kept else "input"
            first = [self._placeholder(f"{path}{name}", own, _built_shape(config))]
        tensor = first[0]
        for layer in layers:
            if layer.kind != _INPUT:
                (tensor, *_) = self._written(layer, path, 0, [tensor])
        return first, [tensor]

    def _placeholder(self, name: str, layer: _Layer, built: Shape) -> str:
        given = layer.settings.get("batch_shape") or layer.settings.get("batch_input_shape")
        if given is None and layer.settings.get("input_shape"):
            given = [None, *layer.settings["input_shape"]]
        shape = built if given is None else tuple(None if side is None else int(side) for side in given)
        return self.builder.placeholder(name, shape, dtype_of(layer.settings))

    def _call(self, layer: _Layer, call: int, path: str, tensors: dict[_Tensor, str]) -> None:
        """Add one call of a layer, unless its output was given from outside."""
        if (layer.name, call, 0) in tensors:
            return
        if layer.kind == _INPUT:
            tensors[layer.name, call, 0] = self._placeholder(f"{path}{layer.name}", layer, None)
            return
        inputs = [tensors[reference] for reference in layer.calls[call]]
        for slot, tensor in enumerate(self._written(layer, path, call, inputs)):
            tensors[layer.name, call, slot] = tensor

    def _written(self, layer: _Layer, path: str, call: int, inputs: Sequence[str]) -> list[str]:
        """Add a layer or an inner model; return its outputs."""
        inside = f"{path}{layer.name}"
        self.left -= 1
        if self.left < 0:
            raise ValueError("its models are called too often in each other")
        if layer.kind in _MODELS:
            return self.model(layer.config, f"{inside}/", inputs)[1]
        name = f"{inside}_{call}" if call else inside
        if layer.kind not in LAYERS:
            self.unknown[inside] = layer.kind
        else:
            self.known[inside] = (layer.kind, layer.settings)
        one = Call(self.builder, inside, name, layer.kind, layer.settings, inputs, self.weights, self.stored)
        return [write_layer(one)]

    def notes(self) -> Iterator[str]:
        """Yield a sentence about the layers that porter does not know, and one for each doubt about the others."""
        if self.unknown:
            kinds = ", ".join(dict.fromkeys(self.unknown.values()))
            yield f"porter does not know what {first_of('layer', tuple(self.unknown))} of class {kinds} computes."
        yield from doubts((name, kind, settings) for name, (kind, settings) in self.known.items())
        for name, own in self._unlike():
            file = f"the file's is {shape_text(self.stored[name])}" if name in self.stored else "the file lacks it"
            yield f"The config and the weights do not fit: by the config, {name} is {shape_text(own)}, and {file}."
            return

    def _unlike(self) -> Iterator[tuple[str, tuple[int | None, ...]]]:
        """Yield the weights that have another shape in the file, with the shape by the config.

        A file that has another of a layer's weights under its name has all of them.
        """
        shapes = {node.name: node.attr["shape"].shape for node in self.builder.graph.node if node.op == "VariableV2"}
        layers = {name.rpartition("/")[0] for name in self.weights if name in self.stored}
        for name, node in self.weights.items():
            own = tuple(dim.size if dim.size >= 0 else None for dim in shapes[node].dim)
            file = self.stored.get(name)
            if name.rpartition("/")[0] in layers if file is None else not _fit(own, file):
                yield name, own


def _fit(own: Sequence[int | None], file: Sequence[int]) -> bool:
    return len(own) == len(file) and all(a in (None, b) for a, b in zip(own, file, strict=True))


def _count_layers(config: Any) -> int:
    """Return the number of layers that a config lists, at any depth."""
    count, waiting = 0, [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, (dict, list)):
            waiting.extend(part.values() if isinstance(part, dict) else part)
            count += isinstance(part, dict) and "class_name" in part
    return count


def _layer(config: Any) -> _Layer:
    kind = str(config["class_name"]).rpartition(">")[2]  # a registered class is called package>Class
    settings = config["config"]
    inner = settings if isinstance(settings, Mapping) else {}
    name = str(config.get("name") or inner.get("name") or kind.lower())
    kind, inner = modern(kind, inner)
    calls = [_inbound(node) for node in config.get("inbound_nodes") or ()]
    return _Layer(name.replace(":", "_"), kind, inner, config, calls)


def _inbound(node: Any) -> list[_Tensor]:
    """Return what one call of a layer reads.

    Keras 3 writes {"args": [...], "kwargs": {...}} with a history in each tensor, older ones lists of
    [layer, call, output, keywords], or a single one.
    """
    if isinstance(node, Mapping):
        found = list(_histories(node))
        if not found:
            raise ValueError("a layer is called without a tensor")
        return found
    return _references(node)


def _histories(part: Any) -> Iterator[_Tensor]:
    if isinstance(part, Mapping) and part.get("class_name") == "__keras_tensor__":
        yield _reference(part["config"]["keras_history"])
    elif isinstance(part, Mapping):
        for inner in part.values():
            yield from _histories(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _histories(inner)


def _references(part: Any) -> list[_Tensor]:
    """Return the tensors in lists of [layer, call, output], in one of them, or in a dictionary of them."""
    if isinstance(part, Mapping):
        part = list(part.values())
    if not isinstance(part, list):
        return []
    if len(part) >= 3 and isinstance(part[0], str) and isinstance(part[1], int):
        keywords = part[3].values() if len(part) > 3 and isinstance(part[3], Mapping) else ()
        return [_reference(part), *(found for value in keywords for found in _references(value))]
    return [found for inner in part for found in _references(inner)]


def _reference(part: Any) -> _Tensor:
    return str(part[0]).replace(":", "_"), int(part[1]), int(part[2])


def _in_order(layers: Sequence[_Layer]) -> Iterator[tuple[_Layer, int]]:
    """Yield the calls of layers, each behind those that it reads. Raises ValueError for a circle or a missing layer."""
    named = {layer.name: layer for layer in layers}
    waits: dict[tuple[str, int], int] = {}
    readers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    for layer in layers:
        for number, reads in enumerate(layer.calls or [[]]):
            sources = {(name, at) for name, at, _ in reads}
            waits[layer.name, number] = len(sources)
            for source in sources:
                readers.setdefault(source, []).append((layer.name, number))
    ready = [call for call, count in waits.items() if not count]
    for call in ready:  # the list grows in the loop
        yield named[call[0]], call[1]
        for reader in readers.get(call, ()):
            waits[reader] -= 1
            if not waits[reader]:
                ready.append(reader)
    if len(ready) < len(waits):
        left = next(call for call, count in waits.items() if count)
        raise ValueError(f"the inputs of {left[0]} are missing, or depend on it")


def _built_shape(config: Mapping[str, Any]) -> Shape:
    """Return the shape that a Sequential without an input was built for, None if it was not."""
    built, settings = config.get("build_config"), config["config"]
    shape = built.get("input_shape") if isinstance(built, Mapping) else None
    shape = shape or (settings.get("build_input_shape") if isinstance(settings, Mapping) else None)
    return tuple(None if side is None else int(side) for side in shape) if isinstance(shape, list) else None
