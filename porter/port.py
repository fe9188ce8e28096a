"""port: a checkpoint's weights under another framework's names and axes, in a file or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from porter import folder
from porter.archs import find_arch
from porter.casting import DTYPES
from porter.checkpoint import Checkpoint, open_checkpoint
from porter.errors import PorterError
from porter.facts import gather
from porter.fetch import fetch
from porter.head import Head
from porter.kinds import SEPARATORS
from porter.naming import locate
from porter.plain import to_json
from porter.runners.settings import before_tensorflow
from porter.translate import Options, Translation, translate
from porter.verification import Verification
from porter.verify import verify_checkpoint
from porter.writing import Output, Track, add_metadata, discard, replacing, untracked, writer_of

VERDICT_ROOM = 4096
"""Bytes that a header leaves free for the verdict, which is known when the file is written."""


@dataclass(frozen=True)
class PortResult:
    """What was ported, and the evidence; true unless parity was checked and failed.

    ``out`` is None where no file was asked for, or where parity failed: then none was written.
    """

    model: str
    source: str
    target: str
    checkpoint: Checkpoint
    translation: Translation
    dtype: str | None
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
            "prefix": self.translation.prefix,
            "weights": self.translation.weights,
            "averaged_only": self.translation.averaged_only,
            "largest_raw_ema_difference": self.translation.ema_difference,
            "tensors": len(self.translation.entries),
            "parameters": self.translation.parameters,
            "num_classes": self.translation.num_classes,
            "head": self.translation.head_note,
            "dtype": self.dtype,
            "roles": self.translation.roles,
            "ignored": list(self.translation.ignored),
            "odd": list(self.translation.odd.values()),
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
    weights: str = "auto",
    ignore: Sequence[str] = (),
    prefix: str | None = None,
    head: Head | None = None,
    dtype: str | None = None,
    verify: bool = False,
    images: Sequence[str | Path] = (),
    track: Track[Any] = untracked,
) -> PortResult:
    """Port ``checkpoint`` of ``model`` from the dialect ``source`` to ``target`` and write it to ``out``.

    Without ``checkpoint`` it is the released one, fetched if it is not in the cache. ``weights`` is ``auto``,
    ``ema`` or ``raw``; ``ignore`` holds patterns of variables to leave out; ``prefix`` is what stands before the
    model's names, found where it is None; ``dtype`` is ``float16`` or ``bfloat16``. An ``out`` that ends in / or is
    a folder is filled with config.json, weights, labels and a model card.

    With ``verify`` the port is held against TensorFlow, and renamed to ``out`` only where parity holds: the
    written file itself, or, where ``dtype`` rounds it, the weights before that, with the file read back as those
    weights rounded. Raises PorterError, and leaves no
    file, where the checkpoint is not the model's.
    """
    arch = find_arch(model)
    for dialect in (source, target):
        if dialect not in SEPARATORS:
            raise PorterError(f"there is no dialect {dialect!r}: take one of {', '.join(SEPARATORS)}")
    if dtype not in (None, *DTYPES):
        raise PorterError(f"there is no dtype {dtype!r} to write: take one of {', '.join(DTYPES)}")
    if images and not verify:
        raise PorterError("--images are the pictures of --verify: add it")
    if out is not None and not str(out):
        raise PorterError("--out is empty: name a file or a folder")
    if verify:
        before_tensorflow()
    head = head or Head()
    destination = Path(out) if out is not None else None
    into_folder = destination is not None and (str(out).endswith("/") or destination.is_dir())
    write = writer_of(destination, target) if destination and not into_folder else None
    if checkpoint is None:
        if source != "tf":
            raise PorterError(f"only TensorFlow's released checkpoints are fetched: --from {source} needs --checkpoint")
        released = fetch(arch.name, track)
        checkpoint, ignore = released.checkpoint, (*ignore, *released.ignore)
    opened = open_checkpoint(checkpoint)
    if destination and into_folder:
        folder.check(destination, opened.files or (opened.path,))
    options = Options(weights, ignore, prefix, headless=not head.is_original)
    translation = head.apply(translate(opened, arch, source, target, options), arch, target)
    tensors = translation.as_checkpoint(opened)

    def check(written: Checkpoint) -> Verification | None:
        """Verify the written file, or, where it is rounded, that it is what was verified, rounded."""
        if output.dtype:
            for name, stored in locate(written.entries, list(tensors), target, prefix="")[0].items():
                if not np.array_equal(written[stored], output.entry(name).load(), equal_nan=True):
                    raise PorterError(f"{written.path}: {name} was not written as it should be: try again")
        if not verify:
            return None
        judged = tensors if output.dtype else written
        found = verify_checkpoint(arch, opened, translation, {target: judged}, images, head)
        return replace(found, inputs=f"{found.inputs}; weights as they are before {dtype}") if dtype else found

    facts = gather(arch, opened, source, target, translation, head, dtype)
    names = head.class_names(arch, translation.num_classes)
    output = Output(arch, tensors, facts, dtype, names, VERDICT_ROOM if verify else 0, track)
    verification = None
    if destination is None:
        verification = check(tensors) if verify else None
    else:
        with replacing(destination) as temporary:
            if write is not None:
                written = temporary
                write(temporary, output)
            else:
                written = folder.write_weights(temporary, output, target)
            verification = check(open_checkpoint(written))
            if verification and written.suffix == ".safetensors":
                add_metadata(written, "parity", to_json(folder.parity(verification)))
            if write is None:
                folder.write_papers(temporary, output, verification)
            if verify and not verification:
                discard(temporary)
                destination = None
    return PortResult(arch.name, source, target, opened, translation, dtype, destination, verification)
