"""What verify returns: what was compared with what, on which pictures, and each port's verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from porter.mapping.dialects import title_of
from porter.parity.compare import Report

Labels = list[tuple[str, float]]


@dataclass(frozen=True)
class PictureResult:
    """One picture's likeliest labels on every side, and the largest difference between logits, by port."""

    picture: str
    reference: Labels
    ports: dict[str, Labels]
    largest_logit_difference: dict[str, float]
    path: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "picture": self.picture,
            "reference": self.reference,
            "ports": self.ports,
            "largest_logit_difference": self.largest_logit_difference,
        }


@dataclass(frozen=True)
class OwnInput:
    """What one way to decode, crop and resize would change: the preprocessing, apart from the network.

    ``largest`` and ``mean`` are differences between its input and porter's, in the network's own units; ``logits`` is
    the largest change of the reference's logits in their standard deviations, ``top1`` the number of pictures whose
    first label changes. ``failed`` says of which of the pictures it could not be done, and why; ``pictures`` are the
    others.
    """

    side: str
    how: str
    pictures: int = 0
    largest: float = 0.0
    mean: float = 0.0
    logits: float | None = None
    top1: int | None = None
    failed: str | None = None

    def __str__(self) -> str:
        parts = [self.failed] if self.failed else []
        if self.pictures:
            parts.insert(0, self._found())
        return f"{self.side}'s own {self.how}: {'; '.join(parts)}"

    def _found(self) -> str:
        if not self.largest:
            return "the same input, bit for bit"
        text = f"input differs by at most {self.largest:.2g}, {self.mean:.2g} on average"
        if self.logits is None:
            return text
        changed = f"{self.top1} of {self.pictures} first labels" if self.top1 else "no first label"
        return f"{text}; moves logits by up to {self.logits:.2g} of their deviation and changes {changed}"


@dataclass(frozen=True)
class Verification:
    """What was compared with what, and each port's verdict; true where parity holds in all.

    ``ports`` are reports by framework, or by the name of a side; ``titles`` say what those that are no ports of
    porter's are; ``digests`` are the SHA-256 of all files that were read. ``logits`` holds both sides' logits, the
    reference's as ``""``; it is no part of the JSON.
    """

    model: str
    reference: str
    inputs: str
    ports: dict[str, Report]
    pictures: tuple[PictureResult, ...] = ()
    preprocessing: tuple[OwnInput, ...] = ()
    reference_label: str = "TensorFlow"
    titles: Mapping[str, str] = field(default_factory=dict)
    logits: Mapping[str, np.ndarray] = field(default_factory=dict)
    digests: Mapping[Path, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ports) and all(self.ports.values())

    def name_of(self, port: str) -> str:
        """Return what a reader knows a port as."""
        return title_of(port)

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
            "pictures": [picture.as_dict() for picture in self.pictures],
            "preprocessing": [str(own) for own in self.preprocessing],
        }
