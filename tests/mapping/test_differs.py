"""Libraries that compute another function with the same weights: what a port says of them, and the numbers."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import SMALL
from helpers.places import ROOT
from porter.catalog.goldens import recorded
from porter.catalog.models import ARCHS
from porter.errors import MappingError
from porter.mapping.differs import Differs, exact_settings, read_differs, sentences
from porter.mapping.table import Table
from porter.mapping.table_files import read_sources
from porter.mapping.table_merge import merge
from porter.verbs.port import port

ENTRIES = {
    each.library: each for name in sorted({arch.table for arch in ARCHS.values()}) for each in Table.load(name).differs
}
NASNET = ENTRIES["keras.applications.NASNetMobile"]
MOBILENET = ENTRIES["keras.applications.MobileNet"]


def test_the_sentence_of_a_library() -> None:
    assert NASNET.sentence("tf", "keras", None) == (
        "in keras.applications.NASNetMobile these weights compute another function, by up to 10.2% of the logits' "
        "standard deviation: its reduction cells pad with zeros and then pool them too (Keras 3.15.1 on "
        "nasnet_mobile; docs/nasnet.md)"
    )
    assert NASNET.sentence("tf", "torch", None) is None
    begin = "if these weights were trained in keras.applications.NASNetMobile, the port computes another function, by"
    assert str(NASNET.sentence("keras", "torch", None)).startswith(begin)
    begin = "the file holds keras.applications.NASNetMobile's own network, and the port computes another function, by"
    assert str(NASNET.sentence("keras", "torch", {"reduction_pad_1_stem_1", "x"})).startswith(begin)
    assert NASNET.sentence("keras", "torch", {"x"}) is None, "another network with the names"


def test_sizes_at_which_it_computes_the_same() -> None:
    says = " these weights compute another function at input sizes that are no multiple of 32, by up to 77.4% "
    assert says in str(MOBILENET.sentence("tf", "keras", None))


def test_an_extending_table_has_its_own_numbers() -> None:
    assert [each.library for each in Table.load("nasnet_mobile").differs] == ["keras.applications.NASNetMobile"]
    assert Table.load("nasnet_cifar").differs == ()


@pytest.mark.parametrize("library", ENTRIES)
def test_each_number_is_that_of_the_page_and_of_a_golden(library: str) -> None:
    """tests/nets/test_nasnet_peers.py measures the rows of docs/nasnet.md, test_keras.py MobileNet."""
    entry = ENTRIES[library]
    assert recorded(entry.measured)
    if entry.source == "docs/nasnet.md":
        name, page = re.escape(library.replace("'s", "")), (ROOT / entry.source).read_text(encoding="utf-8")
        row = re.findall(rf"^\| {name} \| (.*?) \| .*? \| (.*?) % \|", page, re.MULTILINE)
        assert row == [(entry.version, f"{100 * entry.logits:.2f}")]


def test_a_port_says_so_in_one_line(small: Path, tmp_path: Path) -> None:
    result = port(SMALL, target="keras", checkpoint=small, out=tmp_path / "m.safetensors")
    (note,) = result.notes
    assert note.startswith("in keras.applications.MobileNet these weights compute another function at input sizes")
    assert result.as_dict()["notes"] == [note]
    assert port(SMALL, target="torch", checkpoint=small).notes == ()
    (note,) = port(SMALL, "keras", "torch", checkpoint=tmp_path / "m.safetensors").notes
    assert note.startswith("if these weights were trained in keras.applications.MobileNet, the port computes")


def test_porters_own_file_is_known_not_to_be_the_librarys(small: Path, tmp_path: Path) -> None:
    for name in ("m.keras", "m.h5", "m.weights.h5"):
        port(SMALL, target="keras", checkpoint=small, out=tmp_path / name)
        assert port(SMALL, "keras", "torch", checkpoint=tmp_path / name).notes == ()


def test_the_librarys_own_file_is_known(tmp_path: Path) -> None:
    keras: Any = pytest.importorskip("keras")
    model = keras.applications.MobileNet((128, 128, 3), 0.25, weights=None, classes=4)
    for name in ("m.keras", "m.weights.h5"):
        (model.save if name == "m.keras" else model.save_weights)(tmp_path / name)
        (note,) = port(SMALL, "keras", "torch", checkpoint=tmp_path / name).notes
        assert note.startswith("the file holds keras.applications.MobileNet's own network")


FIELDS = {key: value for key, value in dataclasses.asdict(NASNET).items() if key != "also"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"logits": "10 %"}, r"whose logits is '10 %': expected a float"),
        ({"logits": None}, "without logits: add them"),
        ({"colour": "red"}, r"with unknown keys \['colour'\]: it takes dialect, library"),
        ({"dialect": "flax"}, "of 'flax', which is not a dialect of the table"),
    ],
)
def test_entries_are_checked(change: dict[str, Any], why: str) -> None:
    entry = {key: value for key, value in (FIELDS | change).items() if value is not None}
    with pytest.raises(MappingError, match=rf"x.toml: the table has a \[\[differs\]\] entry {why}"):
        read_differs([entry], ["tf", "keras"], Path("x.toml"))


def test_an_overlays_entries_are_those_of_its_dialect(tmp_path: Path) -> None:
    (tmp_path / "mobilenet_v1.toml").write_text((ROOT / "mappings/mobilenet_v1.toml").read_text())
    theirs = ["[dialect]", 'framework = "torch"', "[[differs]]", 'library = "theirs"']
    (tmp_path / "mobilenet_v1.theirs.toml").write_text("\n".join(theirs))
    merged = merge(read_sources(tmp_path / "mobilenet_v1.toml"))
    assert [(entry["dialect"], entry["library"]) for entry in merged.differs] == [
        ("keras", "keras.applications.MobileNet"),
        ("theirs", "theirs"),
    ]


TIMM = ENTRIES["timm's mobilenetv1_100"]


def test_the_settings_that_make_it_exact_are_said_and_returned() -> None:
    assert str(TIMM.sentence("tf", "timm", None)).endswith('; it is exact with pad_type="same", bn_eps=0.001')
    assert exact_settings([TIMM, NASNET], "timm") == {"pad_type": "same", "bn_eps": 0.001}
    assert exact_settings([TIMM, NASNET], "keras") == {}


def test_a_file_with_porters_names_may_be_a_librarys_and_a_port_to_them_is_not() -> None:
    assert str(TIMM.sentence("torch", "keras", None)).startswith("if these weights were trained in timm's")
    assert TIMM.sentence("tf", "torch", None) is None


def test_several_libraries_have_a_sentence_each() -> None:
    other = dataclasses.replace(NASNET, library="another")
    assert len(list(sentences([NASNET, other], "tf", "keras", None))) == 2
    assert np.isfinite(Differs(**FIELDS).logits)
