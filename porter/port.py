"""port: a checkpoint's weights under another framework's names and axes, in a file or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter import folder
from porter.archs import find_arch
from porter.casting import DTYPES
from porter.checkpoint import Checkpoint, open_checkpoint
from porter.errors import PorterError
from porter.facts import gather
from porter.head import Head
from porter.translate import Options, Translation, translate
from porter.verification import Verification
from porter.verify import verify_checkpoint
from porter.writing import Output, Track, discard, replacing, untracked, writer_of


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
            "largest_raw_ema_difference": self.translation.ema_difference,
            "tensors": len(self.translation.entries),
            "parameters": self.translation.parameters,
            "num_classes": self.translation.num_classes,
            "head": self.translation.head_note,
            "dtype": self.dtype,
            "roles": self.translation.roles,
            "ignored": list(self.translation.ignored),
            "out": str(self.out) if self.out else None,
            "verification": self.verification.as_dict() if self.verification else None,
        }


def port(
    model: str,
    source: str = "tf",
    target: str = "torch",
    *,
    checkpoint: str | Path,
    out: str | Path | None = None,
    weights: str = "auto",
    ignore: Sequence[str] = (),
    prefix: str | None = None,
    head: Head | None = None,
    dtype: str | None = None,
    verify: bool = False,
    images: Sequence[str | Path] = (),
    track: Track[str] = untracked,
) -> PortResult:
    """Port ``checkpoint`` of ``model`` from the dialect ``source`` to ``target`` and write it to ``out``.

    ``weights`` is ``auto``, ``ema`` or ``raw``; ``ignore`` holds patterns of variables to leave out; ``prefix`` is
    what stands before the model's names, found where it is None; ``dtype`` is ``float16`` or ``bfloat16``. An
    ``out`` that ends in / or is a folder is filled with config.json, weights, labels and a model card.

    With ``verify`` the port is held against TensorFlow, and renamed to ``out`` only where parity holds: the
    written file itself, or, where ``dtype`` rounds it, the weights before that. Raises PorterError, and leaves no
    file, where the checkpoint is not the model's.
    """
    arch = find_arch(model)
    destination = Path(out) if out is not None else None
    into_folder = destination is not None and (str(out).endswith("/") or destination.is_dir())
    if destination and into_folder:
        folder.check(destination)
    write = writer_of(destination, target) if destination and not into_folder else None
    if images and not verify:
        raise PorterError("--images are the pictures of --verify: add it")
    if dtype not in (None, *DTYPES):
        raise PorterError(f"there is no dtype {dtype!r} to write: take one of {', '.join(DTYPES)}")
    opened = open_checkpoint(checkpoint)
    head = head or Head()
    translation = head.apply(translate(opened, arch, source, target, Options(weights, ignore, prefix)), arch)
    tensors = translation.as_checkpoint(opened)

    def check(port: Checkpoint) -> Verification | None:
        if not verify:
            return None
        return verify_checkpoint(arch, opened, translation, {target: port}, images, head)

    verification = None
    if destination is None:
        verification = check(tensors)
    else:
        facts = gather(arch, opened, source, target, translation, dtype)
        output = Output(arch, tensors, facts, dtype, track)
        with replacing(destination) as temporary:
            if write is not None:
                write(temporary, output)
                verification = check(tensors if dtype else open_checkpoint(temporary))
            else:
                path = folder.write_weights(temporary, output, target)
                verification = check(tensors if dtype else open_checkpoint(path))
                folder.write_papers(temporary, output, verification)
            if verify and not verification:
                discard(temporary)
                destination = None
    return PortResult(arch.name, source, target, opened, translation, dtype, destination, verification)
