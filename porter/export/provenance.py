"""What a ported file states about itself: its source, what was taken and left out, how it was verified."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porter.catalog import families
from porter.catalog.models import Arch
from porter.files import installed
from porter.files.json import to_json
from porter.files.seals import BLANK
from porter.formats.checkpoint import Checkpoint
from porter.mapping.dialects import Dialect
from porter.mapping.differs import exact_settings, sentences
from porter.mapping.head import Head, released_labels
from porter.mapping.table import Table
from porter.mapping.translate import Translation

if TYPE_CHECKING:
    from porter.parity.result import Verification


@dataclass(frozen=True)
class Facts:
    """The facts about one port, in the order that suits a reader."""

    values: dict[str, Any]

    def as_metadata(self) -> dict[str, str]:
        """Return the facts that are known, as strings: safetensors' metadata takes nothing else."""
        return {
            key: value if isinstance(value, str) else to_json(value)
            for key, value in self.values.items()
            if value is not None
        }

    def with_reading(self, digests: Mapping[Path, str], difference: float | None) -> Facts:
        """Return these facts with what is known only when the input is read: see gather."""
        source = {path.name: digest for path, digest in digests.items()}
        return Facts({**self.values, "source": source, "largest_raw_ema_difference": difference})

    def with_parity(self, verification: Verification | None) -> Facts:
        """Return these facts and ``parity``, the verdict of ``verification``; None if the port was not verified."""
        return Facts({**self.values, "parity": None if verification is None else _parity(verification)})


def _parity(verification: Verification) -> dict[str, Any]:
    (report,) = verification.ports.values()
    return {
        "ok": bool(verification),
        "reference": verification.reference,
        "inputs": verification.inputs,
        "verdict": str(report),
    }


def gather(
    arch: Arch,
    checkpoint: Checkpoint,
    files: Iterable[Path],
    source: str,
    dialect: Dialect,
    translation: Translation,
    head: Head,
    dtype: str | None,
) -> Facts:
    """Return the facts about a port before its tensors are read and verified.

    The SHA-256 of each of the input's ``files`` is blank, and the largest difference between raw values and averages
    None: `Facts.with_reading` states both. ``dtype`` is the dtype that the weights are rounded to.
    """
    framework, differs = dialect.framework, Table.of(arch).differs
    named = bool(head.class_names(arch, translation.num_classes))
    without = head.drop_background or len(released_labels(arch)) < len(families.labels(arch.labels))
    released = arch.labels + (" without the background" if without else "")
    labels = None if not named else head.labels.path.name if head.labels else released
    return Facts(
        {
            # transformers and timm expect this in a safetensors file for PyTorch.
            **({"format": "pt"} if framework == "torch" else {}),
            "model": arch.name,
            "framework": framework,
            # Names that are not the framework's own, and so not those of porter's network.
            **({"dialect": dialect.name} if dialect.name != framework else {}),
            "num_classes": translation.num_classes,
            "head": translation.head_note or "the checkpoint's",
            "labels": labels,
            "input_size": [arch.input_size, arch.input_size],
            "in_channels": translation.in_channels,
            "preprocessing": arch.preprocessing,
            "save_dtype": dtype,
            "from": source,
            "source": {path.name: BLANK for path in files},
            "source_format": checkpoint.format,
            "average": translation.average,
            "largest_raw_ema_difference": None,
            "prefix": translation.prefix or None,
            "roles": translation.roles,
            "ignored": list(translation.ignored),
            "notes": list(translation.notes) or None,
            "left_out": translation.left_out or None,
            # Of libraries that compute another function, and the arguments with which the target's is exact.
            "differs": list(sentences(differs, source, dialect.name, checkpoint.layers)) or None,
            "settings": exact_settings(differs, dialect.name) or None,
            "versions": {"python": platform.python_version(), **installed.versions(("porter", "numpy", framework))},
        }
    )
