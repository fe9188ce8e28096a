"""port: a checkpoint's weights under another framework's names and axes, in a file or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from porter.catalog.models import find_arch
from porter.errors import PorterError
from porter.export import model_folder as folder
from porter.export.casting import DTYPES
from porter.export.provenance import gather
from porter.export.writers import Output, add_metadata, writer_of
from porter.files.atomic import discard, replacing
from porter.files.json import to_json
from porter.files.progress import Track, untracked
from porter.files.seals import record_of, write_record
from porter.formats.checkpoint import Checkpoint
from porter.formats.input_digests import Inputs, digest
from porter.formats.open import open_checkpoint
from porter.mapping.dialects import SEPARATORS
from porter.mapping.head import Head
from porter.mapping.stored_names import resolve_names
from porter.mapping.translate import Options, Translation, translate
from porter.parity.result import Verification
from porter.runners.tensorflow_settings import before_tensorflow
from porter.verbs.fetch import fetch
from porter.verbs.verify import verify_checkpoint

VERDICT_ROOM = 4096
"""Bytes that a header leaves free for the verdict, which is known when the file is written."""


@dataclass(frozen=True)
class PortResult:
    """What was ported, and the evidence; true unless parity was checked and failed.

    ``digests`` are the SHA-256 of the checkpoint's files.
    ``out`` is None where no file was asked for, or where parity failed: then none was written.
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

    def __bool__(self) -> bool:
        return self.verification is None or bool(self.verification)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "ok": bool(self),
            "model": self.model,
            "from": self.source,
            "to": self.target,
            "checkpoint": str(self.checkpoint.path),
            "format": self.checkpoint.format,
            "sha256": {str(path): digest for path, digest in self.digests.items()},
            "prefix": self.translation.prefix,
            "average": self.translation.average,
            "averaged_only": self.translation.averaged_only,
            "largest_raw_ema_difference": self.translation.ema_difference,
            "tensors": len(self.translation.entries),
            "parameters": self.translation.parameters,
            "num_classes": self.translation.num_classes,
            "head": self.translation.head_note,
            "save_dtype": self.save_dtype,
            "roles": self.translation.roles,
            "ignored": list(self.translation.ignored),
            "left_out": self.translation.left_out,
            "suspicious": list(self.translation.suspicious.values()),
            "out": str(self.out) if self.out else None,
            "verification": self.verification.as_dict() if self.verification else None,
        }


def port(
    model: str,
    source: str = "tf",
    target: str = "torch",
    *,
    checkpoint: str | Path | None = None,
    out: str | Path | None = None,
    average: str = "auto",
    ignore: Sequence[str] = (),
    prefix: str | None = None,
    head: Head | None = None,
    aux: bool = False,
    save_dtype: str | None = None,
    verify: bool = False,
    images: Sequence[str | Path] = (),
    expect_sha256: Sequence[str] = (),
    track: Track[Any] = untracked,
) -> PortResult:
    """Port ``checkpoint`` of ``model`` from the dialect ``source`` to ``target`` and write it to ``out``.

    Without ``checkpoint`` it is the released one, fetched if it is not in the cache. ``average`` is ``auto``,
    ``ema`` or ``raw``; ``ignore`` holds patterns of variables to leave out; ``prefix`` is what stands before the
    model's names, found where it is None; ``aux`` takes the auxiliary head along, which only training uses;
    ``save_dtype`` is ``float16`` or ``bfloat16``. An ``out`` that ends in / or is a folder is filled with
    config.json, weights, labels and a model card. The digests by which porter.verbs.check checks what was written
    are in a .safetensors file itself, else in ``out``.json beside it or in config.json. ``expect_sha256`` are the
    SHA-256 that the checkpoint's files must have, see porter.formats.input_digests.

    With ``verify`` the port is held against TensorFlow, and renamed to ``out`` only where parity holds: the
    written file itself, or, where ``save_dtype`` rounds it, the weights before that, with the file read back as those
    weights rounded. Raises PorterError, and leaves no
    file, where the checkpoint is not the model's.
    """
    arch = find_arch(model)
    for dialect in (source, target):
        if dialect not in SEPARATORS:
            raise PorterError(f"there is no dialect {dialect!r}: take one of {', '.join(SEPARATORS)}")
    if save_dtype not in (None, *DTYPES):
        raise PorterError(f"there is no dtype {save_dtype!r} to write: take one of {', '.join(DTYPES)}")
    if images and not verify:
        raise PorterError("--images are the pictures of --verify: add it")
    if out is not None and not str(out):
        raise PorterError("--out is empty: name a file or a folder")
    if verify:
        before_tensorflow()
    head = head or Head()
    destination = Path(out) if out is not None else None
    into_folder = destination is not None and (str(out).endswith("/") or destination.is_dir())
    record = None
    if destination and not into_folder:
        writer_of(destination, target)
        record = record_of(destination)
    if checkpoint is None:
        if source != "tf":
            raise PorterError(f"only TensorFlow's released checkpoints are fetched: --from {source} needs --checkpoint")
        released = fetch(arch.name, track)
        checkpoint, ignore = released.checkpoint, (*ignore, *released.ignore)
    inputs = Inputs(expect_sha256)
    opened = inputs.open(checkpoint)
    inputs.close()
    if destination and into_folder:
        folder.check(destination, opened.files or (opened.path,))
    if aux and head.none:
        raise PorterError("--aux is a second classifier and --no-head leaves classifiers out: take one of them")
    options = Options(average, ignore, prefix, headless=not head.is_original, parts=("aux",) if aux else ())
    translation = head.apply(translate(opened, arch, source, target, options), arch, target)
    tensors = translation.as_checkpoint(opened)

    def check(written: Checkpoint) -> Verification | None:
        """Verify the written file, or, where it is rounded, that it is what was verified, rounded."""
        if output.dtype:
            for name, stored in resolve_names(written.entries, list(tensors), target, prefix="")[0].items():
                if not np.array_equal(written[stored], output.entry(name).load(), equal_nan=True):
                    raise PorterError(f"{written.path}: {name} was not written as it should be: try again")
        if not verify:
            return None
        judged = tensors if output.dtype else written
        found = verify_checkpoint(arch, opened, translation, {target: judged}, images, head, track=track)
        notes = [f"weights as they are before {save_dtype}"] if output.dtype else []
        notes += ["the auxiliary head was not run, which the original has in training alone"] if aux else []
        return replace(found, digests=inputs.digests, inputs="; ".join([found.inputs, *notes]))

    facts = gather(arch, opened, inputs.digests, source, target, translation, head, save_dtype)
    names = head.class_names(arch, translation.num_classes)
    output = Output(arch, tensors, facts, save_dtype, names, VERDICT_ROOM if verify else 0, track)
    verification = None
    if destination is None:
        verification = check(tensors) if verify else None
    else:
        with ExitStack() as stack:
            # A record is renamed after its file, and an older one removed before that: it is never another file's.
            new_record = stack.enter_context(replacing(record)) if record else None
            temporary = stack.enter_context(replacing(destination))
            if into_folder:
                temporary.mkdir()
            written = temporary / folder.WEIGHTS[target] if into_folder else temporary
            digests = writer_of(written, target)(written, output)
            verification = check(open_checkpoint(written))
            said = {**facts.values, "parity": folder.parity(verification) if verification is not None else None}
            if written.suffix == ".safetensors":
                digests = {}  # it holds them itself
                if verification:
                    add_metadata(written, {"parity": to_json(said["parity"])})
            if into_folder:
                folder.write_papers(temporary, said, names, digests)
            if new_record:
                write_record(new_record, said, {destination.name: digest(written)}, digests)
            if verify and not verification:
                discard(temporary)
                if new_record:
                    discard(new_record)
                destination = None
            elif record:
                record.unlink(missing_ok=True)
    return PortResult(
        arch.name, source, target, opened, inputs.digests, translation, save_dtype, destination, verification
    )
