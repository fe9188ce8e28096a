"""decompile: a TensorFlow graph as PyTorch source, with its weights and the proof that both compute the same."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter.errors import CodeError, PorterError
from porter.export import written_network as folder
from porter.files import installed
from porter.files.atomic import discard, replacing
from porter.files.installed import require_package
from porter.files.progress import Track, untracked
from porter.formats.input_digests import Inputs
from porter.graph.codegen.network import WEIGHTS
from porter.mapping.averages import check_average
from porter.mapping.written_table import written_table
from porter.parity.compare import Report
from porter.runners.tensorflow_settings import before_tensorflow
from porter.verbs.cut_graph import cut_graph
from porter.verbs.graph_values import GraphValues, graph_values
from porter.verbs.inspect import open_graph
from porter.verbs.inspect_graph import known_network
from porter.verbs.inspection import Recognised
from porter.verbs.verify_loaded import SavedModel, saved_model_folder

if TYPE_CHECKING:
    from porter.graph.analysis.analysis import Analysis
    from porter.graph.codegen.network import Network
    from porter.graph.codegen.step import Problem, Program, Step


DROPOUT = ("keep", "drop")
"""The ways to write dropout that the graph keeps running in inference."""


@dataclass(frozen=True)
class Decompiled:
    """A written network, or the plan of one. True unless ops lack a translation or parity fails.

    ``problems`` are the nodes without a translation; then there is no ``network``. ``known`` is set if porter has this
    network under a name. ``out`` is the folder, None if nothing was written. ``report`` is the verdict.
    """

    path: Path
    problems: tuple[Problem, ...]
    network: Network | None
    known: Recognised | None
    notes: tuple[str, ...] = ()
    report: Report | None = None
    out: Path | None = None
    average: str = ""
    digests: Mapping[Path, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return not self.problems and (self.report is None or bool(self.report))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "ok": bool(self),
            "graph": str(self.path),
            "problems": [
                {
                    "node": each.node,
                    "op": each.op,
                    "shapes": [list(s) if s else None for s in each.shapes],
                    "why": each.why,
                }
                for each in self.problems
            ],
            "known": None if self.known is None else {"sentence": self.known.sentence, "command": self.known.command},
            "network": self.network.name if self.network else None,
            "lines": self.network.lines if self.network else None,
            "notes": list(self.notes),
            "average": self.average or None,
            "verification": self.report.as_dict() if self.report else None,
            "sha256": {str(path): digest for path, digest in self.digests.items()},
            "out": str(self.out) if self.out else None,
        }


def decompile(
    graph: str | Path,
    target: str = "torch",
    *,
    out: str | Path | None = None,
    checkpoint: str | Path | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    anyway: bool = False,
    dropout: str = "keep",
    average: str = "auto",
    size: int | None = None,
    tag: str | None = None,
    trust_graph: bool = False,
    track: Track[Any] = untracked,
) -> Decompiled:
    """Write the network in ``graph`` as PyTorch source to the folder ``out``; without ``out``, return the plan.

    ``graph`` is any graph that porter reads. ``checkpoint`` has the values of its variables; a frozen graph and a
    SavedModel bring their own. ``inputs`` and ``outputs`` name nodes between which the network lies. ``average`` is as
    in porter.verbs.port. ``size`` is the height and width of the images, in pixels, where the graph leaves them open.
    ``tag`` chooses among a SavedModel's graphs. ``anyway`` writes a network that porter knows. ``trust_graph`` lets
    TensorFlow run ops that do more than compute. Where the graph keeps dropout running in inference, ``dropout`` is
    ``"keep"``, which runs it in PyTorch's eval mode too, or ``"drop"``, which writes nn.Dropout.

    The source is run beside TensorFlow, on pictures and noise and in both precisions, before ``out`` exists. Dropout
    rests on both sides. TensorFlow's own loader runs a SavedModel on the same images, and must agree with the graph.
    If parity fails, nothing is written. Raises PorterError, FormatError.
    """
    if target != "torch":
        raise PorterError(f'decompile writes PyTorch alone, not {target}: take `target="torch"`')
    check_average(average)
    if dropout not in DROPOUT:
        raise PorterError(f"`dropout` must be one of {', '.join(DROPOUT)}, not {dropout}")
    path = Path(graph)
    place = None if out is None else folder.require_folder(out)
    if place is not None:
        require_package("torch", "torch")
        require_package("tensorflow", "tf")
        before_tensorflow()
    whole = open_graph(path, size, tag=tag)
    if whole.source.translated:
        raise PorterError(
            f"{path} is a {whole.source.format}, which has no graph that TensorFlow runs and so no proof of the "
            "source: give the frozen graph or SavedModel that it was made from"
        )
    analysis = cut_graph(_plain(whole), inputs, outputs)
    known = known_network(analysis)
    keeps = dropout == DROPOUT[0]
    program, network = written_network(analysis, _stem(analysis), keeps)
    notes = tuple(_notes(program))
    if place is None or network is None:
        return Decompiled(path, tuple(program.problems), network, known, notes)
    if known is not None and known.command is not None and not anyway:
        raise PorterError(
            f"{path} is a network that porter has: run `{known.command}`, or set `anyway` to write it as new source"
        )
    read = Inputs(())
    values = graph_values(analysis, network, checkpoint, average, read)
    saved = SavedModel(whole, checkpoint is None) if saved_model_folder(path) else None
    report = _write(place, analysis, program, network, values, notes, dropout, trust_graph, read.digests, track, saved)
    written = place if report else None
    return Decompiled(path, (), network, known, notes, report, written, values.average, read.digests)


def _stem(analysis: Analysis) -> str:
    """Return the name of a network whose scopes have none: that of its file."""
    return analysis.source.path.name.partition(".")[0]


def _plain(analysis: Analysis) -> Analysis:
    """Return the analysis of the graph with the ops that its fused ones stand for."""
    from porter.graph.rewrite.unfuse import fused, unfuse

    source = analysis.source
    return replace(analysis, source=replace(source, graph=unfuse(source.graph))) if fused(source.graph) else analysis


def written_network(analysis: Analysis, name: str, keeps_dropout: bool = True) -> tuple[Program, Network | None]:
    """Return the steps of a graph's network and, if each op has a translation, its source.

    ``name`` is the network's where its scopes have none. ``keeps_dropout`` is as in porter.graph.codegen.lower.
    """
    from porter.graph.codegen.lower import lower
    from porter.graph.codegen.network import write_network

    program = lower(analysis, keeps_dropout=keeps_dropout)
    if program.problems:
        return program, None
    if not program.steps or not program.outputs:
        raise PorterError(f"{analysis.source.path} computes nothing from its inputs: name an output by `outputs`")
    try:
        network = write_network(program, analysis, name, "A network that porter wrote from a TensorFlow graph.")
    except (LookupError, ValueError, TypeError, StopIteration, AssertionError, RecursionError) as error:
        raise PorterError(
            f"{analysis.source.path}: porter cannot put this network into classes ({type(error).__name__}): report the "
            "graph, or write a part of it by `inputs` and `outputs`"
        ) from error
    return program, network


def _notes(program: Program) -> list[str]:
    """Return sentences, without full stops, on what the graph computes in inference that one may not expect."""
    from porter.graph.codegen.idioms import RUNNING_DROPOUT

    notes = []
    random = [step for step in program.steps if step.random]
    if random:
        kept = all(step.module == RUNNING_DROPOUT for step in random)
        does = "model.py runs it in eval mode too" if kept else "model.py runs it in train mode alone"
        notes.append(f"The graph keeps dropout running in inference ({_some(random)}), and {does}")
    open_rate = [step for step in program.steps if step.masked and not step.random]
    if open_rate:
        notes.append(f"The rate of dropout is an input of the graph ({_some(open_rate)}); in model.py it is 0.5")
    return notes


def _some(steps: Sequence[Step]) -> str:
    more = f" and {len(steps) - 1} more" if len(steps) > 1 else ""
    return f"{steps[0].node}{more}"


def _write(
    place: Path,
    analysis: Analysis,
    program: Program,
    network: Network,
    values: GraphValues,
    notes: Sequence[str],
    dropout: str,
    trust: bool,
    digests: Mapping[Path, str],
    track: Track[Any],
    saved: SavedModel | None,
) -> Report:
    """Write the folder beside ``place``, verify it, and give it its name only if parity holds."""
    from porter.verbs.verify_written import verify_written

    with replacing(place) as draft:
        draft.mkdir()
        (draft / folder.SOURCE).write_text(network.source, encoding="utf-8")
        stated = {"model": network.name, "framework": "torch", "versions": _versions()}
        folder.write_state(draft / WEIGHTS, folder.network_state(network, values.load), stated)
        table, unfit = written_table(network, values.variables, analysis.source.path.name)
        (draft / folder.TABLE).write_text(table, encoding="utf-8")
        folder.write_graph(draft / folder.GRAPH, values.pruned, values.variables)
        try:
            report, inputs = verify_written(
                draft / folder.SOURCE, program, network, values, analysis, trust, track, saved
            )
        except CodeError as error:
            raise PorterError(
                f"{analysis.source.path}: {error}, though porter wrote it: report the graph, or write a part of it by "
                "`inputs` and `outputs`"
            ) from error
        if report:
            missing = [f"mapping.toml lacks {name}, which no other checkpoint replaces" for name in unfit]
            facts = _facts(network, values, [*notes, *missing, *report.notes], digests, report, inputs)
            facts |= {"stem": _stem(analysis), "outputs": list(analysis.paths.outputs)}
            facts |= {"unmapped": unfit} if unfit else {}
            facts |= {"size": analysis.size, "dropout": dropout}
            folder.write_record_and_card(draft, facts)
        else:
            discard(draft)
    return report


def _facts(
    network: Network,
    values: GraphValues,
    notes: Sequence[str],
    digests: Mapping[Path, str],
    report: Report,
    inputs: str,
) -> dict[str, Any]:
    from porter.runners.tensorflow import VERSION

    return {
        "model": network.name,
        "framework": "torch",
        "decompiled": True,
        "lines": network.lines,
        "source": {path.name: digest for path, digest in digests.items()},
        "average": values.average,
        "notes": list(notes),
        "parity": {
            "ok": bool(report),
            "reference": f"TensorFlow {VERSION} running the graph",
            "inputs": inputs,
            "verdict": str(report),
        },
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **installed.versions(("porter", "numpy", "torch"))}
