"""endpoints: a network's activations under slim's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from porter.catalog.models import find_arch
from porter.errors import PorterError
from porter.mapping.table import Table
from porter.runners.runner_of import runner_of


def endpoints(model: str, network: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``{endpoint: activation}`` of ``network`` on NHWC ``images``, in graph order and channels last.

    ``network`` is a torch.nn.Module or keras.Model with the layer names of the model's table: porter's, timm's or
    keras.applications'. It runs in the images' dtype, float32 or float64. Raises PorterError for another type, and
    where no layer has a name of the table.
    """
    found = runner_of(network, Table.of(find_arch(model)))(images)
    if not found:
        raise PorterError(f"{type(network).__name__} has no layer of {model}: give its layers the table's names")
    return found
