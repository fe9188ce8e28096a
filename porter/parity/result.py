"""Verification: what verify returns, with each candidate's report and each image's labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from porter.parity.compare import Report

Labels = list[tuple[str, float]]


@dataclass(frozen=True)
class ImageResult:
    """One image's likeliest labels on every side, and the largest logit difference of each candidate."""

    image: str
    reference: Labels
    ports: dict[str, Labels]
    largest_logit_difference: dict[str, float]
    path: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "image": self.image,
            "reference": self.reference,
            "ports": self.ports,
            "largest_logit_difference": self.largest_logit_difference,
        }


@dataclass(frozen=True)
class OwnInput:
    """What another way to decode, crop and resize would change. It is judged apart from the network.

    ``largest`` and ``mean`` are absolute differences from porter's input, in the network's own units. ``logits`` is the
    largest change of the reference's logits, in their standard deviation; ``top1`` counts the images whose top class
    changes, None where an image has no top class. ``images`` counts the compared images. ``failed`` says which images
    could not be prepared so, and why.
    """

    side: str
    how: str
    images: int = 0
    largest: float = 0.0
    mean: float = 0.0
    logits: float | None = None
    top1: int | None = None
    failed: str | None = None

    def __str__(self) -> str:
        parts = [self.failed] if self.failed else []
        if self.images:
            parts.insert(0, self._found())
        return f"{self.side}'s own {self.how}: {'; '.join(parts)}"

    def _found(self) -> str:
        if not self.largest:
            return "the same input, bit for bit"
        text = f"input differs by at most {self.largest:.2g}, {self.mean:.2g} on average"
        if self.logits is None:
            return text
        text += f"; moves logits by up to {self.logits:.2g} of their deviation"
        if self.top1 is None:
            return text
        changed = f"{self.top1} of {self.images} first labels" if self.top1 else "no first label"
        return f"{text} and changes {changed}"


@dataclass(frozen=True)
class GraphInput:
    """What a graph does to images before its network. It is judged apart from the network.

    ``graph`` names the file, and ``behind`` the op of a queue whose images go in. ``found`` compares with the preset,
    or says why it could not; ``ok`` is whether they agree. ``logits`` is how far the graph's logits move by the
    difference, in their standard deviation.
    """

    graph: str
    behind: str
    found: str
    ok: bool = False
    logits: float | None = None

    def __str__(self) -> str:
        where = f"{self.graph} behind {self.behind}" if self.behind else self.graph
        moved = f"; moves logits by up to {self.logits:.2g} of their deviation" if self.logits is not None else ""
        return f"the graph's own preprocessing ({where}): {self.found}{moved}"


@dataclass(frozen=True)
class Verification:
    """The result of verify, true where parity holds for every candidate.

    ``ports`` holds a report per candidate, by framework or by the name of its side. ``labels`` are the names of the
    candidates in headings, ``titles`` describe those that are not ports of porter's. ``images`` has an entry per image.
    ``logits`` holds both sides' logits, (images, classes), of the first images only (see porter.parity.per_image); the
    reference's key is ``""``. JSON leaves them out. ``digests`` are the SHA-256 of all files that were read.
    ``peak_memory`` is the process's largest resident set in bytes, None where the system does not say.
    """

    model: str
    reference: str
    inputs: str
    ports: dict[str, Report]
    images: tuple[ImageResult, ...] = ()
    preprocessing: tuple[OwnInput | GraphInput, ...] = ()
    reference_label: str = "TensorFlow"
    labels: Mapping[str, str] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    logits: Mapping[str, np.ndarray] = field(default_factory=dict)
    digests: Mapping[Path, str] = field(default_factory=dict)
    peak_memory: int | None = None

    def __bool__(self) -> bool:
        return bool(self.ports) and all(self.ports.values())

    def name_of(self, port: str) -> str:
        """Return a candidate's name for headings."""
        return self.labels.get(port, port)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "ok": bool(self),
            "model": self.model,
            "reference": self.reference,
            "inputs": self.inputs,
            "sha256": {str(path): digest for path, digest in self.digests.items()},
            "ports": {port: report.as_dict() for port, report in self.ports.items()},
            "sides": dict(self.titles),
            "images": [image.as_dict() for image in self.images],
            "preprocessing": [str(own) for own in self.preprocessing],
            "peak_memory": self.peak_memory,
        }
