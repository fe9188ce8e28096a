"""Runner: the contract of everything that computes a network's endpoints.

A runner takes float NHWC images and returns ``{endpoint: values}``. It computes in the dtype of the images, float32
or float64. Endpoints come in graph order, images first and channels last.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from porter.mapping.table import Table
from porter.runners.softmax import softmax

PRECISIONS = ("float32", "float64")


class Probes(Protocol):
    """The values of each activation that a golden keeps."""

    def indices(self, endpoint: str, count: int) -> np.ndarray:
        """Return the flat positions of the kept values in an activation of ``count`` values."""

    def reduce(self, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the kept values of whole activations. Raises PorterError where an activation has another size."""


class Preprocessing(Protocol):
    """What a graph does to images before its network; porter.runners.own_preprocessing documents the fields."""

    path: Path
    behind: str
    refused: str | None
    encoded: bool
    floats: bool

    @property
    def pixels(self) -> tuple[int | None, int | None]:
        """Return the height and width of its input, None for an open side."""

    def __call__(self, image: np.ndarray | bytes) -> np.ndarray:
        """Return what the network gets of one image. Raises PorterError where it cannot be run."""


class Runner(ABC):
    """Computes a table's endpoints.

    - ``label`` names the runner in headings and messages.
    - ``precisions`` are the dtypes whose results are reliable.
    - ``strict``: every endpoint of the reference must be there, otherwise parity fails.
    - ``partial``: an absent endpoint may only be unnamed, so it does not suggest a skipped layer.
    - ``reshapes``: an endpoint may have another shape than the reference's, and is left out then.
    - ``probes`` reduces the other side's outputs to what this runner keeps; None where it returns whole activations.
    - ``preprocessing`` is what a graph does to images before its network; None for every other runner.
    - ``plain`` runs the same network on the framework's own kernels, not a processor's; None where there are no others.
    - ``notes`` are sentences that the report shows.
    """

    label: str
    precisions: tuple[str, ...] = PRECISIONS
    strict: bool = False
    partial: bool = False
    reshapes: bool = False
    probes: Probes | None = None
    preprocessing: Preprocessing | None = None

    @property
    def plain(self) -> Runner | None:
        return None

    @property
    def notes(self) -> Sequence[str]:
        return ()

    @abstractmethod
    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the endpoints of float32 or float64 NHWC ``images``."""


def run_all(runner: Runner, images: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Run float32 ``images`` in each of the runner's precisions."""
    return {precision: runner(images.astype(precision)) for precision in runner.precisions}


def of_images(outputs: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """Return ``outputs`` with ``count`` images first: the first axis of an inner tensor may be another, or none."""
    return {
        name: value if np.shape(value)[:1] == (count,) else np.reshape(value, (count, -1))
        for name, value in outputs.items()
    }


def in_graph_order(outputs: dict[str, np.ndarray], table: Table) -> dict[str, np.ndarray]:
    """Return ``outputs`` in the table's order, and add the softmaxes that the network leaves out."""
    for endpoint in table.endpoints:
        if endpoint.softmax in outputs and endpoint.name not in outputs:
            outputs[endpoint.name] = softmax(outputs[endpoint.softmax])
    return {endpoint.name: outputs[endpoint.name] for endpoint in table.endpoints if endpoint.name in outputs}
