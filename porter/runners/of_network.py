"""The runner of a network that is built already, by its framework."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from porter.errors import PorterError
from porter.mapping.table import Table
from porter.runners.runner import Runner

FRAMEWORKS = ("torch", "keras")


def framework_of(network: Any) -> str:
    """Return the framework that ``network`` belongs to, which is not imported for the answer."""
    # A Keras model is a torch.nn.Module too where torch is its backend.
    packages = {base.__module__.split(".")[0] for base in type(network).__mro__}
    for framework in reversed(FRAMEWORKS):
        if framework in packages:
            return framework
    raise PorterError(f"{type(network).__name__} is neither a torch.nn.Module nor a keras.Model: build one of them")


def runner_of(network: Any, table: Table) -> Runner:
    """Return the runner of ``network`` that fits its framework."""
    framework = framework_of(network)
    module = import_module(f"porter.runners.{framework}")
    runner: Runner = getattr(module, f"{framework.capitalize()}Runner")(network, table)
    return runner
