"""Destinations: a draft that is committed replaces the older output as a whole, any other leaves it untouched."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.catalog.models import find_arch
from porter.errors import PorterError
from porter.export.destination import Destination, find_destination
from porter.export.provenance import Facts
from porter.export.writers import FORMATS, find_format
from porter.files import atomic
from porter.files.seals import is_ours
from porter.mapping.dialects import DIALECTS

ARCH = find_arch("mobilenet_v1_0.25_128")
FACTS = Facts(
    {
        "model": "a model",
        "framework": "torch",
        "num_classes": 3,
        "in_channels": 3,
        "notes": None,
        "head": "the checkpoint's",
        "labels": None,
        "input_size": [8, 8],
        "preprocessing": "inception",
        "save_dtype": None,
        "source": {},
        "source_format": "V2 checkpoint",
        "average": "raw",
        "roles": {},
        "ignored": [],
        "versions": {"porter": "1"},
    }
).with_parity(None)


def destination(out: str | Path, framework: str = "torch") -> Destination:
    found = find_destination(out, DIALECTS[framework], ARCH)
    assert found is not None
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file in ``folder``, hidden ones included."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def commit(out: str, weights: bytes) -> None:
    with destination(out, "keras").draft() as draft:
        draft.weights.write_bytes(weights)
        draft.commit(FACTS, ["cat", "dog", "other"], {"w": "0" * 64})


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("m.h5", {"m.h5", "m.h5.json"}),
        ("m/", {"m/model.keras", "m/config.json", "m/labels.txt", "m/README.md"}),
    ],
)
def test_only_a_commit_replaces_the_older_output(tmp_path: Path, name: str, names: set[str]) -> None:
    commit(f"{tmp_path}/{name}", b"older")
    older = contents(tmp_path)
    assert older.keys() == names
    with destination(f"{tmp_path}/{name}", "keras").draft() as draft:
        draft.weights.write_bytes(b"rejected")
    assert contents(tmp_path) == older

    def fail() -> None:
        with destination(f"{tmp_path}/{name}", "keras").draft() as draft:
            draft.weights.write_bytes(b"broken")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert contents(tmp_path) == older
    commit(f"{tmp_path}/{name}", b"newer")
    newer = contents(tmp_path)
    assert newer.keys() == names
    # The labels and the card are the same; weights and digests are new.
    assert {name for name in names if newer[name] == older[name]} == {n for n in names if n.endswith((".txt", ".md"))}


@pytest.mark.parametrize("failing", ["m.h5", "m.h5.json"])
def test_a_record_never_belongs_to_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    commit(f"{tmp_path}/m.h5", b"older")
    put = atomic._put

    def failed(new: Path, target: Path) -> None:
        if target.name == failing:
            raise OSError("the disk failed")
        put(new, target)

    monkeypatch.setattr(atomic, "_put", failed)
    with pytest.raises(PorterError, match="the disk failed"):
        commit(f"{tmp_path}/m.h5", b"newer")
    assert contents(tmp_path) == {"m.h5": b"older" if failing == "m.h5" else b"newer"}


def test_a_destination_is_refused_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_destination(None, DIALECTS["torch"], ARCH) is None
    with pytest.raises(PorterError, match=r"^`out` is empty: name a file or a folder$"):
        find_destination("", DIALECTS["torch"], ARCH)
    with pytest.raises(
        PorterError, match=r"^`out` .*/m\.txt has no suffix .* for keras: end it in .*\.h5 or \.safeten"
    ):
        find_destination(tmp_path / "m.txt", DIALECTS["keras"], ARCH)
    with pytest.raises(PorterError, match=r"for tf: end it in \.ckpt, \.pb or \.safetensors$"):
        find_destination(tmp_path / ".safetensors", DIALECTS["tf"], ARCH)
    for out in (f"{tmp_path}/absent/m.pth", f"{tmp_path}/absent/m/"):
        with pytest.raises(PorterError, match=r"the folder .*/absent does not exist: make it first"):
            find_destination(out, DIALECTS["torch"], ARCH)
    monkeypatch.chdir(tmp_path)
    assert destination("m.pth").path == Path("m.pth")
    assert not contents(tmp_path)


def test_a_folder_refuses_to_replace_its_own_source(tmp_path: Path) -> None:
    folder, file = destination(f"{tmp_path}/m/"), destination(tmp_path / "m.pth")
    with pytest.raises(PorterError, match=r"would replace the checkpoint itself: name a new folder\n  .*/m/model\.pth"):
        folder.refuse_sources([tmp_path / "m" / "model.pth"])
    folder.refuse_sources([tmp_path / "model.pth"])
    file.refuse_sources([tmp_path / "m.pth"])


def test_a_suffix_chooses_the_format() -> None:
    for framework, formats in FORMATS.items():
        for suffix, wanted in formats.items():
            assert find_format(Path(f"m{suffix}"), DIALECTS[framework]) is wanted
    # Those without a place for facts get a record, which porter recognises.
    assert {suffix for found in FORMATS.values() for suffix, each in found.items() if each.add_facts} == {
        ".safetensors"
    }


def test_a_record_is_recognised(tmp_path: Path) -> None:
    commit(f"{tmp_path}/m.h5", b"weights")
    assert is_ours(tmp_path / "m.h5.json")
