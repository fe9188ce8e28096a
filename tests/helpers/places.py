"""Where the tests find the checkout, its data and the real weights."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
GRAPH = ROOT / "build/weights/nudity/files/retrained_graph.pb"
"""Real ImageNet weights, a frozen graph: `make weights` installs it."""
