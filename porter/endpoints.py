"""endpoints: a network's activations under slim's names."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from porter.archs import find_arch
from porter.errors import PorterError
from porter.mapping import Table
from porter.runners import Runner

FRAMEWORKS = ("torch", "keras")


def endpoints(model: str, network: Any, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``network``'s endpoints on NHWC ``pictures``, in graph order, channels last.

    ``network`` is a torch.nn.Module or keras.Model with the names of the table of ``model``: porter's, timm's,
    keras.applications'. It is run in the pictures' dtype, float32 or float64. Raises PorterError where it is
    neither.
    """
    found = runner_of(network, Table.load(find_arch(model).table))(pictures)
    if not found:
        raise PorterError(f"{type(network).__name__} has none of the layers of {model}: give them the table's names")
    return found


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
