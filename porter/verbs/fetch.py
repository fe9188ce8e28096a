"""fetch: a model's released checkpoint, downloaded once and kept in a cache."""

from __future__ import annotations

from porter.catalog.cache import Fetched, cache_folder, cached, fetch_from
from porter.catalog.models import find_arch
from porter.catalog.releases import Release, release_of
from porter.errors import PorterError, listing
from porter.files.progress import Track, untracked


def fetch(model: str, track: Track[int] = untracked) -> Fetched:
    """Return the released checkpoint of ``model`` from the cache, or download it there.

    Sources are tried in their order. A digest that is not published is pinned by the first download. Raises
    PorterError, with the addresses to download by hand, where none can be had.
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
        raise PorterError(f"the cache {cache} cannot be made ({error.strerror}): move it with PORTER_CACHE") from None
    reasons = []
    for source in release.sources:
        try:
            return fetch_from(source, name, cache, track)
        except PorterError as error:
            reasons.append(f"{error}")
    raise PorterError(_by_hand(release, reasons))


def _by_hand(release: Release, reasons: list[str]) -> str:
    first = release.sources[0]
    return (
        f"the released checkpoint of {release.model} could not be fetched:{listing(reasons)}\n"
        f"  download {first.where}, unpack it, and give --checkpoint {first.checkpoint}"
    )
