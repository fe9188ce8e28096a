"""outputs_with: the original's outputs, as far as a port with another head computes them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from porter.mapping.head import Head
from porter.mapping.table import Table
from porter.runners.runner import in_graph_order


def outputs_with(head: Head, outputs: Mapping[str, np.ndarray], table: Table) -> dict[str, np.ndarray]:
    """Return those of the original's outputs that a port with ``head`` computes.

    A dropped background class leaves the logits, and a softmax over the remaining classes takes the original's place.
    A detector's convolutions have the classes once for each box: there the scores of all boxes show the same.
    """
    logits = {endpoint.name for endpoint in table.endpoints if endpoint.of_head}
    derived = {endpoint.name for endpoint in table.endpoints if endpoint.softmax in logits}
    kept = {name: values for name, values in outputs.items() if name not in logits | derived}
    if not head.is_original:
        return kept
    if not head.drop_background:
        return dict(outputs)
    by_place = {
        one.name for one in table.endpoints if one.scores and one.name in outputs and outputs[one.name].ndim == 4
    }
    cut = {name: values[..., 1:] for name, values in outputs.items() if name in logits - by_place}
    return in_graph_order(kept | cut, table)
