"""Resumable downloads: after a lost connection, a download continues where it stopped."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from porter.errors import PorterError
from porter.files.json import read_json, to_json

_CHUNK = 1 << 16
TRIES = 5
"""Connections tried before the download fails."""
TIMEOUT = (10, 30)
"""Seconds to wait for a connection, and for the next byte."""
Watch = Callable[[Iterator[int], int | None], Iterator[int]]
"""Wraps the arriving chunks to show progress; the second argument is their number, None if unknown."""


def downloader(part: Path, expected: int | None, watch: Watch) -> Callable[[str, str, Any], None]:
    """Return a downloader with pooch's signature ``(url, output_file, pooch)``.

    The file grows in ``part`` until it is complete. ``expected`` is its size in bytes, None if unknown. The downloader
    raises PorterError if the download fails, with the number of bytes that are kept.
    """

    def download(url: str, output_file: str, _pooch: Any) -> None:
        reason = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(min(0.1 * 2**attempt, 2))
            try:
                if _receive(url, part, expected, watch):
                    shutil.move(part, output_file)
                    _tag_of(part).unlink(missing_ok=True)
                    return
                reason = "the connection was lost"
            except requests.ConnectionError:
                reason = "the host does not answer"
                if not part.is_file():
                    break  # it never answered
            except requests.Timeout:
                reason = f"no data for {TIMEOUT[1]} seconds"
            except requests.exceptions.ChunkedEncodingError:
                reason = "the connection was lost"
            except requests.RequestException as error:
                reason = _first_words(error)
                break
        arrived = part.stat().st_size if part.is_file() else 0
        raise PorterError(f"cannot download {url} ({reason}): try again, {arrived:,} bytes are kept")

    return download


def _receive(url: str, part: Path, expected: int | None, watch: Watch) -> bool:
    """Receive once, from the end of ``part``; return whether the file is now complete."""
    begin, headers = _resumption(part)
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # the part is longer than the file: start again
            part.unlink()
            return False
        response.raise_for_status()
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise requests.exceptions.InvalidURL(f"it redirects to the unencrypted address {response.url}")
        if response.status_code != 206:
            begin = 0
        length = response.headers.get("Content-Length")
        total = begin + int(length) if length and length.isdigit() else expected
        if expected is not None and total != expected:
            part.unlink(missing_ok=True)
            raise requests.exceptions.ContentDecodingError(f"it has {total:,} bytes, expected {expected:,}")
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
        _tag_of(part).write_text(to_json(tag), encoding="utf-8")
        with part.open("ab" if begin else "wb") as file:
            count = None if total is None else -(-(total - begin) // _CHUNK)
            for _ in watch(_write(response, file), count):
                pass
    return total is None or part.stat().st_size == total


def _resumption(part: Path) -> tuple[int, dict[str, str]]:
    """Return the byte to continue at, and the headers that request the rest of the same version of the file."""
    headers = {"Accept-Encoding": "identity"}
    try:
        tag = read_json(_tag_of(part))
        begin = part.stat().st_size
    except (OSError, ValueError):
        return 0, headers
    if not tag or not begin:
        return 0, headers
    return begin, headers | {"Range": f"bytes={begin}-", "If-Range": tag}


def _write(response: requests.Response, file: Any) -> Iterator[int]:
    for chunk in response.iter_content(_CHUNK):
        file.write(chunk)
        yield len(chunk)


def _tag_of(part: Path) -> Path:
    """Return the file with the server's version tag of ``part``."""
    return part.with_name(f"{part.name}.tag")


def _first_words(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
