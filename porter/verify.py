"""verify: does a port compute what the original computes?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from porter.archs import Arch, find_arch
from porter.checkpoint import Checkpoint, open_checkpoint
from porter.compare import Report, compare
from porter.endpoints import runner_of
from porter.errors import PorterError
from porter.head import Head
from porter.layout import relayout
from porter.load import build, require_framework, require_package
from porter.mapping import Table
from porter.pictures import prepare, sample_paths, top_labels
from porter.recorded import Recorded, recorded
from porter.runners import Runner, run_all, softmax
from porter.runners.settings import before_tensorflow
from porter.seed import seeded_entries
from porter.translate import Options, Translation, translate

Labels = list[tuple[str, float]]
Outputs = dict[str, np.ndarray]


@dataclass(frozen=True)
class PictureResult:
    """One picture's likeliest labels, and the largest difference between float32 logits, by framework."""

    picture: str
    reference: Labels
    ports: dict[str, Labels]
    largest_logit_difference: dict[str, float]


@dataclass(frozen=True)
class Verification:
    """What was compared with what, and each framework's verdict; true where parity holds in all."""

    model: str
    reference: str
    inputs: str
    ports: dict[str, Report]
    pictures: tuple[PictureResult, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ports) and all(self.ports.values())

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "ok": bool(self),
            "model": self.model,
            "reference": self.reference,
            "inputs": self.inputs,
            "ports": {framework: report.as_dict() for framework, report in self.ports.items()},
            "pictures": [asdict(picture) for picture in self.pictures],
        }


def verify(
    model: str,
    checkpoint: str | Path | None = None,
    images: Sequence[str | Path] = (),
    frameworks: Sequence[str] = ("torch",),
    weights: str = "auto",
    ignore: Sequence[str] = (),
    prefix: str | None = None,
) -> Verification:
    """Verify the port of ``model`` in each of ``frameworks`` by the two rules of porter.compare.

    Without a ``checkpoint`` the port is filled with the golden's seeded weights and held against what
    the original code computed. With one, TensorFlow runs the original on ``images`` (default: the
    sample pictures): a frozen graph itself, or else the original's recorded graph filled by
    TensorFlow's own reader. Raises PorterError where that cannot be done.
    """
    arch = find_arch(model)
    before_tensorflow()
    if checkpoint is None:
        given = {"--images": images, "--ignore": ignore, "--prefix": prefix, "--weights": weights != "auto"}
        for option in (name for name, value in given.items() if value):
            raise PorterError(f"without a checkpoint the goldens are compared: give --checkpoint to use {option}")
        return verify_golden(arch, frameworks)
    opened = open_checkpoint(checkpoint)
    translations = {f: translate(opened, arch, "tf", f, Options(weights, ignore, prefix)) for f in frameworks}
    ports = {f: translation.as_checkpoint(opened) for f, translation in translations.items()}
    return verify_checkpoint(arch, opened, next(iter(translations.values())), ports, images)


def verify_golden(arch: Arch, frameworks: Sequence[str], golden: Recorded | None = None) -> Verification:
    """Hold ports, filled with seeded weights, against a golden; the model's own unless another is given."""
    from porter.runners.golden import GoldenRunner, golden_pictures

    golden = golden or recorded(arch.name)
    table = Table.load(arch.table)
    reference, pictures = GoldenRunner(golden, table), golden_pictures(golden.input_size)
    want = run_all(reference, pictures)
    seeds = seeded_checkpoint(golden)
    reports = {}
    for framework in frameworks:
        port = translate(seeds, arch, "tf", framework).as_checkpoint(seeds)
        got = _run_port(arch, table, framework, port, pictures)
        probes = {precision: reference.probe(outputs) for precision, outputs in got.items()}
        reports[framework] = compare(probes, want, table.logits)
    return Verification(
        arch.name,
        f"the golden of the original code, {golden.recipe['slim_name']} of TF-Slim",
        f"sample pictures, centre {golden.input_size}x{golden.input_size}, scaled to [-1, 1]; name-seeded weights",
        reports,
    )


def seeded_checkpoint(golden: Recorded) -> Checkpoint:
    """Return the name-seeded weights with which a golden was recorded, as a TensorFlow checkpoint."""
    return Checkpoint(golden.path, "name-seeded weights", seeded_entries(golden))


def verify_checkpoint(
    arch: Arch,
    checkpoint: Checkpoint,
    translation: Translation,
    ports: Mapping[str, Checkpoint],
    images: Sequence[str | Path] = (),
    head: Head | None = None,
) -> Verification:
    """Hold ``ports``, each a framework's tensors, against TensorFlow running the original of ``checkpoint``.

    With another ``head`` than the checkpoint's, what is left of the original's outputs is judged.
    """
    head = head or Head()
    table = Table.load(arch.table)
    paths = [Path(image) for image in images] or sample_paths()
    require_package("tensorflow", "tf")
    for framework in ports:
        require_framework(arch, framework)
    reference, title = _tensorflow(arch, table, checkpoint, translation)
    pictures = prepare(paths, arch.preprocessing, arch.input_size)
    want = {precision: head.of_outputs(outputs, table) for precision, outputs in run_all(reference, pictures).items()}
    judged = table.logits if head.is_original else list(want["float32"])[-1]
    names = head.class_names(arch, want["float32"][judged].shape[-1])
    reports, logits = {}, {}
    for framework, tensors in ports.items():
        got = _run_port(arch, table, framework, tensors, pictures)
        if not head.is_original:
            got = {precision: head.of_outputs(outputs, table) for precision, outputs in got.items()}
        reports[framework] = compare(got, want, judged)
        if head.is_original:
            logits[framework] = got["float32"][table.logits]
    shown = _pictures(paths, names, want["float32"][table.logits], logits) if logits else ()
    inputs = f"{len(paths)} pictures, {arch.preprocessing} preprocessing to {arch.input_size}x{arch.input_size}"
    return Verification(arch.name, title, inputs, reports, tuple(shown))


def _tensorflow(arch: Arch, table: Table, checkpoint: Checkpoint, translation: Translation) -> tuple[Runner, str]:
    """Return the runner of the original, and what it is."""
    from porter.checkpoint import frozen
    from porter.graph.freeze import freeze
    from porter.graph.graphdef import load_graph
    from porter.graph.prune import prune
    from porter.graph.quantized import without_fake_quant
    from porter.runners import tf

    if checkpoint.format == frozen.FORMAT:
        graph, quantized = without_fake_quant(load_graph(checkpoint.path))
        left_out = f" without its {quantized} FakeQuant nodes" if quantized else " itself"
        title = f"TensorFlow {tf.VERSION} running {checkpoint.path.name}{left_out}"
        return tf.TFRunner(graph, table, checkpoint.path, translation.prefix), title
    if checkpoint.opens_as is None:
        raise PorterError(
            f"{checkpoint.path} ({checkpoint.format}) is not a file that TensorFlow opens, and it alone can run the "
            "original: verify against the checkpoint or frozen graph that it was ported from, under its own name"
        )
    golden = recorded(arch.name)
    keys = {name: checkpoint.stored_as.get(taken, taken) for name, taken in translation.taken.items()}
    read = tf.read_variables(checkpoint.opens_as, keys.values())
    values = {
        pair.target: _as_float32(
            checkpoint.path,
            translation.taken[pair.source],
            relayout(read[keys[pair.source]], pair.source_axes, pair.target_axes),
        )
        for pair in table.pairs(translation.source, "tf")
        if pair.source in keys
    }
    head = [pair.target for pair in table.pairs("tf", "tf") if pair.head]
    has_head = all(name in values for name in head)
    classes = values[head[0]].shape[-1] if has_head else 0
    # The recorded graph reshapes its softmax to the recorded number of classes.
    kept = {
        e.name: e.where["tf"]
        for e in table.endpoints
        if (has_head or not e.logits) and (classes == golden.num_classes or not e.softmax)
    }
    graph = prune(load_graph(golden.graph), kept.values())
    runner = tf.TFRunner(freeze(graph, values), table, golden.graph, judged=list(kept)[-1])
    title = f"TensorFlow {tf.VERSION} running the original graph, filled by its own reader of {checkpoint.path.name}"
    return runner, title


def _as_float32(path: Path, name: str, values: np.ndarray) -> np.ndarray:
    """Return a checkpoint's values in the dtype of the recorded graph; raises PorterError where that rounds them."""
    narrow = values.astype(np.float32)
    if not np.array_equal(narrow.astype(values.dtype), values, equal_nan=True):
        raise PorterError(
            f"{path}: {name} holds {values.dtype} values that float32 does not, in which the original graph computes; "
            "port it without --verify, or verify a frozen graph of it"
        )
    return narrow


def _run_port(
    arch: Arch, table: Table, framework: str, tensors: Checkpoint, pictures: np.ndarray
) -> dict[str, Outputs]:
    """Run the port in every precision in which its framework proves anything."""
    return run_all(runner_of(build(arch, framework, tensors, input_size=pictures.shape[1]), table), pictures)


def _pictures(
    paths: Iterable[Path], names: Sequence[str], want: np.ndarray, got: Mapping[str, np.ndarray]
) -> Iterator[PictureResult]:
    for number, path in enumerate(paths):
        yield PictureResult(
            path.name,
            top_labels(softmax(want[number]), names),
            {framework: top_labels(softmax(logits[number]), names) for framework, logits in got.items()},
            {framework: float(np.abs(logits[number] - want[number]).max()) for framework, logits in got.items()},
        )
