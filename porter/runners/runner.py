"""Runners: NHWC pictures in, {endpoint: values} out, whatever computes them.

A runner computes in the dtype of the pictures it is given, float32 or float64. Its endpoints are in
graph order, pictures first and channels last.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from porter.mapping.table import Table
from porter.runners.softmax import softmax

PRECISIONS = ("float32", "float64")


class Runner(Protocol):
    """Anything that computes a table's endpoints, in those ``precisions`` in which its numbers prove something."""

    @property
    def precisions(self) -> tuple[str, ...]: ...

    def __call__(self, pictures: np.ndarray) -> dict[str, np.ndarray]: ...


def run_all(runner: Runner, pictures: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Run the float32 ``pictures`` in each of the runner's precisions: the same numbers, with more or fewer digits."""
    return {precision: runner(pictures.astype(precision)) for precision in runner.precisions}


def in_graph_order(outputs: dict[str, np.ndarray], table: Table) -> dict[str, np.ndarray]:
    """Return ``outputs`` in the table's order, with the softmaxes that their dialect does not compute."""
    for endpoint in table.endpoints:
        if endpoint.softmax in outputs and endpoint.name not in outputs:
            outputs[endpoint.name] = softmax(outputs[endpoint.softmax])
    return {endpoint.name: outputs[endpoint.name] for endpoint in table.endpoints if endpoint.name in outputs}
