"""verify_decompiled: a decompiled network with another checkpoint, against TensorFlow running the kept graph."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter.errors import PorterError
from porter.export.written_network import GRAPH, RECORD, SOURCE, TABLE, graph_checkpoint
from porter.files.installed import require_package
from porter.files.json import read_json
from porter.files.progress import Track, untracked
from porter.formats.input_digests import Inputs
from porter.graph.codegen.network import WEIGHTS
from porter.mapping.table import Table
from porter.parity.compare import Report
from porter.runners.tensorflow_settings import before_tensorflow
from porter.verbs.cut_graph import cut_graph
from porter.verbs.inspect import open_graph
from porter.verbs.port_written import port_written
from porter.verbs.verify_loaded import SavedModel, saved_model_folder

if TYPE_CHECKING:
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.codegen.network import Network


@dataclass(frozen=True)
class VerifiedNetwork:
    """The verdict on a decompiled network with the weights of a checkpoint. True if parity holds."""

    folder: Path
    model: str
    average: str
    inputs: str
    report: Report
    digests: Mapping[Path, str]

    def __bool__(self) -> bool:
        return bool(self.report)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "ok": bool(self),
            "folder": str(self.folder),
            "model": self.model,
            "average": self.average,
            "inputs": self.inputs,
            "verification": self.report.as_dict(),
            "sha256": {str(path): digest for path, digest in self.digests.items()},
        }


def verify_decompiled(
    folder: str | Path,
    checkpoint: str | Path | None = None,
    *,
    average: str = "auto",
    trust_code: bool = False,
    trust_graph: bool = False,
    track: Track[Any] = untracked,
) -> VerifiedNetwork:
    """Compare the source in ``folder``, filled with ``checkpoint``, with TensorFlow running the graph beside it.

    Without a checkpoint, the weights are those of the folder, and TensorFlow gets them under the graph's names.
    The source runs only if it is what porter writes for that graph, byte for byte, or with ``trust_code``: a folder may
    come from anybody. ``average`` and ``trust_graph`` are as in porter.verbs.decompile.

    Raises PorterError, FormatError.
    """
    from porter.verbs.decompile import DROPOUT, written_network
    from porter.verbs.graph_values import graph_values
    from porter.verbs.verify_written import verify_written

    folder = Path(folder)
    facts = read_json(folder / RECORD)
    analysis = cut_graph(open_graph(folder / GRAPH, facts.get("size")), (), facts.get("outputs", ()))
    keeps = facts.get("dropout", DROPOUT[0]) == DROPOUT[0]
    program, network = written_network(analysis, str(facts.get("stem", facts["model"])), keeps)
    if network is None:
        raise PorterError(f"{folder / GRAPH} has ops without a translation: list them with `port decompile`")
    source = (folder / SOURCE).read_bytes()
    if sha256(source).digest() != sha256(network.source.encode()).digest() and not trust_code:
        raise PorterError(
            f"{folder / SOURCE} is not what porter writes for the graph beside it, so porter does not run it: read it, "
            "then set `trust_code=True`, or decompile the graph again"
        )
    require_package("torch", "torch")
    require_package("tensorflow", "tf")
    before_tensorflow()
    read = Inputs(())
    saved: SavedModel | None = None
    with tempfile.TemporaryDirectory(prefix="porter-") as room:
        if checkpoint is None:
            shapes = {name: variable.shape for name, variable in analysis.all_variables.items()}
            read.add([folder / WEIGHTS])
            own = graph_checkpoint(network, folder / WEIGHTS, shapes)
            values = graph_values(analysis, network, own, "raw", read)
            shutil.copyfile(folder / WEIGHTS, Path(room) / WEIGHTS)
        else:
            ported = port_written(folder, checkpoint=checkpoint, out=Path(room) / WEIGHTS, average=average)
            analysis = _stored(analysis, network, folder)
            values = graph_values(analysis, network, checkpoint, ported.average, read)
            saved = SavedModel(open_graph(checkpoint)) if saved_model_folder(Path(checkpoint)) else None
        shutil.copyfile(folder / SOURCE, Path(room) / SOURCE)
        given = (program, network, values, analysis, trust_graph, track, saved)
        report, images = verify_written(Path(room) / SOURCE, *given)
    return VerifiedNetwork(folder, network.name, values.average, images, report, read.digests)


def _stored(analysis: Analysis, network: Network, folder: Path) -> Analysis:
    """Return the analysis of the kept graph with its variables' names in checkpoints, which the table has."""
    from porter.graph.analysis.analysis import Analysis

    stored = {pair.target: pair.source for pair in Table.read(folder / TABLE).pairs("tf", "torch")}
    names = {placed.weight.name: stored[placed.path] for placed in network.weights if placed.path in stored}
    return Analysis(replace(analysis.source, stored_names=names), analysis.size)
