"""A file that stands where a command expects a model: the error names the command for what the file holds."""

from __future__ import annotations

import shlex
from pathlib import Path

from porter.catalog.models import is_model
from porter.errors import PorterError


def refuse_file(model: str, verify: bool = False) -> None:
    """Raise PorterError where ``model`` is a file, a checkpoint's prefix or a folder, with the command to type."""
    if is_model(model) or not (Path(model).exists() or Path(f"{model}.index").is_file()):
        return
    kind, shell = "folder" if Path(model).is_dir() else "file", shlex.quote(model)
    name, command = _known(Path(model))
    refusal = f"{model} is a {kind}, not a model"
    if verify:
        known = f"verify its weights with `port verify {name} --checkpoint {shell}`, or " if name else ""
        raise PorterError(f"{refusal}: {known}check its digests with `port check {shell}`")
    if command is None:
        raise PorterError(f"{refusal} or command: see what it is with `port inspect {shell}`")
    raise PorterError(f"{refusal} or command: it holds {name}, port it with `{command}`")


def _known(path: Path) -> tuple[str, str | None]:
    """Return the model that the file holds and the command that ports it; "" and None where porter knows neither."""
    from porter.verbs.inspect import LogsInspection, inspect

    try:
        found = inspect(path)
    except PorterError:
        return "", None
    known = None if isinstance(found, LogsInspection) else found.recognised
    return (known.models[0], known.command) if known else ("", None)
