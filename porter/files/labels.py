"""Labels: the names of one's own classes, from a file of lines or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porter.errors import FormatError, PorterError, plural

_MOST_BYTES = 1 << 26
_NUMBERED = re.compile(r"(\d+):(.*)")
"""A line of slim's label files (slim/datasets/dataset_utils.py)."""


@dataclass(frozen=True)
class Labels:
    """The ``names`` of all classes in their order, as the file ``path`` has them."""

    path: Path
    names: tuple[str, ...]

    def check(self, num_classes: int) -> None:
        """Raise PorterError unless there is one name for each of ``num_classes`` classes."""
        if len(self.names) == num_classes:
            return
        background = ", the background first" if len(self.names) == num_classes - 1 else ""
        raise PorterError(
            f"{self.path} has {plural(len(self.names), 'label')}, but the head has {num_classes} classes: give "
            f"`labels` one label for each class, in their order{background}"
        )


def read_labels(path: str | Path) -> Labels:
    """Read one label a line, or JSON: a list of labels, or ``{index: label}`` as in Hugging Face's id2label.

    Lines may be numbered from 0, as slim writes them (``0:daisy``). A whole config.json of Hugging Face will do too.
    Raises PorterError if the file is not there, FormatError if it is not one of these forms.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FormatError(f"{path} is too large for a file of labels: name a text or JSON file of class names")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise PorterError(f"{path} does not exist: give `labels` a file with one label a line") from None
    except OSError as error:
        raise PorterError(
            f"{path} cannot be read ({error.strerror}): give `labels` a file of one label a line"
        ) from None
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not text in UTF-8: save its labels so, one a line") from None
    names = _of_json(text, path) if text.lstrip()[:1] in ("[", "{") else _of_lines(text, path)
    if not names:
        raise FormatError(f"{path} has no labels: write one a line, in the order of the classes")
    return Labels(path, tuple(names))


def _of_lines(text: str, path: Path) -> list[str]:
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if "" in lines:
        raise FormatError(f"{path}: its line {lines.index('') + 1} is empty: write one label a line")
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    found = [(int(match[1]), match[2].strip()) for match in numbered if match]
    if len(found) == len(lines):
        return _in_order(dict(found), path) if len(dict(found)) == len(found) else lines
    return lines


def _of_json(text: str, path: Path) -> list[str]:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip()[:1] == "[":  # a label may begin so
            return _of_lines(text, path)
        raise FormatError(f"{path} is not valid JSON ({error}): write a list of labels, or one label a line") from None
    if isinstance(value, Mapping):
        value = value.get("id2label", value)
    if isinstance(value, Mapping):
        if not all(re.fullmatch(r"[0-9]{1,9}", key) for key in value):
            raise FormatError(f'{path} is JSON without indices as keys: write {{"0": "label", …}} or a list of labels')
        value = _in_order({int(key): label for key, label in value.items()}, path)
    if not isinstance(value, Sequence) or not all(isinstance(label, str) for label in value):
        raise FormatError(f"{path} is JSON with labels that are not text: write a list of labels")
    return list(value)


def _in_order(names: Mapping[int, str], path: Path) -> list[str]:
    """Return the labels by their indices, which must run from 0."""
    missing = next((index for index in range(len(names)) if index not in names), None)
    if missing is not None:
        raise FormatError(f"{path} has {len(names)} labels but none for class {missing}: number them from 0")
    return [names[index] for index in range(len(names))]
