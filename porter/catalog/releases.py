"""The released checkpoints of the models that porter knows, as released/checkpoints.toml lists them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache

from porter.errors import PorterError
from porter.files import package_data


@dataclass(frozen=True)
class Source:
    """One archive of a checkpoint: at ``url``, or the source distribution ``package``.

    ``hash`` is ``"algorithm:hexadecimal digest"``; it and ``bytes`` are None where nobody has published them.
    """

    checkpoint: str
    url: str | None = None
    package: str | None = None
    bytes: int | None = None
    hash: str | None = None
    ignore: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The source as a person would write it down."""
        return self.url or f"the package {self.package}"


@dataclass(frozen=True)
class Release:
    """A model's released checkpoint: per cent top-1 and top-5 as published, licence, and where it is."""

    model: str
    top1: float
    top5: float
    licence: str
    sources: tuple[Source, ...]


@cache
def releases() -> dict[str, Release]:
    """Return every release by its model's name."""
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
    """Return the release of ``model``; raises PorterError where its authors released none."""
    if model not in releases():
        raise PorterError(f"no released checkpoint of {model} is known: give your own with --checkpoint")
    return releases()[model]
