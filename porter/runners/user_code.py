"""user_runner: runs the user's own network: a function of a Python file, or what that function builds.

The function is one of three:

- a builder without required parameters, which returns a torch.nn.Module, a keras.Model or a callable;
- a builder with the parameter ``weights``, which gets ``{TensorFlow's variable name: array}``: the golden's
  name-seeded weights beside a golden, otherwise the checkpoint's;
- the network itself: NHWC images in, ``{endpoint: array}`` out, channels last.

Beside a golden porter fills a module with the table's names by name.
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

from porter.errors import CodeError, PorterError
from porter.mapping.table import Table
from porter.runners.context import Context
from porter.runners.runner import PRECISIONS, Runner, in_graph_order
from porter.runners.runner_of import dialect_of, framework_of, layer_at, layer_names, places, runner_of
from porter.runners.tensorflow_settings import before_tensorflow


def user_runner(path: Path, function: str, context: Context) -> Runner:
    """Return the runner of the network that ``function`` of the Python file ``path`` is or builds.

    Raises PorterError where the code fails, or none of its endpoints is known.
    """
    before_tensorflow()
    where = f"{path}: {function}"
    found = _attribute(path, function)
    network, filled = _built(where, found, context)
    framework = _framework(network)
    names = _names(context)
    if framework is None:
        if not callable(network):
            raise PorterError(f"{where} returns the type {type(network).__name__}: build a module or a callable")
        return CallableRunner(function, where, network, context, names)
    table = _renamed(context.table, framework, names)
    if framework == "torch":
        network.eval()
    dialect = framework if names else dialect_of(network, table, framework)
    if context.golden is not None and not filled:
        _fill(network, framework, context, dialect)
    runner = runner_of(network, table, dialect=dialect)
    if not {layer_at(place, framework) for place in places(table, dialect)} & layer_names(network, framework):
        raise PorterError(
            f"{path}: no layer of {function} has a name of mappings/{table.name}.toml: give `endpoint_map`, a TOML "
            'file whose [endpoints] say where each endpoint is, as in Logits = "head.fc"'
        )
    return ModuleRunner(function, where, runner, partial=bool(names))


class ModuleRunner(Runner):
    """Runs the user's module, and turns its errors into one sentence. ``where`` names it in errors."""

    def __init__(self, label: str, where: str, runner: Runner, partial: bool) -> None:
        self.label = label
        self.where = where
        self.runner = runner
        self.partial = partial
        self.precisions = runner.precisions

    @property
    def plain(self) -> Runner | None:
        plain = self.runner.plain
        return ModuleRunner(self.label, self.where, plain, self.partial) if plain is not None else None

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        with one_sentence(self.where):
            return self.runner(images)


class CallableRunner(Runner):
    """Runs a plain function, in float64 too where it answers float64 images with float64 arrays.

    ``names`` are the function's own names of endpoints. ``where`` names it in errors.
    """

    partial = True

    def __init__(
        self,
        label: str,
        where: str,
        function: Callable[[np.ndarray], Any],
        context: Context,
        names: Mapping[str, str],
    ) -> None:
        self.label = label
        self.where = where
        self.function = function
        self.table = context.table
        self.keys = {endpoint.name: names.get(endpoint.name, endpoint.name) for endpoint in self.table.endpoints}
        try:
            trial = self._outputs(np.zeros((1, context.size, context.size, 3)))
        except PorterError:
            trial = {}
        wide = bool(trial) and all(value.dtype == np.float64 for value in trial.values())
        self.precisions = PRECISIONS if wide else PRECISIONS[:1]

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return in_graph_order(self._outputs(images), self.table)

    def _outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        with one_sentence(self.where):
            given = self.function(images)
        if not isinstance(given, Mapping):
            raise PorterError(f"{self.where} returns the type {type(given).__name__}: return {{endpoint: array}}")
        with one_sentence(self.where):
            outputs = {name: _array(given[key]) for name, key in self.keys.items() if key in given}
        self._check(outputs, len(images))
        return outputs

    def _check(self, outputs: Mapping[str, np.ndarray], count: int) -> None:
        """Raise PorterError where an endpoint is not an array of real numbers for ``count`` images."""
        if not outputs:
            wanted = ", ".join(list(self.keys.values())[:4])
            raise PorterError(
                f"{self.where} returns none of the endpoints {wanted}, …: use those names, or give `endpoint_map`"
            )
        for name, value in outputs.items():
            if value.ndim == 0 or len(value) != count:
                raise PorterError(
                    f"{self.where} returns {name} of shape {value.shape} for {count} images: put the images first"
                )
            if not np.can_cast(value.dtype, np.float64, "same_kind"):
                raise PorterError(f"{self.where} returns {name} as {value.dtype}: return arrays of real numbers")


def _array(value: Any) -> np.ndarray:
    """Return ``value`` as an array; a tensor loses its gradient and leaves its device."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def read_names(given: Mapping[str, str] | str | Path) -> dict[str, str]:
    """Return ``{endpoint: its place}`` from a mapping, or from the [endpoints] of a TOML file. Raises PorterError."""
    if isinstance(given, Mapping):
        return dict(given)
    path = Path(given)
    try:
        names = tomllib.loads(path.read_text(encoding="utf-8")).get("endpoints")
    except FileNotFoundError:
        raise PorterError(f"{path} does not exist: name a TOML file in `endpoint_map`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PorterError(f"{path} is not valid TOML: {error}; correct it there") from None
    if not isinstance(names, dict) or not all(isinstance(value, str) for value in names.values()):
        raise PorterError(f'{path} has no [endpoints] such as Logits = "head.fc": say where each endpoint is')
    return names


def _names(context: Context) -> dict[str, str]:
    names = read_names(context.endpoints) if context.endpoints is not None else {}
    known = [endpoint.name for endpoint in context.table.endpoints]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise PorterError(
            f"`endpoint_map` names {unknown[0]}, but {context.arch.name} has no such endpoint; available: "
            f"{', '.join(known)}"
        )
    return names


def _renamed(table: Table, framework: str, names: Mapping[str, str]) -> Table:
    """Return ``table`` with the user's places of endpoints."""
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
    # The file may import its neighbours, as a script may.
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        with one_sentence(str(path)):
            specification.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    if not hasattr(module, name):
        raise PorterError(f"{path} has no {name}: name one of its functions")
    return getattr(module, name)


class one_sentence:
    """Turns an exception of the user's code into a CodeError that says where it was raised, sys.exit included."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, SystemExit):
            raise CodeError(f"{self.where} ends the program (sys.exit): return the network instead") from None
        if isinstance(error, Exception) and not isinstance(error, PorterError):
            last = traceback.extract_tb(trace)[-1]
            what = str(error).splitlines()[0] if str(error) else ""
            raise CodeError(
                f"{self.where} fails: {type(error).__name__}: {what} ({Path(last.filename).name}, line {last.lineno})"
            ) from None


def _built(where: str, found: Any, context: Context) -> tuple[Any, bool]:
    """Return the network, or the function that is one, and whether it got the weights."""
    if _framework(found) is not None or not callable(found):
        return found, False
    parameters = inspect.signature(found).parameters
    with one_sentence(where):
        if "weights" in parameters:
            return found(weights=_weights(where, context)), True
        required = [
            p for p in parameters.values() if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
        return (found, False) if required else (found(), False)


def _weights(where: str, context: Context) -> dict[str, np.ndarray]:
    """Return the weights for the user's builder, ``{TensorFlow's variable name: array}``."""
    if context.golden is None and context.checkpoint is None:
        raise PorterError(f"{where} takes weights, but there are none: give `checkpoint`, or compare with golden")
    return dict(context.tensors("tf"))


def _framework(network: Any) -> str | None:
    try:
        return framework_of(network)
    except PorterError:
        return None


def _fill(network: Any, framework: str, context: Context, dialect: str) -> None:
    """Fill ``network`` with the golden's weights by the table's names. Raises PorterError where they differ."""
    tensors = context.tensors(dialect)
    module = importlib.import_module(f"porter.nets.build_{framework}")
    try:
        module.fill(network, context.table, tensors, dialect)
    except PorterError as error:
        raise PorterError(
            f"{str(error).splitlines()[0].rstrip(':')}: porter cannot fill this network with the golden's weights; "
            "let its builder take the parameter weights, {TensorFlow's variable name: array}, and fill itself"
        ) from None
