"""The SHA-256 of every file that a command reads, compared with those that the caller expects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from porter.errors import PorterError, listing
from porter.formats.checkpoint import Checkpoint
from porter.formats.locate import resolve_path
from porter.formats.open import open_checkpoint

CHUNK = 1 << 20
"""Bytes that are digested at once."""
_HEX = re.compile(r"[0-9a-fA-F]{64}")


class Inputs:
    """The ``files`` that are read, and their SHA-256 in hexadecimal, ``digests``.

    A thread digests them while the caller works on. ``expected`` lists known digests: ``HEX`` for a single file,
    ``NAME=HEX`` for each of several. A file with another digest is refused before anything in it is parsed. Raises
    PorterError.
    """

    def __init__(self, expected: Sequence[str] = ()) -> None:
        self._found: dict[Path, Future[str]] = {}
        self._expected = dict(map(_parsed, expected))
        self._met: set[str] = set()
        if len(self._expected) < len(expected) or ("" in self._expected and len(expected) > 1):
            raise PorterError("`expect_sha256` names a file twice: give HEX once, or NAME=HEX once for each file")

    def add(self, paths: Iterable[Path], compare: bool = True) -> None:
        """Digest each of ``paths`` once; with ``compare``, compare the digests with the expected ones."""
        new: dict[Path, Future[str]] = {path: Future() for path in paths if path not in self._found}
        self._found |= new
        Thread(target=_digest_all, args=(new,), daemon=True).start()  # an error elsewhere does not wait for its end
        if compare and self._expected:
            for path, found in new.items():
                self._compare(path, found.result())

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read."""
        return tuple(self._found)

    @property
    def digests(self) -> dict[Path, str]:
        """The files' SHA-256. Waits until all are known. Raises OSError where one cannot be read."""
        return {path: found.result() for path, found in self._found.items()}

    def open(self, path: str | Path) -> Checkpoint:
        """Add the files of the checkpoint at ``path`` and open it; see porter.formats.open.open_checkpoint."""
        self.add(resolve_path(path).files)
        opened = open_checkpoint(path)
        self.add(opened.files or (opened.path,))
        return opened

    def close(self) -> None:
        """Raise PorterError if a digest was expected for a file that was not read."""
        absent = sorted(self._expected.keys() - self._met)
        if absent:
            names = listing(dict.fromkeys(path.name for path in self._found))
            named = ", ".join(absent).strip() or "a file"
            raise PorterError(
                f"`expect_sha256` is for {named}, which is not read; give it for the files that are{names or ': none'}"
            )

    def _compare(self, path: Path, found: str) -> None:
        name = path.name if path.name in self._expected else ""
        want = self._expected.get(name)
        if want is None or name in self._met:
            raise PorterError(
                f"{path} is read too, but `expect_sha256` lacks its SHA-256: give NAME=HEX for each file, "
                f"{path.name}={found} if you trust it"
            )
        if found != want:
            raise PorterError(
                f"{path} has the SHA-256 {found} instead of the expected {want}: do not trust it, or give "
                "NAME=HEX for each file of a checkpoint of several"
            )
        self._met.add(name)


def _parsed(text: str) -> tuple[str, str]:
    name, _, digits = text.rpartition("=")
    if not _HEX.fullmatch(digits):
        raise PorterError(f"`expect_sha256` must be HEX or NAME=HEX with 64 hexadecimal digits, got {text}")
    return Path(name).name, digits.lower()


def _digest_all(files: Mapping[Path, Future[str]]) -> None:
    for path, found in files.items():
        try:
            found.set_result(digest(path))
        except BaseException as error:
            found.set_exception(error)


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    # hashlib.file_digest takes the interpreter's lock four times as often, which holds up a port's other threads.
    found, buffer = hashlib.sha256(), memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            found.update(buffer[:size])
    return found.hexdigest()
