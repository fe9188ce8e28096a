"""Somebody else's network as a side: a function of a Python file, whatever framework it is written in.

The function is one of three:

- a builder without required parameters, which returns a torch.nn.Module, a keras.Model or a callable;
- a builder with the parameter ``weights``, which gets ``{TensorFlow's variable name: array}``: the name-seeded ones
  beside a golden, else the checkpoint's;
- the network itself: NHWC pictures in, ``{endpoint: array}`` out, channels last.

Beside a golden a module whose names are the table's is filled by name.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import tomllib
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from porter.catalog.goldens import recorded, seeded_checkpoint
from porter.errors import PorterError
from porter.formats.checkpoint import Checkpoint
from porter.mapping.stored_names import layer_name
from porter.mapping.table import Table
from porter.mapping.translate import translate
from porter.runners.context import Context, weights_for
from porter.runners.of_network import framework_of, runner_of
from porter.runners.runner import PRECISIONS, Runner, in_graph_order
from porter.runners.settings import before_tensorflow


def foreign_runner(path: Path, function: str, context: Context) -> Runner:
    """Return the runner of what ``function`` of the Python file ``path`` is or builds. Raises PorterError."""
    before_tensorflow()
    found = _attribute(path, function)
    network, filled = _built(path, function, found, context)
    framework = _framework(network)
    names = _names(context)
    if framework is None:
        if not callable(network):
            raise PorterError(f"{path}: {function} gives a {type(network).__name__}: build a module or a callable")
        return CallableRunner(network, context.table, names, f"{path}: {function}", context.size)
    table = _renamed(context.table, framework, names)
    if framework == "torch":
        network.eval()
    if context.beside == "golden" and not filled:
        filled = _fill(network, framework, context)
    runner = runner_of(network, table)
    places = [endpoint.where.get(framework, "") for endpoint in table.endpoints]
    if not {layer_name(place) for place in places} & _layers(network, framework):
        raise PorterError(
            f"{path}: no layer of {function} has a name of mappings/{table.name}.toml: give --endpoint-map, a TOML "
            'file whose [endpoints] say where each endpoint is, as in Logits = "head.fc"'
        )
    return ModuleRunner(runner, f"{path}: {function}", partial=bool(names))


class ModuleRunner:
    """A runner of somebody else's module: what goes wrong in it is one sentence.

    ``partial`` says that an endpoint may be absent because its owner did not name it, though it is computed.
    """

    def __init__(self, runner: Runner, title: str, partial: bool) -> None:
        self.runner = runner
        self.title = title
        self.partial = partial
        self.precisions = runner.precisions

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        with _complaints(self.title):
            return self.runner(pictures)


class CallableRunner:
    """A runner of a plain function; in float64 too where it answers float64 pictures with float64 arrays."""

    partial = True

    def __init__(
        self, function: Callable[[np.ndarray], Any], table: Table, names: Mapping[str, str], title: str, size: int
    ) -> None:
        self.function = function
        self.table = table
        self.title = title
        self.keys = {endpoint.name: names.get(endpoint.name, endpoint.name) for endpoint in table.endpoints}
        try:
            trial = self._outputs(np.zeros((1, size, size, 3)))
        except PorterError:
            trial = {}
        wide = bool(trial) and all(value.dtype == np.float64 for value in trial.values())
        self.precisions: tuple[str, ...] = PRECISIONS if wide else PRECISIONS[:1]

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        return in_graph_order(self._outputs(pictures), self.table)

    def _outputs(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        with _complaints(self.title):
            given = self.function(pictures)
        if not isinstance(given, Mapping):
            raise PorterError(f"{self.title} returns a {type(given).__name__}: return {{endpoint: array}}")
        with _complaints(self.title):
            outputs = {name: _array(given[key]) for name, key in self.keys.items() if key in given}
        if not outputs:
            wanted = ", ".join(list(self.keys.values())[:4])
            raise PorterError(
                f"{self.title} returns none of the endpoints {wanted}, …: use those names, or --endpoint-map"
            )
        wrong = [name for name, value in outputs.items() if value.ndim == 0 or len(value) != len(pictures)]
        if wrong:
            raise PorterError(f"{self.title} gives {wrong[0]} for another number of pictures than it was given")
        unreal = [name for name, value in outputs.items() if not np.can_cast(value.dtype, np.float64, "same_kind")]
        if unreal:
            found = outputs[unreal[0]].dtype
            raise PorterError(f"{self.title} gives {unreal[0]} as {found}: return arrays of real numbers")
        return outputs


def _array(value: Any) -> np.ndarray:
    """Return ``value`` as an array, a tensor without its gradient and wherever it lies."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def read_names(given: Mapping[str, str] | str | Path) -> dict[str, str]:
    """Return ``{endpoint: where it is}`` from a mapping, or from the [endpoints] of a TOML file."""
    if isinstance(given, Mapping):
        return dict(given)
    path = Path(given)
    try:
        names = tomllib.loads(path.read_text(encoding="utf-8")).get("endpoints")
    except FileNotFoundError:
        raise PorterError(f"{path} does not exist: --endpoint-map names a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PorterError(f"{path} is not valid TOML: {error}") from None
    if not isinstance(names, dict) or not all(isinstance(value, str) for value in names.values()):
        raise PorterError(f'{path} has no [endpoints] such as Logits = "head.fc": say where each endpoint is')
    return names


def _names(context: Context) -> dict[str, str]:
    names = read_names(context.endpoints) if context.endpoints is not None else {}
    known = [endpoint.name for endpoint in context.table.endpoints]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise PorterError(
            f"--endpoint-map names {unknown[0]}, which is no endpoint of {context.arch.name}: {', '.join(known)}"
        )
    return names


def _renamed(table: Table, framework: str, names: Mapping[str, str]) -> Table:
    """Return ``table`` with the user's places in place of its own."""
    endpoints = tuple(
        endpoint._replace(where={**endpoint.where, framework: names[endpoint.name]})
        if endpoint.name in names
        else endpoint
        for endpoint in table.endpoints
    )
    return replace(table, endpoints=endpoints)


def _attribute(path: Path, name: str) -> Any:
    if not path.is_file():
        raise PorterError(f"{path} does not exist: name a Python file and a function of it, as in net.py:build")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # Its own neighbours are imported as they are for a script.
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        with _complaints(str(path)):
            specification.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not hasattr(module, name):
        raise PorterError(f"{path} has no {name}: name one of its functions")
    return getattr(module, name)


class _complaints:
    """Turns what somebody else's code raises into one sentence that says where."""

    def __init__(self, title: str) -> None:
        self.title = title

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, PorterError):
            last = traceback.extract_tb(trace)[-1]
            what = str(error).splitlines()[0] if str(error) else ""
            raise PorterError(
                f"{self.title} fails: {type(error).__name__}: {what} ({Path(last.filename).name}, line {last.lineno})"
            ) from None


def _built(path: Path, function: str, found: Any, context: Context) -> tuple[Any, bool]:
    """Return the network, or the function that is one, and whether it got the weights."""
    if _framework(found) is not None or not callable(found):
        return found, False
    parameters = inspect.signature(found).parameters
    with _complaints(f"{path}: {function}"):
        if "weights" in parameters:
            weights = weights_for(context)
            if weights is None:
                raise PorterError(f"{path}: {function} wants weights: give --checkpoint, or hold it against golden")
            return found(weights=weights), True
        required = [
            p for p in parameters.values() if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        return (found, False) if required else (found(), False)


def _framework(network: Any) -> str | None:
    try:
        return framework_of(network)
    except PorterError:
        return None


def _layers(network: Any, framework: str) -> set[str]:
    if framework == "torch":
        return {name for name, _ in network.named_modules()}
    return {layer.name for layer in network.layers}


def _fill(network: Any, framework: str, context: Context) -> bool:
    """Fill ``network`` with the golden's weights where its names are the table's; else say how it can have them."""
    seeds = seeded_checkpoint(recorded(context.arch.name))
    tensors: Checkpoint = translate(seeds, context.arch, "tf", framework).as_checkpoint(seeds)
    module = importlib.import_module(f"porter.nets.build_{framework}")
    try:
        module.fill(network, context.table, tensors)
    except PorterError as error:
        raise PorterError(
            f"{str(error).splitlines()[0].rstrip(':')}: the golden's weights have no place in this network; "
            "let its builder take `weights`, {TensorFlow's variable name: array}, and fill itself"
        ) from None
    return True
