"""--labels in the model folder, the tables and the report of a verification, and what its count is compared with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.checkpoints import SMALL
from porter.errors import PorterError
from porter.mapping.head import Head
from porter.verbs.port import port
from porter.verbs.verify import verify


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([f"sort {number}" for number in range(1001)]))
    return path


def test_a_model_folder_gets_the_labels(small: Path, mine: Path, tmp_path: Path) -> None:
    port(SMALL, checkpoint=small, labels=mine, out=f"{tmp_path}/out/")
    lines = (tmp_path / "out/labels.txt").read_text().splitlines()
    assert lines[::500] == ["sort 0", "sort 500", "sort 1000"]
    assert json.loads((tmp_path / "out/config.json").read_text())["labels"] == "mine.json"


def test_a_fresh_head_has_labels_too(small: Path, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    port(SMALL, checkpoint=small, labels=tmp_path / "two.txt", head=Head(num_classes=2), out=f"{tmp_path}/out/")
    assert (tmp_path / "out/labels.txt").read_text() == "cat\ndog\n"
    with pytest.raises(PorterError, match=r"two.txt has 2 labels, but the head has 3 classes"):
        port(SMALL, checkpoint=small, labels=tmp_path / "two.txt", head=Head(num_classes=3))


def test_labels_that_do_not_fit_write_nothing(small: Path, mine: Path, tmp_path: Path) -> None:
    head = Head(drop_background=True)
    with pytest.raises(PorterError, match=r"mine.json has 1,001 labels, but the head has 1000 classes"):
        port(SMALL, checkpoint=small, labels=mine, head=head, out=tmp_path / "m.safetensors")
    with pytest.raises(PorterError, match=r"`labels` names classes and `no_head` leaves the classifier out"):
        port(SMALL, checkpoint=small, labels=mine, head=Head(no_head=True), out=tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


def test_verify_names_classes_by_the_labels(tf: object, small: Path, mine: Path) -> None:
    result = verify(SMALL, small, labels=mine)
    assert result
    for image in result.images:
        assert all(label.startswith("sort ") for label, _ in (*image.reference, *image.ports["torch"]))
    released = verify(SMALL, small)
    assert [[p for _, p in image.reference] for image in released.images] == [
        [p for _, p in image.reference] for image in result.images
    ]


def test_verify_compares_the_count(tf: object, small: Path, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    with pytest.raises(PorterError, match=r"two.txt has 2 labels, but the head has 1001 classes"):
        verify(SMALL, small, labels=tmp_path / "two.txt")
    with pytest.raises(PorterError, match=r"without a checkpoint `labels` has no effect: give `checkpoint`"):
        verify(SMALL, labels=tmp_path / "two.txt")


def test_labels_beside_a_backbone_name_what_was_asked_for(small: Path, mine: Path) -> None:
    for call in (port, verify):
        with pytest.raises(PorterError, match=r"`backbone` leaves the classifier out and `labels` names its classes"):
            call(SMALL, checkpoint=small, labels=mine, backbone=True)
