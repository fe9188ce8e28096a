"""fetch: a model's released checkpoint, downloaded once into a cache."""

from __future__ import annotations

from porter.catalog.cache import Fetched, cache_folder, cached, fetch_from
from porter.catalog.models import find_arch
from porter.catalog.releases import Release, release_of
from porter.errors import PorterError, listing
from porter.files.progress import Track, untracked


def fetch(model: str, track: Track[int] = untracked) -> Fetched:
    """Return the released checkpoint of ``model`` from the cache, downloading it first if necessary.

    Sources are tried in order. If a source has no published digest, its first download pins one. Raises PorterError,
    with an address to download by hand, if no source works.
    """
    name = find_arch(model).name
    found = cached(name)
    if found is not None:
        return found
    release = release_of(name)
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PorterError(f"cannot create {cache} ({error.strerror}): set PORTER_CACHE to another folder") from None
    reasons = []
    for source in release.sources:
        try:
            return fetch_from(source, name, cache, track)
        except PorterError as error:
            reasons.append(str(error))
    raise PorterError(_by_hand(release, reasons))


def _by_hand(release: Release, reasons: list[str]) -> str:
    first = release.sources[0]
    return (
        f"cannot fetch the released checkpoint of {release.model}:{listing(reasons)}\n"
        f"  download {first.where}, unpack it, and set `checkpoint` to {first.checkpoint}"
    )
