"""Side: one side of a comparison."""

from __future__ import annotations

from dataclasses import dataclass

from porter.runners.runner import Runner


@dataclass(frozen=True)
class Side:
    """A runner, its key in a result's ``ports``, and a title that describes it; ``""`` for a port of porter's."""

    name: str
    title: str
    runner: Runner
