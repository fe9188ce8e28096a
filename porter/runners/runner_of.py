"""runner_of: the runner that fits a network's framework."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from porter.errors import PorterError
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


def runner_of(network: Any, table: Table, strict: bool = False) -> Runner:
    """Return the runner of ``network``; ``strict`` as in porter.runners.runner."""
    framework = framework_of(network)
    module = import_module(f"porter.runners.{framework}")
    runner: Runner = getattr(module, f"{framework.capitalize()}Runner")(network, table)
    runner.strict = strict
    return runner
