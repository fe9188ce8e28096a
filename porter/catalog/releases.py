"""The released checkpoints of the known models, from released/checkpoints.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache

from porter.errors import PorterError
from porter.files import package_data


@dataclass(frozen=True)
class Source:
    """One archive of a checkpoint: at ``url``, or in the source distribution ``package``.

    ``hash`` is ``"algorithm:hexadecimal digest"``; it and ``bytes`` are None if unpublished. ``ignore`` lists patterns
    of tensors that are not the model's.
    """

    checkpoint: str
    url: str | None = None
    package: str | None = None
    bytes: int | None = None
    hash: str | None = None
    ignore: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The source in words."""
        return self.url or f"the package {self.package}"


@dataclass(frozen=True)
class Release:
    """A model's released checkpoint: published top-1 and top-5 accuracy in per cent, licence, and sources."""

    model: str
    top1: float
    top5: float
    licence: str
    sources: tuple[Source, ...]


@cache
def releases() -> dict[str, Release]:
    """Return all releases by model name."""
    raw = tomllib.loads((package_data.folder("released") / "checkpoints.toml").read_text(encoding="utf-8"))
    return {
        model: Release(
            model,
            record["top1"],
            record["top5"],
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
