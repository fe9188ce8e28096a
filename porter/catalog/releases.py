"""The released checkpoints of the known models, from released/checkpoints.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from porter.errors import PorterError
from porter.files import package_data


@dataclass(frozen=True)
class Source:
    """One archive of a checkpoint: at ``url``, or in the source distribution ``package``.

    ``checkpoint`` is a prefix of file names, behind their folder where the archive has several checkpoints. ``hash`` is
    ``"algorithm:hexadecimal digest"``; it and ``bytes`` are None if unpublished. ``ignore`` lists patterns
    of tensors that are not the model's.
    """

    checkpoint: str
    url: str | None = None
    package: str | None = None
    bytes: int | None = None
    hash: str | None = None
    ignore: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """The checkpoint's name outside of the archive, where it has no folder."""
        return PurePosixPath(self.checkpoint).name

    @property
    def where(self) -> str:
        """The source in words."""
        return self.url or f"the package {self.package}"


@dataclass(frozen=True)
class Release:
    """A model's released checkpoint: published top-1 and top-5 accuracy in per cent, licence, and sources.

    An accuracy that its authors did not publish is None.
    """

    model: str
    top1: float | None
    top5: float | None
    licence: str
    sources: tuple[Source, ...]


@cache
def releases() -> dict[str, Release]:
    """Return all releases by model name."""
    raw = tomllib.loads((package_data.folder("released") / "checkpoints.toml").read_text(encoding="utf-8"))
    return {
        model: Release(
            model,
            record.get("top1"),
            record.get("top5"),
            record["licence"],
            tuple(Source(**source | {"ignore": tuple(source.get("ignore", ()))}) for source in record["sources"]),
        )
        for model, record in raw.items()
    }


def release_of(model: str) -> Release:
    """Return the release of ``model``. Raises PorterError if its authors published no checkpoint."""
    if model not in releases():
        raise PorterError(f"{model} has no released checkpoint: name your own with `checkpoint`")
    return releases()[model]
