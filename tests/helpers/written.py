"""Networks that porter writes from graphs, as text and as modules."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from helpers.places import ROOT
from helpers.processes import HANG
from porter.catalog.goldens import Recorded, recorded, seeded_entries
from porter.export.written_network import SOURCE, network_state, write_state
from porter.formats.tensorflow.graph_source import graph_source
from porter.formats.tensorflow.tensorproto import tensor_values
from porter.graph.analysis.analysis import Analysis
from porter.graph.codegen.lower import lower
from porter.graph.codegen.network import WEIGHTS, Network, write_network
from porter.graph.codegen.step import Program


def written_graph(analysis: Analysis, name: str = "network") -> tuple[Program, Network]:
    """Return a graph's steps and source; every op has a translation."""
    program = lower(analysis)
    assert not program.problems
    return program, write_network(program, analysis, name, "A network that porter wrote from a TensorFlow graph.")


def written_golden(name: str) -> tuple[Recorded, Analysis, Program, Network]:
    """Return a golden, and its graph's analysis, steps and source."""
    golden = recorded(name)
    analysis = Analysis(graph_source(golden.graph, golden.load_graph()))
    return (golden, analysis, *written_graph(analysis, name))


def values_of(analysis: Analysis, golden: Recorded | None = None) -> Mapping[str, np.ndarray]:
    """Return the values of a graph's constants, and the seeded ones of a golden's variables."""
    nodes = analysis.source.graph.node
    constants = {node.name: node.attr["value"].tensor for node in nodes if node.op == "Const"}
    entries = seeded_entries(golden) if golden else {}

    class Values(dict[str, np.ndarray]):
        def __missing__(self, name: str) -> np.ndarray:
            return entries[name].load() if name in entries else tensor_values(Path(), name, constants[name])

    return Values()


def write_files(folder: Path, network: Network, values: Mapping[str, np.ndarray]) -> Path:
    """Write a network's source and weights to ``folder``, and return the source's path."""
    (folder / SOURCE).write_text(network.source, encoding="utf-8")
    write_state(folder / WEIGHTS, network_state(network, values.__getitem__), {})
    return folder / SOURCE


def built(source: Path) -> nn.Module:
    """Return what load() of a source file builds."""
    return imported(source).load()  # type: ignore[no-any-return]


def imported(source: Path) -> Any:
    """Import a source file as a module."""
    spec = importlib.util.spec_from_file_location("written", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def complaints(source: str, folder: Path) -> str:
    """Return what ruff's check and format, with porter's own settings, say of a source."""
    path = folder / "checked.py"
    path.write_text(source, encoding="utf-8")
    settings = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    ruff = [sys.executable, "-m", "ruff"]
    check = [*ruff, "check", *settings, "--ignore", "TID253,INP001", str(path)]
    style = [*ruff, "format", "--diff", *settings, str(path)]
    runs = [subprocess.run(command, capture_output=True, text=True, timeout=HANG) for command in (check, style)]
    return "".join(f"{run.stdout}{run.stderr}" for run in runs if run.returncode)
