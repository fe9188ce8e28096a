"""What a ported file says of itself: where it comes from, what was taken and left out, how it was checked."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from porter.catalog.models import Arch
from porter.files.installed import porter_version
from porter.files.json import to_json
from porter.formats.checkpoint import Checkpoint
from porter.mapping.head import Head
from porter.mapping.translate import Translation


@dataclass(frozen=True)
class Facts:
    """The facts of one port, in the order in which a reader wants them."""

    values: dict[str, Any]

    def as_metadata(self) -> dict[str, str]:
        """Return the facts as strings, which is all that safetensors' metadata takes."""
        return {
            key: value if isinstance(value, str) else to_json(value)
            for key, value in self.values.items()
            if value is not None
        }


def gather(
    arch: Arch,
    checkpoint: Checkpoint,
    digests: Mapping[Path, str],
    source: str,
    target: str,
    translation: Translation,
    head: Head,
    dtype: str | None,
) -> Facts:
    """Return the facts of a port that has not been verified yet; ``digests`` are the SHA-256 of the files read."""
    named = bool(head.class_names(arch, translation.num_classes))
    labels = arch.labels + (" without the background" if head.drop_background else "") if named else None
    return Facts(
        {
            # What transformers and timm look for in a safetensors file of PyTorch's.
            **({"format": "pt"} if target == "torch" else {}),
            "model": arch.name,
            "framework": target,
            "num_classes": translation.num_classes,
            "head": translation.head_note or "the checkpoint's",
            "labels": labels,
            "input_size": [arch.input_size, arch.input_size],
            "preprocessing": arch.preprocessing,
            "dtype": dtype,
            "from": source,
            "source": {path.name: digest for path, digest in digests.items()},
            "source_format": checkpoint.format,
            "average": translation.average,
            "largest_raw_ema_difference": translation.ema_difference,
            "prefix": translation.prefix or None,
            "roles": translation.roles,
            "ignored": list(translation.ignored),
            "left_out": translation.left_out or None,
            "versions": versions(target),
        }
    )


def versions(framework: str) -> dict[str, str]:
    """Return the versions of porter, Python, numpy and, where it is installed, the framework."""
    found = {"python": platform.python_version(), "porter": porter_version()}
    for package in ("numpy", framework):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
