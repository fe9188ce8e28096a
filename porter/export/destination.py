"""Destinations: where a port is written, which record goes with it, and how it is committed or discarded.

A destination is a file or several under one name, with a record beside them where the format has no place for facts and
digests, or a model folder.
Both offer the same three steps: ``refuse_sources`` before the work, ``draft`` to write to, and ``Draft.commit``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from porter.catalog.models import Arch
from porter.errors import PorterError, listing
from porter.export import model_folder
from porter.export.output import Output
from porter.export.provenance import Facts
from porter.export.writers import Format, find_format
from porter.files.atomic import creating, discard, refuse_other, replacing
from porter.files.json import to_json
from porter.files.seals import TENSORS, is_ours, record_beside, write_record
from porter.formats.identify import RECORD_NAMES
from porter.formats.input_digests import digest
from porter.mapping.dialects import Dialect

Complete = Callable[[Facts, Sequence[str], Mapping[str, str]], None]
"""Writes what goes with the weights: the facts, the classes' labels, the SHA-256 of tensors that no file states."""


@dataclass
class Draft:
    """A port under a temporary name; it gets its own name only if it is committed."""

    weights: Path
    format: Format
    complete: Complete
    settle: Callable[[], None] = lambda: None
    committed: bool = False

    def write(self, output: Output) -> dict[str, str]:
        """Write the weights, and return each tensor's SHA-256. Raises PorterError if they cannot get their names."""
        tensors = self.format.write(self.weights, output)
        self.settle()
        return tensors

    def commit(self, facts: Facts, labels: Sequence[str], tensors: Mapping[str, str]) -> None:
        """Write all that goes with the weights; the output is renamed when the ``with`` of the draft ends."""
        if self.format.add_facts:
            self.format.add_facts(self.weights, {**facts.as_metadata(), TENSORS: to_json(tensors)})
            tensors = {}  # the weights' file states them itself
        self.complete(facts, labels, tensors)
        self.committed = True


class Destination(ABC):
    """A place for a port. ``path`` is the file or folder that a commit creates or replaces."""

    path: Path
    format: Format

    @abstractmethod
    def refuse_sources(self, sources: Iterable[Path]) -> None:
        """Raise PorterError if a commit would remove one of ``sources``, the files of the checkpoint."""

    @abstractmethod
    def _open(self, stack: ExitStack) -> tuple[Draft, list[Path]]:
        """Return a draft and its temporary files and folders, which the end of ``stack`` renames if they exist."""

    @contextmanager
    def draft(self) -> Iterator[Draft]:
        """Yield a draft. When the ``with`` ends, a committed draft takes the place of ``path``, in one step.

        Any other draft is removed, and ``path`` keeps its older contents. Raises PorterError if writing fails.
        """
        with ExitStack() as stack:
            draft, temporaries = self._open(stack)
            yield draft
            if not draft.committed:
                for temporary in temporaries:
                    discard(temporary)


def find_destination(out: str | Path | None, dialect: Dialect, arch: Arch) -> Destination | None:
    """Return where ``out`` puts a port of ``arch``: in a folder if it ends in / or is one, else a file; None for None.

    Raises PorterError if ``dialect`` has no format of that suffix or no such folder, or something other than porter's
    is in the way.
    """
    if out is None:
        return None
    if not str(out):
        raise PorterError("`out` is empty: name a file or a folder")
    path = Path(out)
    into_folder = str(out).endswith("/") or path.is_dir()
    destination = FolderDestination(path, dialect, arch) if into_folder else FileDestination(path, dialect)
    if not path.absolute().parent.is_dir():
        raise PorterError(f"`out` {out}: the folder {path.parent} does not exist: make it first")
    return destination


class FileDestination(Destination):
    """One file or several under one name, with a record beside them where their format needs one."""

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self.path = path
        self.format = find_format(path, dialect)
        self.files = self.format.files(path)
        self.record = None if self.format.add_facts else record_beside(path)
        if self.record and self.record.exists() and not is_ours(self.record):
            raise PorterError(
                f"{path} would keep its digests in {self.record.name}, another program's file: give another `out`"
            )

    def refuse_sources(self, sources: Iterable[Path]) -> None:
        """Refuse nothing: a source at ``path`` is read before the commit replaces it."""

    def _open(self, stack: ExitStack) -> tuple[Draft, list[Path]]:
        if self.record is None:
            file = stack.enter_context(replacing(self.path))
            return Draft(file, self.format, lambda *_: None), [file]
        # A record never belongs to another file: the older one goes first, and the stack renames in reverse order.
        older, record = self.record, stack.enter_context(replacing(self.record))
        files = self._temporaries(stack)

        def complete(facts: Facts, _labels: Sequence[str], tensors: Mapping[str, str]) -> None:
            written = {file.name: digest(file) for file in files if file.exists()}
            write_record(record, facts.values, written, tensors)
            older.unlink(missing_ok=True)

        def settle() -> None:
            if len(files) > 1:
                refuse_other(files[-1], self.files[-1])

        return Draft(files[-1], self.format, complete, settle), [*files, record]

    def _temporaries(self, stack: ExitStack) -> list[Path]:
        if len(self.files) > 1:
            return stack.enter_context(creating(self.path, self.files))
        return [stack.enter_context(replacing(self.path))]


class FolderDestination(Destination):
    """A model folder: weights, configuration, labels and a model card."""

    def __init__(self, path: Path, dialect: Dialect, arch: Arch) -> None:
        self.path = path
        self.layout = model_folder.layout_of(dialect)
        self.format = self.layout.format or find_format(Path(self.layout.weights), dialect)
        self.layout.require(arch, dialect.name)
        found = {each.name for each in path.glob("*")}
        ours = any(is_ours(path / name) for name in RECORD_NAMES)
        others = found - model_folder.FILES if ours else found
        if others:
            raise PorterError(f"`out` {path}/ holds other files: name a new folder{listing(sorted(others))}")
        if path.resolve() == Path.cwd():
            raise PorterError(f"`out` {path}/ is the current folder: name a new folder in it")

    def refuse_sources(self, sources: Iterable[Path]) -> None:
        """Refuse a checkpoint inside the folder: a commit replaces the folder as a whole."""
        inside = [source for source in sources if source.resolve().is_relative_to(self.path.resolve())]
        if inside:
            raise PorterError(
                f"`out` {self.path}/ would replace the checkpoint itself: name a new folder{listing(map(str, inside))}"
            )

    def _open(self, stack: ExitStack) -> tuple[Draft, list[Path]]:
        folder = stack.enter_context(replacing(self.path))
        folder.mkdir()

        def complete(facts: Facts, labels: Sequence[str], tensors: Mapping[str, str]) -> None:
            model_folder.write_papers(folder, self.layout, facts.values, labels, tensors)

        return Draft(folder / self.layout.weights, self.format, complete), [folder]
