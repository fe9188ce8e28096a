"""A family is a folder: a copy outside of porter ports, verifies and is recognised; wrong folders are refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.checkpoints import SMALL
from helpers.processes import HANG
from porter.catalog import families
from porter.catalog.families import VARIABLE, golden_path, table_path
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS, find_arch, is_model
from porter.errors import PorterError
from porter.files import package_data
from porter.mapping.recognise import recognise

COPY = "copycat_0.25_128"
RECORDS = f"""
table = "copycat"
num_classes = 1001
preprocessing = "inception"
labels = "cats"
builders = {{ torch = "MobileNetV1", keras = "mobilenet_v1" }}
aliases = {{ copycat = "{COPY}" }}

[[model]]
over = {{ multiplier = [0.25], size = [128] }}
name = "copycat_{{multiplier}}_{{size}}"
title = "Copycat {{multiplier}}"
input_size = "{{size}}"
options = {{ multiplier = "{{multiplier}}" }}
"""

USE = f"""
import json, sys
import porter
from porter.catalog.models import ARCHS
from porter.verbs.seed import seed
listed = list(ARCHS)
nets = ("porter.nets.copycat", "porter.nets.mobilenet_v1", "porter.nets.nasnet", "torch", "keras")
imported = [name for name in sys.modules if name.startswith(nets)]
seed("{COPY}", "seeded.ckpt")
found = porter.inspect("seeded.ckpt").recognised
ported = {{}}
for target, name in (("torch", "m/"), ("keras", "m.keras")):
    result = porter.port("{COPY}", target=target, checkpoint="seeded.ckpt", out=name)
    ported[target] = len(result.translation.entries)
    porter.load("{COPY}", target, weights=name)
reports = porter.verify("copycat", frameworks=["torch", "keras"]).ports
print(json.dumps({{
    "listed": listed, "imported": imported, "models": found.models, "ported": ported,
    "verified": {{name: bool(report) for name, report in reports.items()}},
    "endpoints": [len(report.rows) for report in reports.values()],
    "labels": sorted(set(open("m/labels.txt").read().split())),
    "modules": [name for name in sys.modules if name.startswith("porter.nets.copycat")],
}}))
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """Copy MobileNet V1's family, with its table and one golden, under another name, and return the folder of families.

    Only names change: those of the package in the code, of the table and of the golden.
    """
    family = tmp_path / "families" / "copycat"
    shutil.copytree(package_data.PACKAGE / "nets/mobilenet_v1", family, ignore=shutil.ignore_patterns("__pycache__"))
    for file in family.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("porter.nets.mobilenet_v1", "porter.nets.copycat"), encoding="utf-8")
    (family / "models.toml").write_text(RECORDS, encoding="utf-8")
    (family / "mappings").mkdir()
    table = table_path("mobilenet_v1")
    for file in (table, *table.parent.glob("mobilenet_v1.*.toml")):  # the table and its overlays
        shutil.copy(file, family / "mappings" / file.name.replace("mobilenet_v1", "copycat"))
    shutil.copytree(recorded(SMALL).path, family / "golden" / COPY)
    (family / "labels").mkdir()
    (family / "labels/cats.txt").write_text("# a comment\nbackground\n" + "cat\n" * 1000, encoding="utf-8")
    return family.parent


def test_a_copied_family_ports_verifies_and_is_recognised(copied: Path, tmp_path: Path) -> None:
    environment = os.environ | {VARIABLE: str(copied), "PYTHONPATH": str(package_data.PACKAGE.parent)}
    command = [sys.executable, "-c", USE]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert COPY in result["listed"]
    assert not result["imported"]  # records are data
    assert {COPY, SMALL} <= set(result["models"])
    assert result["ported"]["torch"] == result["ported"]["keras"] == 137
    assert result["verified"] == {"torch": True, "keras": True}
    assert result["endpoints"] == [30, 30]
    assert result["labels"] == ["background", "cat"]  # the family's own
    assert set(result["modules"]) >= {f"porter.nets.copycat.{name}" for name in ("design", "torch", "keras")}


def test_a_mistake_in_a_copied_family_is_caught(copied: Path, tmp_path: Path) -> None:
    design = copied / "copycat/design.py"
    text = design.read_text(encoding="utf-8")
    assert "EPSILON = 1e-3" in text
    design.write_text(text.replace("EPSILON = 1e-3", "EPSILON = 1e-5"), encoding="utf-8")
    environment = os.environ | {VARIABLE: str(copied), "PYTHONPATH": str(package_data.PACKAGE.parent)}
    code = "import porter; ports = porter.verify('copycat', frameworks=['torch', 'keras']).ports\n"
    code += "print([name for name, report in ports.items() if not report])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=HANG)
    assert done.stdout.splitlines()[-1] == "['torch', 'keras']", done.stderr


def test_families_come_and_go_with_the_variable(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_model("copycat")
    before = list(ARCHS)
    monkeypatch.setenv(VARIABLE, str(copied))
    arch = find_arch("copycat")
    assert (arch.name, arch.family, arch.title, arch.options) == (COPY, "copycat", "Copycat 0.25", {"multiplier": 0.25})
    assert list(ARCHS) == [*before, COPY]
    assert len(ARCHS) == len(before) + 1
    assert table_path("copycat") == copied / "copycat/mappings/copycat.toml"
    assert golden_path(COPY) == copied / "copycat/golden" / COPY
    assert table_path("mobilenet_v1") == package_data.folder("mappings") / "mobilenet_v1.toml"
    monkeypatch.delenv(VARIABLE)
    assert not is_model("copycat")
    assert table_path("copycat") == package_data.folder("mappings") / "copycat.toml"  # where a reader looks first


def test_every_folder_of_nets_with_code_is_a_family() -> None:
    own = {family.name for family in families.families()}
    assert own == {file.parent.name for file in (package_data.PACKAGE / "nets").glob("*/design.py")}
    assert {arch.family for arch in ARCHS.values()} == own


def test_mobilenets_sixteen_records_are_the_releases() -> None:
    names = [arch.name for arch in ARCHS.values() if arch.family == "mobilenet_v1"]
    assert len(names) == 16
    assert names[0] == find_arch("mobilenet_v1").name == "mobilenet_v1_1.0_224"
    for name in names:
        arch = find_arch(name)
        assert name == f"mobilenet_v1_{arch.options['multiplier']}_{arch.input_size}"
        assert arch.title == f"MobileNet V1 {arch.options['multiplier']}"


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the family ``new``, listed in PORTER_FAMILIES, without records yet."""
    folder = tmp_path / "more" / "new"
    folder.mkdir(parents=True)
    monkeypatch.setenv(VARIABLE, str(folder.parent))
    return folder


GOOD = RECORDS.replace("copycat", "new")


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ("= 3", r"new/models\.toml cannot be read as TOML"),
        ("", r"new/models\.toml has no list of models: begin each with \[\[model\]\]"),
        (GOOD.replace("title", "titel"), r"the model 'new_0\.25_128' lacks title: add them"),
        (GOOD + "colour = 3\n", r"the model 'new_0\.25_128' has the unknown field colour"),
        (GOOD.replace('"{size}"', '"large"'), r"has input_size = 'large', which must have the type int"),
        (GOOD.replace('"{size}"', "true"), r"has input_size = True, which must have the type int"),
        (GOOD.replace('"{size}"', '"{side}"'), r"'\{side\}' has an unknown placeholder; known: multiplier, size, name"),
        (GOOD.replace("[128]", "128"), r"over must list the values of each placeholder"),
        (
            GOOD.replace('{ new = "', '{ new = "x'),
            r"the alias new names xnew_0\.25_128, which is not one",
        ),
        (GOOD.replace('"new_{', '"mobilenet_v1_{').replace('"new_0', '"mobilenet_v1_0'), r"is taken by mobilenet_v1"),
        (GOOD.replace('"{size}"', "0"), r"has input_size = 0: it must be at least 1"),
        ("aliases = 3\n" + GOOD.replace("aliases", "options"), r"has aliases that are not names"),
        (GOOD.replace("{ new =", "{ nasnet_large ="), r"the model name nasnet_large is taken by nasnet"),
    ],
)
def test_wrong_records_are_one_sentence(family: Path, records: str, sentence: str) -> None:
    (family / "models.toml").write_text(records, encoding="utf-8")
    with pytest.raises(PorterError, match=sentence) as raised:
        find_arch("new")
    assert str(family / "models.toml") in str(raised.value)


def test_wrong_folders_are_one_sentence(family: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PorterError, match=r"PORTER_FAMILIES lists .*more, which holds no family: list folders with"):
        find_arch("mobilenet_v1")
    (family / "models.toml").write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(family.parent)] * 2))
    assert find_arch("new").family == "new"  # the same folder twice
    twin = family.parent.parent / "again" / "new"
    twin.mkdir(parents=True)
    (twin / "models.toml").write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(family.parent), str(twin.parent)]))
    with pytest.raises(PorterError, match="has the name of another family"):
        find_arch("mobilenet_v1")
    dotted = family.parent.parent / "dotted" / "a.b"
    dotted.mkdir(parents=True)
    (dotted / "models.toml").write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(dotted.parent))
    with pytest.raises(PorterError, match="a family's folder is a Python package"):
        find_arch("mobilenet_v1")


def test_a_relative_folder_stays_the_same_after_a_change_of_folder(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (family / "models.toml").write_text(GOOD, encoding="utf-8")
    monkeypatch.chdir(family.parent.parent)
    monkeypatch.setenv(VARIABLE, family.parent.name)
    assert next(found for found in families.families() if found.name == "new").folder == family


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "is not a JSON object"),
        ('{"architecture": 3}', "has an architecture that is not a name"),
        ('{"architecture": "zz"}', "variables.json does not exist: run python golden/record.py zz"),
    ],
)
def test_a_damaged_golden_is_one_sentence_and_blocks_no_other_family(family: Path, written: str, sentence: str) -> None:
    (family / "models.toml").write_text(GOOD, encoding="utf-8")
    golden = family / "golden/new_0.25_128"
    golden.mkdir(parents=True)
    (golden / "golden.json").write_text(written, encoding="utf-8")
    with pytest.raises(PorterError, match=sentence):
        recorded("new_0.25_128")
    shapes = recorded(SMALL).variables
    assert [match.arch.name for match in recognise(shapes, 128)][:1] == [SMALL]


def test_missing_labels_are_one_sentence(family: Path) -> None:
    (family / "models.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(PorterError, match=r"labels/cats\.txt does not exist: add it, or name one of the files there"):
        families.labels("cats")


def test_two_tables_or_goldens_of_one_name_are_refused(family: Path) -> None:
    (family / "models.toml").write_text(GOOD, encoding="utf-8")
    (family / "mappings").mkdir()
    (family / "mappings/mobilenet_v1.toml").touch()
    (family / "golden" / SMALL).mkdir(parents=True)
    (family / "labels").mkdir()
    (family / "labels/imagenet_1001.txt").touch()
    with pytest.raises(PorterError, match="have the same name: rename one of them"):
        table_path("mobilenet_v1")
    with pytest.raises(PorterError, match="have the same name: rename one of them"):
        golden_path(SMALL)
    with pytest.raises(PorterError, match="have the same name: rename one of them"):
        families.labels("imagenet_1001")


def test_missing_code_is_one_sentence(family: Path) -> None:
    (family / "models.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(PorterError, match=r"new/torch\.py does not exist: write it, or remove torch from models\.toml"):
        find_arch("new").builder("torch")
    (family / "torch.py").write_text("", encoding="utf-8")
    with pytest.raises(PorterError, match=r"torch\.py has no function MobileNetV1, which new_0\.25_128 needs"):
        find_arch("new").builder("torch")
