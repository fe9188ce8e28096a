"""Families of networks, found as folders, and the places of their tables, goldens, labels and code.

A family is a folder with ``models.toml`` (see ``porter.catalog.models``), ``<framework>.py`` for each framework and
usually ``design.py``. The folder stands in porter/nets/, or in a folder that the environment variable PORTER_FAMILIES
lists (separated by os.pathsep). Mapping tables, goldens and labels are in mappings/, golden/ and labels/, at the top or
in the family.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from porter.errors import PorterError
from porter.files import package_data

VARIABLE = "PORTER_FAMILIES"
RECORDS = "models.toml"


@dataclass(frozen=True)
class Family:
    """One family: the name of its folder, and the folder."""

    name: str
    folder: Path

    @property
    def records(self) -> Path:
        """The file with the records of the family's models."""
        return self.folder / RECORDS


def families() -> tuple[Family, ...]:
    """Return all families, porter's own first. Raises PorterError where PORTER_FAMILIES lists a wrong folder."""
    listed = filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))
    return _families(tuple(dict.fromkeys(str(Path(folder).resolve()) for folder in listed)))


def is_outside(name: str) -> bool:
    """Tell whether the family ``name`` lies in a folder of PORTER_FAMILIES."""
    return any(found.name == name and not found.folder.is_relative_to(package_data.PACKAGE) for found in families())


@cache
def _families(listed: tuple[str, ...]) -> tuple[Family, ...]:
    found: dict[str, Family] = {}
    for root in (package_data.PACKAGE / "nets", *map(Path, listed)):
        folders = sorted(file.parent for file in root.glob(f"*/{RECORDS}"))
        if not folders:
            raise PorterError(
                f"{VARIABLE} lists {root}, which holds no family: list folders with <family>/{RECORDS} in them, "
                f"separated by {os.pathsep!r}"
            )
        for folder in folders:
            if not folder.name.isidentifier():
                raise PorterError(f"{folder}: a family's folder is a Python package: use letters, digits and _ alone")
            if folder.name in found:
                raise PorterError(
                    f"{folder} has the name of another family, {found[folder.name].folder}: rename the folder"
                )
            found[folder.name] = Family(folder.name, folder)
    return tuple(found.values())


def table_path(name: str) -> Path:
    """Return the path of the mapping table ``name``: mappings/<name>.toml at the top or inside a family.

    Without such a file the path is the one at the top. Raises PorterError where there are several.
    """
    return _find("mappings", f"{name}.toml")


def golden_path(name: str) -> Path:
    """Return the folder of the golden ``name``: golden/<name> at the top or inside a family.

    Without such a folder the path is the one at the top. Raises PorterError where there are several.
    """
    return _find("golden", name)


def labels(name: str) -> list[str]:
    """Return the class names of labels/<name>.txt, at the top or inside a family.

    The file has one per line in class order; a line that begins with ``#`` is a comment. Raises PorterError where the
    file is missing, or where there are several.
    """
    path = _find("labels", f"{Path(name).name}.txt")
    if not path.is_file():
        raise PorterError(f"{path} does not exist: add it, or name one of the files there as the model's labels")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def _find(kind: str, entry: str) -> Path:
    folders = (package_data.folder(kind), *_folders(kind, families()))
    found = [folder / entry for folder in folders if os.path.exists(os.path.join(folder, entry))]
    if len(found) > 1:
        raise PorterError(f"{found[0]} and {found[1]} have the same name: rename one of them")
    return found[0] if found else folders[0] / entry


@cache
def _folders(kind: str, found: tuple[Family, ...]) -> tuple[Path, ...]:
    """Return the folder of ``kind`` that each family may have."""
    return tuple(family.folder / kind for family in found)


def import_net(family: str, framework: str) -> ModuleType:
    """Import and return the module that builds the networks of ``family`` in ``framework``, porter.nets' own or not.

    Every family is a package of porter.nets, so that its code is the same inside and outside of porter. Folders of
    PORTER_FAMILIES come after porter's own and so replace nothing. Raises PorterError where the module is missing.
    """
    path = import_module("porter.nets").__path__
    path.extend(root for found in families() if (root := str(found.folder.parent)) not in path)
    name = f"porter.nets.{family}.{framework}"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
    folder = next(found.folder for found in families() if found.name == family)
    raise PorterError(f"{folder / framework}.py does not exist: write it, or remove {framework} from {RECORDS}")
