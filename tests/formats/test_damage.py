"""Flipped bits and cut ends are refused or read the same; a format without checksums refuses cuts."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from helpers.sentences import assert_reads_well

reliability = importlib.import_module("reliability")
FORMS = {form.name: form for form in reliability.FORMS}


def drill(name: str, folder: Path, flips: int, cuts: int) -> tuple[Any, list[str]]:
    """Return porter's outcomes and messages, after checking that every message is a sentence."""
    form, opened = FORMS[name], []

    def write(folder: Path) -> Path:
        opened.append(form.write(folder))
        return opened[0]

    found, told = reliability.drill(form._replace(write=write), form.reader, folder, flips, cuts)
    for line in told:
        why = re.fullmatch(r"refused (?:bit|cut at) \d+: refused (\w+) (.*)", line)
        if why is None:
            assert not line.startswith("refused"), line
        elif name == "event file":  # everything else in it is read, and a note lists the damage
            assert re.search(r"\bat byte \d+\b.*\.$", why[2]), line
        else:
            assert why[1] in ("FormatError", "MappingError"), line
            assert_reads_well(why[2], opened[0])
    return found, told


@pytest.mark.slow
@pytest.mark.parametrize("name", [form.name for form in FORMS.values() if form.checked])
def test_300_flips_and_50_cuts_are_refused_or_harmless(tf: Any, tmp_path: Path, name: str) -> None:
    found, told = drill(name, tmp_path, 300, 50)
    bad = [line for line in told if line.split()[0] not in ("refused", "identical")]
    assert not bad
    assert found.total() == (300 if FORMS[name].forge else 350)
    assert found["refused"] > 200


@pytest.mark.slow
@pytest.mark.parametrize("name", [form.name for form in FORMS.values() if not form.checked])
def test_without_checksums_every_cut_is_refused_and_no_flip_crashes(tf: Any, tmp_path: Path, name: str) -> None:
    found, told = drill(name, tmp_path, 100, 50)
    assert all(line.startswith("refused cut") for line in told if " cut at" in line)
    assert found["crash"] + found["hang"] == 0


def test_the_drill_tells_a_silent_reader(tf: Any, tmp_path: Path) -> None:
    found, _ = reliability.drill(FORMS[".safetensors"], "safetensors", tmp_path, 20, 0)
    assert found["silent"] > 15


def test_the_pages_table_is_the_drills() -> None:
    """Every row names a format and a reader of the drill, counts every try, and is never silent with checksums."""
    lines = reliability.pages.written("reliability.md", "reliability.py")
    assert lines[:2] == list(reliability.HEAD)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert len({(row[0], row[1]) for row in rows}) == len(rows) >= 18
    for name, reader, tries, *counts in rows:
        form = FORMS[name]
        refused, identical, told, silent, crash, hang = map(int, counts)
        assert refused + identical + told + silent + crash + hang == int(tries) == (300 if form.forge else 350)
        if reader == "porter":
            assert crash + hang == 0
            assert not form.checked or told + silent == 0
        else:
            assert reader == form.peer
