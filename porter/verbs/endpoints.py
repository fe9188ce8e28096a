"""endpoints: a network's activations under slim's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from porter.catalog.models import find_arch
from porter.errors import PorterError
from porter.mapping.table import Table
from porter.runners.of_network import runner_of


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
