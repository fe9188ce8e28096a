"""port: a checkpoint's weights under another framework's names and axes, in a file or a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from porter.catalog.models import Arch, find_arch
from porter.errors import MappingError, PorterError
from porter.export.casting import DTYPES
from porter.export.destination import Destination, find_destination
from porter.export.output import Output
from porter.export.provenance import Facts, gather
from porter.files.progress import Track, untracked
from porter.formats.checkpoint import Checkpoint
from porter.formats.identify import identify
from porter.formats.input_digests import Inputs
from porter.formats.open import open_checkpoint
from porter.mapping.description import size_note
from porter.mapping.dialects import ORIGINAL
from porter.mapping.differs import require_same_function, sentences
from porter.mapping.file_dialect import file_dialect
from porter.mapping.follow import following_file
from porter.mapping.head import Head, head_beside
from porter.mapping.stored_names import stored_names
from porter.mapping.table import Table
from porter.mapping.translate import Options, Translation, translate
from porter.runners.tensorflow_settings import before_tensorflow

VERDICT_ROOM = 4096
"""Bytes that a header leaves free for the verdict, which is known only after the file is written."""
DIFFERENCE_ROOM = 64
"""Bytes likewise for the largest difference between raw values and averages, with its name."""

if TYPE_CHECKING:
    from porter.graph.analysis.training import Training
    from porter.parity.result import Verification


@dataclass(frozen=True)
class PortResult:
    """What was ported, and the evidence. True unless parity was checked and failed.

    ``digests`` holds the SHA-256 of the checkpoint's files. ``out`` is the file or folder that was written. It is None
    if the caller named none, and if parity failed, because then porter writes nothing. ``training`` says how a
    checkpoint that is a graph computes as in training.
    """

    model: str
    source: str
    target: str
    checkpoint: Checkpoint
    digests: dict[Path, str]
    translation: Translation
    save_dtype: str | None
    out: Path | None
    verification: Verification | None
    training: Training | None = None

    def __bool__(self) -> bool:
        return _holds(self.verification)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the file leaves open or has otherwise, and libraries that compute another function with the weights."""
        differs = Table.of(find_arch(self.model)).differs
        return (*self.translation.notes, *sentences(differs, self.source, self.target, self.checkpoint.layers))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "ok": bool(self),
            "model": self.model,
            "from": self.source,
            "to": self.target,
            "training": self.training.as_dict() if self.training else None,
            "checkpoint": str(self.checkpoint.path),
            "format": self.checkpoint.format,
            "sha256": {str(path): digest for path, digest in self.digests.items()},
            "prefix": self.translation.prefix,
            "prefixes": self.translation.prefixes,
            "renamed": self.translation.renamed,
            "average": self.translation.average,
            "averaged_only": self.translation.averaged_only,
            "largest_raw_ema_difference": self.translation.ema_difference,
            "tensors": len(self.translation.entries),
            "parameters": self.translation.parameters,
            "num_classes": self.translation.num_classes,
            "in_channels": self.translation.in_channels,
            "head": self.translation.head_note,
            "save_dtype": self.save_dtype,
            "roles": self.translation.roles,
            "ignored": list(self.translation.ignored),
            "left_out": self.translation.left_out,
            "other_scopes": self.translation.other_scopes,
            "notes": list(self.notes),
            "suspicious": list(self.translation.suspicious.values()),
            "out": str(self.out) if self.out else None,
            "verification": None if self.verification is None else self.verification.as_dict(),
        }


@dataclass(frozen=True)
class Plan:
    """A port that is ready to be written: every name and shape fits. Its tensors are read when they are written.

    ``inputs`` are the checkpoint's files. Without ``images``, porter verifies on its sample images.
    """

    arch: Arch
    target: str
    checkpoint: Checkpoint
    inputs: Inputs
    translation: Translation
    options: Options
    facts: Facts
    head: Head
    save_dtype: str | None
    verify: bool
    images: Sequence[str | Path]
    track: Track[Any]

    @property
    def tensors(self) -> Checkpoint:
        """The target's tensors, before ``save_dtype`` rounds them."""
        return self.translation.as_checkpoint(self.checkpoint)

    @property
    def output(self) -> Output:
        """Everything that a writer needs."""
        room = (VERDICT_ROOM if self.verify else 0) + (DIFFERENCE_ROOM if self.translation.differences else 0)
        return Output(self.arch, self.tensors, self.facts, self.save_dtype, room, self.track)


def port(
    model: str,
    source: str | None = None,
    target: str = "torch",
    *,
    checkpoint: str | Path | None = None,
    out: str | Path | None = None,
    average: str = "auto",
    ignore: Sequence[str] = (),
    prefix: str | None = None,
    rename: Mapping[str, str] | None = None,
    backbone: bool = False,
    head: Head | None = None,
    labels: str | Path | None = None,
    aux: bool = False,
    save_dtype: str | None = None,
    verify: bool = False,
    strict_function: bool = False,
    images: Sequence[str | Path] = (),
    expect_sha256: Sequence[str] = (),
    tag: str | None = None,
    track: Track[Any] = untracked,
) -> PortResult:
    """Port ``checkpoint`` of ``model`` from the dialect ``source`` to the dialect ``target`` and write it to ``out``.

    Without ``source``, port recognises the dialect by the file's names. Without ``checkpoint``, port takes the released
    one, and fetches it if the cache lacks it. ``average`` takes the moving averages (``ema``), the trained values
    (``raw``), or the averages where all exist (``auto``). ``ignore`` holds patterns of variables to leave out.
    ``prefix`` stands before the model's names in the file; None finds it. ``rename`` maps a leading scope of these
    names to the model's own. ``backbone`` takes the network's body out of a larger one, such as a detector. ``head``
    keeps, replaces or leaves out the classifier; a backbone has none. ``labels`` is a file that names its classes, see
    porter.files.labels. ``aux`` adds the auxiliary head, which only training uses. ``save_dtype`` rounds the weights to
    ``float16`` or ``bfloat16``. ``expect_sha256`` holds the SHA-256 that the checkpoint's files must have, see
    porter.formats.input_digests. Without ``out``, port reads and checks every tensor all the same, one at a time.
    ``tag`` chooses among the graphs of a SavedModel, whose weights are the same.

    An ``out`` that ends in / or is a folder becomes a model folder: config.json, weights, labels and a model card. The
    digests that porter.verbs.check reads are in a .safetensors file itself, else in ``out``.json or config.json.

    ``verify`` runs the original in TensorFlow and the port on ``images``, and writes ``out`` only if parity holds.
    port verifies the file that it has written. Where ``save_dtype`` rounds it, port verifies the weights before that,
    and checks that the file holds exactly those weights, rounded. ``strict_function`` refuses a dialect whose library
    computes another function with the weights.

    Raises PorterError, and writes no file, if the checkpoint is not the model's.
    """
    arch, head = find_arch(model), head_beside(backbone, head, labels)
    table = Table.of(arch)
    if source is not None:
        table.record(source)
    framework = table.record(target).framework
    _validate(source, checkpoint, head, backbone, aux, save_dtype, verify, images)
    destination = find_destination(out, table.record(target), arch)
    if verify and framework not in (ORIGINAL, *arch.builders):
        raise PorterError(
            f"`verify=True` runs porter's own network, and {arch.name} has none in {framework}: port to "
            f'`target="{next(iter(arch.builders))}"` to verify the values'
        )
    if verify:
        before_tensorflow()
    opened, inputs, ignore = _open(arch, checkpoint, ignore, expect_sha256, track)
    arch = following_file(arch, opened.entries, source)
    table = Table.of(arch)
    training = _training(Path(checkpoint if checkpoint is not None else opened.path), tag)
    if destination:
        destination.refuse_sources(opened.files or (opened.path,))
    source = source or file_dialect(opened, arch)
    if strict_function:
        require_same_function(table.differs, source, target, opened.layers, arch.input_size, opened.path)
    parts = ("aux",) if aux else ()
    options = Options(average, ignore, prefix, not head.is_original, parts, rename or {}, backbone)
    with _training_first(training, opened):
        translation = head.apply(translate(opened, arch, source, target, options), arch, target)
    facts = gather(arch, opened, inputs.files, source, table.record(target), translation, head, save_dtype)
    plan = Plan(arch, target, opened, inputs, translation, options, facts, head, save_dtype, verify, images, track)
    verification = _write(plan, destination) if destination else _read(plan)
    written = destination.path if destination and _holds(verification) else None
    return PortResult(
        arch.name, source, target, opened, inputs.digests, translation, save_dtype, written, verification, training
    )


def _validate(
    source: str | None,
    checkpoint: str | Path | None,
    head: Head,
    backbone: bool,
    aux: bool,
    save_dtype: str | None,
    verify: bool,
    images: Sequence[str | Path],
) -> None:
    """Raise PorterError for arguments that contradict each other or that port does not know."""
    if save_dtype not in (None, *DTYPES):
        raise PorterError(f"unknown `save_dtype` {save_dtype!r}: choose one of {', '.join(DTYPES)}")
    if images and not verify:
        raise PorterError("`images` are for verification: add `verify=True`")
    if checkpoint is None and source not in (None, ORIGINAL):
        raise PorterError(
            f'only TensorFlow\'s released checkpoints are fetched: `source="{source}"` needs a `checkpoint`'
        )
    if aux and head.no_head:
        bare = "backbone" if backbone else "no_head"
        raise PorterError(f"`aux` adds a second classifier and `{bare}` leaves classifiers out: choose one of them")


def _training(path: Path, tag: str | None) -> Training | None:
    """Return how the graph at ``path`` computes as in training; a file of tensors needs no reader of graphs."""
    if tag is None and identify(path).kind.holds != "graph":
        return None
    from porter.graph.analysis.training import training_of

    return training_of(path, tag)


@contextmanager
def _training_first(training: Training | None, checkpoint: Checkpoint) -> Iterator[None]:
    """Say first of a file that does not fit that it is a training graph, which may lack the moving statistics."""
    try:
        yield
    except MappingError as error:
        from porter.formats.tensorflow.frozen import FORMAT

        if not training or checkpoint.format != FORMAT:
            raise
        raise MappingError(
            f"{checkpoint.path} is {training.sentence}, and a frozen one keeps only what its outputs need: port the "
            f"checkpoint that it was frozen from, or {training.remedy}; {error.finding}",
            error.ways,
        ) from None


def _open(
    arch: Arch,
    checkpoint: str | Path | None,
    ignore: Sequence[str],
    expect_sha256: Sequence[str],
    track: Track[Any],
) -> tuple[Checkpoint, Inputs, Sequence[str]]:
    """Open ``checkpoint`` or the released one; return it, its files, and the patterns to ignore."""
    if checkpoint is None:
        from porter.verbs.fetch import fetch

        released = fetch(arch.name, track)
        checkpoint, ignore = released.checkpoint, (*ignore, *released.ignore)
    inputs = Inputs(expect_sha256)
    opened = inputs.open(checkpoint)
    inputs.close()
    opened.require_whole()
    note = size_note(opened.path, arch)
    return replace(opened, notes=(*opened.notes, note)) if note else opened, inputs, ignore


def _write(plan: Plan, destination: Destination) -> Verification | None:
    """Write the port to ``destination``, and commit it only if the file passes its checks. Return its verification."""
    with destination.draft() as draft:
        tensors = draft.write(plan.output)
        written = open_checkpoint(draft.weights)
        if plan.save_dtype:
            _check_rounded(plan, written)
        verification = _verify(plan, plan.tensors if plan.save_dtype else written)
        if _holds(verification):
            labels = plan.head.class_names(plan.arch, plan.translation.num_classes)
            facts = plan.facts.with_reading(plan.inputs.digests, plan.translation.ema_difference)
            draft.commit(facts.with_parity(verification), labels, tensors)
    return verification


def _read(plan: Plan) -> Verification | None:
    """Read and check every tensor as a writer would, and write nothing. Return the verification, if there is one."""
    for name in plan.track(list(plan.tensors), "reading"):
        plan.output.entry(name).load()
    return _verify(plan, plan.tensors)


def _check_rounded(plan: Plan, written: Checkpoint) -> None:
    """Raise PorterError unless the file holds the plan's tensors, rounded, bit for bit."""
    dialect = Table.of(plan.arch).record(plan.target)
    for name, stored_name in stored_names(written.entries, plan.tensors, dialect).items():
        if not np.array_equal(written[stored_name], plan.output.entry(name).load(), equal_nan=True):
            raise PorterError(f"{written.path}: tensor {name} read back differs from what was written: try again")


def _verify(plan: Plan, tensors: Checkpoint) -> Verification | None:
    """Compare a port that has ``tensors`` with the original in TensorFlow; return None unless the plan asks for it."""
    if not plan.verify:
        return None
    from porter.verbs.verify import verify_checkpoint

    ports = {plan.target: tensors}
    found = verify_checkpoint(
        plan.arch,
        plan.checkpoint,
        plan.translation,
        ports,
        plan.images,
        plan.head,
        track=plan.track,
        options=plan.options,
    )
    notes = [found.inputs]
    if plan.save_dtype:
        notes.append(f"weights as they are before {plan.save_dtype}")
    if plan.options.parts and not Table.of(plan.arch).optional:
        notes.append("the auxiliary head was not run, which the original has in training alone")
    return replace(found, digests=plan.inputs.digests, inputs="; ".join(notes))


def _holds(verification: Verification | None) -> bool:
    """Return whether parity holds, or was not checked."""
    return verification is None or bool(verification)
