"""GoldenRunner: returns what the original code computed for the sample images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from porter.catalog.goldens import Recorded
from porter.catalog.seeded_weights import PROBES, network_input, probe_indices
from porter.errors import PorterError
from porter.mapping.table import Table
from porter.runners.images import read_image, sample_paths
from porter.runners.runner import Runner


def golden_images(size: int) -> np.ndarray:
    """Return the sample images as float32 NHWC of side ``size``, as golden/record.py feeds them."""
    squares = [network_input(read_image(path), size) for path in sample_paths()]
    return np.stack(squares).astype(np.float32)


class GoldenProbes:
    """The values that a golden keeps: all logits, and a few values of every other endpoint, more of an output."""

    def __init__(self, golden: Recorded, table: Table) -> None:
        self.golden = golden
        self.logits = table.all_logits

    def indices(self, endpoint: str, count: int) -> np.ndarray:
        """Return the flat positions of the kept values in an activation of ``count`` values."""
        if endpoint in self.logits:
            return np.arange(count)
        return probe_indices(endpoint, count, self._kept.get(endpoint, PROBES))

    @cached_property
    def _kept(self) -> dict[str, int]:
        """The number of values that the golden keeps of each endpoint."""
        return {key.partition(":")[2]: values.shape[1] for key, values in self.golden.values().items()}

    def reduce(self, outputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the kept values of whole activations, (images, values).

        Raises PorterError where an activation has another size than the original's.
        """
        reduced = {}
        for name, values in outputs.items():
            values = np.asarray(values)
            values = values if values.ndim > 1 else values[:, None]
            of_image = values.shape[1:]
            count = math.prod(of_image)
            want = math.prod(self.golden.endpoint_shapes.get(name, of_image))
            if count != want:
                raise PorterError(
                    f"{name} has {count} values per image, but {want} in {self.golden.path}: "
                    f"{self._remedy(name, count)}"
                )
            # Not from the flattened activation, which would be a copy.
            kept: tuple[Any, ...] = np.unravel_index(self.indices(name, want), of_image)
            reduced[name] = values[(slice(None), *kept)]
        return reduced

    def _remedy(self, name: str, count: int) -> str:
        """Say what to do with an activation of ``count`` values."""
        if name in self.logits and count == self.golden.num_classes - 1:
            return (
                f"return all {self.golden.num_classes} classes, the background first, or give `checkpoint`: then the "
                "classes without the background are compared"
            )
        classes = f" with {self.golden.num_classes} classes" if name in self.logits else ""
        return f"build the network of {self.golden.name}{classes}"


class GoldenRunner(Runner):
    """Returns the recorded values: all logits, and the probes of every other endpoint."""

    label = "golden"

    def __init__(self, golden: Recorded, table: Table) -> None:
        self.golden = golden
        self.table = table
        self.values = golden.values()
        self.probes: GoldenProbes = GoldenProbes(golden, table)

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        chosen = self._numbers(images)
        precision = images.dtype.name
        prefix = {"float64": "endpoint:", "float32": "endpoint_float32:"}[precision]
        outputs = {name: self.values[prefix + name][chosen] for name in self.golden.endpoint_shapes}
        if self.table.all_logits:
            outputs |= dict.fromkeys(self.table.all_logits, self.values[f"logits_{precision}"][chosen])
        return outputs

    def _numbers(self, images: np.ndarray) -> list[int]:
        """Return the sample number of each image."""
        samples = golden_images(self.golden.input_size)
        found = [
            next((number for number, sample in enumerate(samples) if np.array_equal(image, sample)), None)
            for image in images.astype(np.float32)
        ]
        if None in found:
            raise PorterError(f"{self.golden.path} holds the sample images' values only: run it on golden_images()")
        return [number for number in found if number is not None]
