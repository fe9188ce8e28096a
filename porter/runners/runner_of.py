"""runner_of: the runner that fits a network's framework."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from porter.errors import PorterError
from porter.mapping.stored_names import layer_name
from porter.mapping.table import Table
from porter.runners.runner import Runner

FRAMEWORKS = ("torch", "keras")


def framework_of(network: Any) -> str:
    """Return the framework of ``network``, without importing any. Raises PorterError for an unknown type."""
    # With the torch backend a Keras model is a torch.nn.Module too.
    packages = {base.__module__.split(".")[0] for base in type(network).__mro__}
    for framework in reversed(FRAMEWORKS):
        if framework in packages:
            return framework
    raise PorterError(f"{type(network).__name__} is neither a torch.nn.Module nor a keras.Model: build one of them")


def runner_of(network: Any, table: Table, strict: bool = False, dialect: str | None = None) -> Runner:
    """Return the runner of ``network``; ``strict`` as in porter.runners.runner.

    ``dialect`` is that of its layers' names, by default the one that names most of them.
    """
    framework = framework_of(network)
    module = import_module(f"porter.runners.{framework}")
    dialect = dialect or dialect_of(network, table, framework)
    runner: Runner = getattr(module, f"{framework.capitalize()}Runner")(network, table, dialect)
    runner.strict = strict
    return runner


def dialect_of(network: Any, table: Table, framework: str) -> str:
    """Return the dialect that names most endpoints of ``network``: of equal ones, the framework's own."""
    layers = layer_names(network, framework)

    def named(dialect: str) -> int:
        return sum(layer_at(where, framework) in layers for where in places(table, dialect))

    known = [name for name, record in table.records.items() if record.framework == framework and name != framework]
    return max((framework, *known), key=named)


def places(table: Table, dialect: str) -> list[str]:
    """Return where ``dialect`` has the table's endpoints."""
    return [endpoint.where[dialect] for endpoint in table.endpoints if dialect in endpoint.where]


def layer_names(network: Any, framework: str) -> set[str]:
    """Return the names of all layers of ``network``, by which places name them."""
    if framework == "torch":
        return {name for name, _ in network.named_modules()}
    return {layer.name for layer in getattr(network, "layers", ())}


def layer_at(place: str, framework: str) -> str:
    """Return the name of the layer at ``place``: Keras' layers are known by the last part."""
    return layer_name(place) if framework == "keras" else place
