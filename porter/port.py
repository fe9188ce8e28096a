"""port: a checkpoint's weights under another framework's names and axes, in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from porter.archs import Arch, find_arch
from porter.checkpoint import Checkpoint, open_checkpoint
from porter.errors import PorterError
from porter.translate import Translation, translate
from porter.verify import Verification, verify_checkpoint
from porter.writing import Track, replacing, untracked, writer_of


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
            "weights": self.translation.weights,
            "largest_raw_ema_difference": self.translation.ema_difference,
            "tensors": len(self.translation.entries),
            "parameters": self.translation.parameters,
            "num_classes": self.translation.num_classes,
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
    verify: bool = False,
    images: Sequence[str | Path] = (),
    track: Track[str] = untracked,
) -> PortResult:
    """Port ``checkpoint`` of ``model`` from the dialect ``source`` to ``target`` and write it to ``out``.

    ``weights`` is ``auto``, ``ema`` or ``raw``; ``ignore`` holds patterns of variables to leave out. With
    ``verify`` the file is read back and held against TensorFlow, and renamed to ``out`` only where
    parity holds. Raises PorterError, and leaves no file, where the checkpoint is not the model's.
    """
    arch = find_arch(model)
    destination = Path(out) if out is not None else None
    write = writer_of(destination) if destination else None
    if images and not verify:
        raise PorterError("--images are the pictures of --verify: add it")
    opened = open_checkpoint(checkpoint)
    translation = translate(opened, arch, source, target, weights, ignore)
    verification = None
    if destination and write:
        with replacing(destination) as temporary:
            write(temporary, translation.entries, _metadata(arch, opened, source, target, translation), track)
            if verify:
                written = open_checkpoint(temporary)
                verification = verify_checkpoint(arch, target, opened, translation, written, images)
                if not verification:
                    temporary.unlink()
                    destination = None
    elif verify:
        unwritten = Checkpoint(opened.path, "translation", translation.entries)
        verification = verify_checkpoint(arch, target, opened, translation, unwritten, images)
    return PortResult(arch.name, source, target, opened, translation, destination, verification)


def _metadata(arch: Arch, checkpoint: Checkpoint, source: str, target: str, translation: Translation) -> dict[str, str]:
    """Return what a file says of itself. ``format: pt`` is what transformers and timm look for."""
    return {
        **({"format": "pt"} if target == "torch" else {}),
        "porter": version("porter"),
        "model": arch.name,
        "from": source,
        "source": checkpoint.path.name,
        "weights": translation.weights,
        "num_classes": str(translation.num_classes),
    }
