"""The files that a command reads: the SHA-256 of each, held against those that the caller expects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from porter.errors import PorterError, listing
from porter.formats.checkpoint import Checkpoint
from porter.formats.locate import resolve_path
from porter.formats.open import open_checkpoint

_HEX = re.compile(r"[0-9a-fA-F]{64}")


class Inputs:
    """Files and their SHA-256, ``digests``, in hexadecimal.

    ``expected`` are digests that the caller knows: ``HEX`` of the one file that is read, or ``NAME=HEX`` for each of
    several. Then a file of another digest is refused before anything in it is looked at. Raises PorterError.
    """

    def __init__(self, expected: Sequence[str] = ()) -> None:
        self.digests: dict[Path, str] = {}
        self._expected = dict(map(_parsed, expected))
        self._met: set[str] = set()
        if len(self._expected) < len(expected) or ("" in self._expected and len(expected) > 1):
            raise PorterError("--expect-sha256 names a file twice: give HEX once, or NAME=HEX once for each file")

    def add(self, paths: Iterable[Path], held: bool = True) -> None:
        """Digest the files at ``paths``, once each, and hold them against what is expected unless told not to."""
        for path in paths:
            if path in self.digests:
                continue
            self.digests[path] = digest(path)
            if held and self._expected:
                self._hold(path)

    def open(self, path: str | Path) -> Checkpoint:
        """Add the files of the checkpoint at ``path`` and open it; see porter.formats.open.open_checkpoint."""
        self.add(resolve_path(Path(path)).files)
        opened = open_checkpoint(path)
        self.add(opened.files or (opened.path,))
        return opened

    def close(self) -> None:
        """Raise PorterError where a digest was expected of a file that was not read."""
        absent = sorted(self._expected.keys() - self._met)
        if absent:
            names = listing(dict.fromkeys(path.name for path in self.digests))
            named = ", ".join(absent).strip() or "a file"
            raise PorterError(f"--expect-sha256 is of {named}, which is not read; what is read is{names or ' nothing'}")

    def _hold(self, path: Path) -> None:
        name = path.name if path.name in self._expected else ""
        want = self._expected.get(name)
        if want is None or name in self._met:
            raise PorterError(
                f"{path} is read too, and --expect-sha256 does not say its SHA-256: give it as NAME=HEX for each file, "
                f"as in {path.name}={self.digests[path]} if you trust it"
            )
        if self.digests[path] != want:
            raise PorterError(
                f"{path} has the SHA-256 {self.digests[path]}, not {want} as expected: do not trust it, or name the "
                "file that you mean (NAME=HEX for each of a checkpoint's several)"
            )
        self._met.add(name)


def _parsed(text: str) -> tuple[str, str]:
    name, _, digits = text.rpartition("=")
    if not _HEX.fullmatch(digits):
        raise PorterError(f"--expect-sha256 {text} is no SHA-256: give HEX or NAME=HEX, with 64 hexadecimal digits")
    return Path(name).name, digits.lower()


def digest(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
