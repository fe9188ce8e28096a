"""verify: does a port compute what the original computes?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from porter import data
from porter.archs import Arch, find_arch
from porter.checkpoint import Checkpoint, Entry, open_checkpoint
from porter.compare import Report, compare
from porter.errors import PorterError
from porter.load import build, require_package
from porter.mapping import Table
from porter.pictures import prepare, sample_paths, top_labels
from porter.recorded import Recorded, recorded
from porter.runners import Runner, both_precisions, softmax
from porter.translate import Translation, translate
from porter.weights import seeded


@dataclass(frozen=True)
class PictureResult:
    """One picture's likeliest labels on both sides, and the largest difference between its float32 logits."""

    picture: str
    reference: list[tuple[str, float]]
    port: list[tuple[str, float]]
    largest_logit_difference: float


@dataclass(frozen=True)
class Verification:
    """What was compared with what, and the verdict; true where parity holds."""

    model: str
    framework: str
    reference: str
    inputs: str
    report: Report
    pictures: tuple[PictureResult, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.report)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "model": self.model,
            "framework": self.framework,
            "reference": self.reference,
            "inputs": self.inputs,
            **self.report.as_dict(),
            "pictures": [asdict(picture) for picture in self.pictures],
        }


def verify(
    model: str,
    checkpoint: str | Path | None = None,
    images: Sequence[str | Path] = (),
    framework: str = "torch",
    weights: str = "auto",
    ignore: Sequence[str] = (),
) -> Verification:
    """Verify the port of ``model`` in ``framework`` by the two rules of porter.compare.

    Without a ``checkpoint`` the port is filled with the golden's seeded weights and held against what
    the original code computed. With one, TensorFlow runs the original on ``images`` (default: the
    sample pictures): a frozen graph itself, or else the original's recorded graph filled by
    TensorFlow's own reader. Raises PorterError where that cannot be done.
    """
    arch = find_arch(model)
    if checkpoint is None:
        if images:
            raise PorterError("the goldens hold the sample pictures' values only: give --checkpoint to use --images")
        return verify_golden(arch, framework)
    opened = open_checkpoint(checkpoint)
    translation = translate(opened, arch, "tf", framework, weights, ignore)
    port = Checkpoint(opened.path, "translation", translation.entries)
    return verify_checkpoint(arch, framework, opened, translation, port, images)


def verify_golden(arch: Arch, framework: str, golden: Recorded | None = None) -> Verification:
    """Hold the port, filled with seeded weights, against a golden; the model's own unless another is given."""
    from porter.runners.golden import GoldenRunner, golden_pictures

    golden = golden or recorded(arch.name)
    table = Table.load(arch.table)
    translation = translate(seeded_checkpoint(golden), arch, "tf", framework)
    port = _port_runner(arch, table, framework, Checkpoint(golden.path, "seeded", translation.entries))
    reference = GoldenRunner(golden, table)
    pictures = golden_pictures(golden.input_size)
    got = {precision: reference.probe(run) for precision, run in both_precisions(port, pictures).items()}
    return Verification(
        arch.name,
        framework,
        f"the golden of the original code, {golden.recipe['slim_name']} of TF-Slim",
        f"sample pictures, centre {golden.input_size}x{golden.input_size}, scaled to [-1, 1]; name-seeded weights",
        compare(got, both_precisions(reference, pictures), table.logits),
    )


def seeded_checkpoint(golden: Recorded) -> Checkpoint:
    """Return the name-seeded weights with which a golden was recorded, as a TensorFlow checkpoint."""

    def entry(name: str, shape: tuple[int, ...]) -> Entry:
        salt, gain = golden.recipe["salt"], golden.recipe["gain"]
        return Entry(shape, np.dtype(np.float32), lambda: seeded(name, shape, salt, gain))

    entries = {name: entry(name, shape) for name, shape in golden.variables.items()}
    return Checkpoint(golden.path, "name-seeded weights", entries)


def verify_checkpoint(
    arch: Arch,
    framework: str,
    checkpoint: Checkpoint,
    translation: Translation,
    port: Checkpoint,
    images: Sequence[str | Path] = (),
) -> Verification:
    """Hold ``port``'s tensors, run in ``framework``, against TensorFlow running the original of ``checkpoint``."""
    table = Table.load(arch.table)
    paths = [Path(image) for image in images] or sample_paths()
    require_package("tensorflow", "tf")
    reference, title = _tensorflow(arch, table, checkpoint, translation)
    pictures = prepare(paths, arch.preprocessing, arch.input_size)
    got = both_precisions(_port_runner(arch, table, framework, port), pictures)
    want = both_precisions(reference, pictures)
    return Verification(
        arch.name,
        framework,
        title,
        f"{len(paths)} pictures, {arch.preprocessing} preprocessing to {arch.input_size}x{arch.input_size}",
        compare(got, want, table.logits),
        tuple(_picture_results(arch, table, paths, got["float32"], want["float32"])),
    )


def _tensorflow(arch: Arch, table: Table, checkpoint: Checkpoint, translation: Translation) -> tuple[Runner, str]:
    """Return the runner of the original, and what it is."""
    from porter.checkpoint import bundle, frozen
    from porter.graph.freeze import freeze
    from porter.graph.graphdef import load_graph
    from porter.graph.prune import prune
    from porter.runners import tf

    if checkpoint.format == frozen.FORMAT:
        title = f"TensorFlow {tf.VERSION} running {checkpoint.path.name} itself"
        return tf.TFRunner(load_graph(checkpoint.path), table, checkpoint.path), title
    if checkpoint.format != bundle.FORMAT:
        raise PorterError(
            f"{checkpoint.path} ({checkpoint.format}) is not TensorFlow's, which alone can run the original: "
            "verify against the checkpoint or frozen graph that it was ported from"
        )
    golden = recorded(arch.name)
    read = tf.read_variables(checkpoint.path, translation.taken.values())
    values = {name: read[taken] for name, taken in translation.taken.items()}
    graph = load_graph(golden.graph)
    # The recorded graph reshapes its softmax to the recorded number of classes.
    kept = [e.where["tf"] for e in table.endpoints if translation.num_classes == golden.num_classes or not e.softmax]
    runner = tf.TFRunner(freeze(prune(graph, kept), values), table, golden.graph)
    title = f"TensorFlow {tf.VERSION} running the original graph, filled by its own reader of {checkpoint.path.name}"
    return runner, title


def _port_runner(arch: Arch, table: Table, framework: str, tensors: Checkpoint) -> Runner:
    network = build(arch, framework, tensors)
    runner: Runner = getattr(import_module(f"porter.runners.{framework}"), f"{framework}_runner")(network, table)
    return runner


def _picture_results(
    arch: Arch,
    table: Table,
    paths: Iterable[Path],
    got: Mapping[str, np.ndarray],
    want: Mapping[str, np.ndarray],
) -> Iterable[PictureResult]:
    names = data.labels(arch.labels)
    for path, ours, theirs in zip(paths, got[table.logits], want[table.logits], strict=True):
        yield PictureResult(
            path.name,
            top_labels(softmax(theirs), names),
            top_labels(softmax(ours), names),
            float(np.abs(ours - theirs).max()),
        )
