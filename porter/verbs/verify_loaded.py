"""verify_loaded: the graph that porter runs, against TensorFlow's own loader of the SavedModel that it is from.

porter inlines functions and finds the variables' values alike for the written network and for its reference, so that
an error in this would be the same on both sides. TensorFlow's loader takes the files as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from porter.errors import FormatError, PorterError
from porter.formats.archives import read_inside
from porter.formats.identify import SAVED_MODELS, identify
from porter.formats.roles import SHADOW_SUFFIX
from porter.formats.tensorflow.graphdef import node_of
from porter.formats.tensorflow.source import graph_file
from porter.graph.graph import VARIABLE_OPS, Ref
from porter.graph.rewrite.safety import check_loading
from porter.parity.compare import ErrorAccumulator, Outputs
from porter.runners.runner import of_images
from porter.verbs.graph_values import GraphValues

if TYPE_CHECKING:
    import numpy as np

    from porter.graph.analysis.analysis import Analysis
    from porter.graph.codegen.step import Port, Program
    from porter.runners.saved_model import SavedModelRunner


@dataclass(frozen=True)
class SavedModel:
    """A SavedModel as its folder states it. ``own``: the values that are compared are those that it holds."""

    analysis: Analysis
    own: bool = True


def saved_model_folder(path: Path) -> Path | None:
    """Return the folder of the SavedModel at ``path``, which may be an archive; None for any other file."""
    found = identify(path)
    place = read_inside(found, lambda place: place) if found.kind.holds == "archive" else path
    if place is None or identify(place).kind.holds != "graph":
        return None
    file = graph_file(place)
    return file.parent if file.name in SAVED_MODELS else None


class LoadedCheck:
    """Runs ``saved`` by TensorFlow's own loader on each batch, and compares its outputs with those of the graph.

    ``ends`` are the network's outputs, ``given`` has the sizes of its inputs, and ``softmaxes`` the logits of each
    output that is a softmax. Without ``trust``, nothing is loaded whose ops may do more than compute and restore
    variables.
    """

    def __init__(
        self,
        saved: SavedModel,
        program: Program,
        ends: Mapping[str, Port],
        values: GraphValues,
        given: Mapping[Port, Sequence[int]],
        softmaxes: Mapping[str, str],
        trust: bool,
    ) -> None:
        self.path = saved.analysis.source.path
        self.saved, self.program, self.ends, self.values, self.given = saved, program, ends, values, given
        self.sums = ErrorAccumulator(None, strict=False, softmaxes=softmaxes)
        self.runner: SavedModelRunner | None = None
        self.names = {name: saved.analysis.own_name(port.tensor) for name, port in ends.items()}
        try:
            self.why = _unfit(saved.analysis, program, ends) or self._load(trust)
        except FormatError as error:
            self.why = str(error)

    def _load(self, trust: bool) -> str:
        """Load the SavedModel; return why not, or ""."""
        from porter.runners.decompiled import parts_of
        from porter.runners.saved_model import SavedModelRunner

        saved, values, given = self.saved, self.values, self.given
        source, folder = saved.analysis.source, saved_model_folder(self.path)
        inputs, outputs = _inputs(saved.analysis), _outputs(saved.analysis, self.ends)
        runs = [*map(node_of, outputs.values()), *source.init_ops]
        forbidden = "" if trust else check_loading(source.graph, runs, [source.restore_op])
        if forbidden or folder is None:
            return forbidden or "it is no SavedModel"
        averages = any(key.endswith(SHADOW_SUFFIX) for key in source.keys.values())
        changed = {} if saved.own and averages == (values.average == "ema") else values.variables
        if any(saved.analysis.graph.nodes[name].op not in VARIABLE_OPS for name in changed):
            return "its weights are constants"
        tensors = [inputs[port.tensor] for port in self.program.inputs]
        self.runner = SavedModelRunner(folder, source.tags, tensors, outputs, lambda images: parts_of(images, given))
        self.runner.assign({name: partial(values.load, name) for name in changed})
        return ""

    def add(self, images: np.ndarray, want: Mapping[str, Outputs]) -> None:
        """Run the signature on ``images``; ``want`` are the values that the graph computes from them."""
        if self.runner is None:
            return
        try:
            got = {"float32": of_images(self.runner(images), len(images))}
        except FormatError as error:
            self.why, self.runner = str(error), None
            return
        self.sums.add(got, want)

    def verdict(self) -> str:
        """Return a sentence on what was compared. Raises PorterError, which names the output, where one differs."""
        if self.runner is None:
            return (
                f"TensorFlow's own loader did not run {self.path}, because {self.why}: the reference is the graph as "
                "porter reads it"
            )
        self.runner.close()
        report = self.sums.report()
        row = report.first_beyond
        if row is not None:
            raise PorterError(
                f"{self.path}: TensorFlow's own loader computes another {self.names[row.endpoint]} ({row.endpoint}) "
                f"than the graph as porter reads it, {row.largest:.1e} of the deviation apart: report the SavedModel"
            )
        rounding = max(row.rounding_rms or 0.0 for row in report.rows)
        return f"TensorFlow's own loader computes the same from {self.path}, with {rounding:.2f} times the rounding"


def _unfit(saved: Analysis, program: Program, ends: Mapping[str, Port]) -> str:
    """Return why the network is not what a signature computes, or ""."""
    if saved.signature is None:
        return "it has no signature"
    if any(step.random for step in program.steps):
        return "its dropout never rests"
    if {port.tensor for port in program.inputs} != _inputs(saved).keys():
        return "the network has other inputs than its signature"
    if len(_outputs(saved, ends)) < len(ends):
        return "the network has outputs that its signature lacks"
    return ""


def _inputs(saved: Analysis) -> dict[str, str]:
    """Return the tensors that the signature takes, by their nodes."""
    named = saved.signature.inputs.values() if saved.signature else ()
    return {saved.graph.resolve(tensor).node: tensor for tensor in named}


def _outputs(saved: Analysis, ends: Mapping[str, Port]) -> dict[str, str]:
    """Return the tensors of the signature that are the network's outputs, by the tensors that are compared."""
    named = saved.signature.outputs.values() if saved.signature else ()
    nodes = {saved.graph.resolve(tensor): tensor for tensor in named}
    return {name: nodes[Ref(port.tensor)] for name, port in ends.items() if Ref(port.tensor) in nodes}
