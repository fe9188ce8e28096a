"""Downloads a file so that a cut connection costs nothing: it goes on where it stopped."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import requests

from porter.errors import PorterError

_CHUNK = 1 << 16
TRIES = 5
"""How often a connection that made progress, or none, is made again before we give up."""
TIMEOUT = (10, 30)
"""Seconds to connect, and without a byte."""
Watch = Callable[[Iterator[int], int | None], Iterator[int]]
"""Wraps the chunks that arrive, given their number where it is known, to show progress."""


def downloader(part: Path, expected: int | None, watch: Watch) -> Callable[[str, str, Any], None]:
    """Return a downloader as pooch calls it: ``(url, output_file, pooch)``.

    What has arrived stays in ``part`` until it is whole. ``expected`` is the file's size in bytes, if it is known.
    The downloader raises PorterError where the address cannot be had, and says how far it came.
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
                reason = "the connection was cut"
            except requests.ConnectionError:
                reason = "its host is not reached"
                if not part.is_file():
                    break  # nobody is there at all
            except requests.Timeout:
                reason = f"nothing came for {TIMEOUT[1]} seconds"
            except requests.exceptions.ChunkedEncodingError:
                reason = "the connection was cut"
            except requests.RequestException as error:
                reason = _first_words(error)
                break
        arrived = part.stat().st_size if part.is_file() else 0
        raise PorterError(f"{url} could not be downloaded ({reason}); {arrived:,} bytes are kept for the next try")

    return download


def _receive(url: str, part: Path, expected: int | None, watch: Watch) -> bool:
    """Receive once, from where ``part`` ends, and tell whether the file is whole now."""
    begin, headers = _resumption(part)
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # the part is longer than the file: begin anew
            part.unlink()
            return False
        response.raise_for_status()
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise requests.exceptions.InvalidURL(f"it redirects to the unencrypted {response.url}")
        if response.status_code != 206:
            begin = 0
        length = response.headers.get("Content-Length")
        total = begin + int(length) if length and length.isdigit() else expected
        if expected is not None and total != expected:
            part.unlink(missing_ok=True)
            raise requests.exceptions.ContentDecodingError(f"it has {total:,} bytes instead of {expected:,}")
        tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
        _tag_of(part).write_text(json.dumps(tag))
        with part.open("ab" if begin else "wb") as file:
            count = None if total is None else -(-(total - begin) // _CHUNK)
            for _ in watch(_write(response, file), count):
                pass
    return total is None or part.stat().st_size == total


def _resumption(part: Path) -> tuple[int, dict[str, str]]:
    """Return where to go on, and the headers that ask for the rest of the same version of the file."""
    headers = {"Accept-Encoding": "identity"}
    try:
        tag = json.loads(_tag_of(part).read_text())
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
    """Return the file that keeps the version of ``part``, as the server names it."""
    return part.with_name(f"{part.name}.tag")


def _first_words(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
