"""The layout of tensors in a data file: one after another, with only padding between them.

TensorFlow's writer begins each tensor at the end of the last, or at the next multiple of
BundleWriter::Options::data_alignment (tensorflow/core/util/tensor_bundle/tensor_bundle.h).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from porter.errors import FormatError

_LARGEST_ALIGNMENT = 1 << 12


class Span(NamedTuple):
    """The place of a tensor, in bytes."""

    start: int
    size: int
    name: str


def check_tiles(spans: Iterable[Span]) -> int:
    """Return the end of the last tensor. Raises FormatError if two overlap, or if bytes between belong to none."""
    end, last, gaps = 0, "", []
    for span in sorted(spans):
        if span.start < end:
            raise FormatError(f"{last} and {span.name} share the bytes {span.start} to {min(end, sum(span[:2]))}")
        if span.start > end:
            gaps.append((end, span))
        end, last = span.start + span.size, span.name
    alignments = [1 << power for power in range(1, _LARGEST_ALIGNMENT.bit_length())]
    if not any(all(-(-gap // one) * one == span.start for gap, span in gaps) for one in alignments):
        gap, span = gaps[0]
        raise FormatError(f"the bytes {gap} to {span.start}, before {span.name}, belong to no tensor")
    return end
