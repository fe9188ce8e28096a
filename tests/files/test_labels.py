"""Labels of one's own classes: lines, slim's numbered lines, JSON lists and Hugging Face's id2label."""

from __future__ import annotations

from pathlib import Path

import pytest

from porter.errors import FormatError, PorterError
from porter.files.labels import Labels, read_labels

FORMS = {
    "lines": "daisy\nred rose\n#tulip\n",
    "lines of Windows": "\ufeffdaisy\r\nred rose\r\n#tulip\r\n\r\n",
    "slim's numbers": "1:red rose\n0:daisy\n2:#tulip\n",
    "a list": '["daisy", "red rose", "#tulip"]',
    "id2label": '{"2": "#tulip", "0": "daisy", "1": "red rose"}',
    "config.json": '{"model_type": "x", "id2label": {"0": "daisy", "1": "red rose", "2": "#tulip"}}',
}


def write(folder: Path, text: str) -> Path:
    path = folder / "labels.txt"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("form", FORMS)
def test_forms(tmp_path: Path, form: str) -> None:
    assert read_labels(write(tmp_path, FORMS[form])).names == ("daisy", "red rose", "#tulip")


@pytest.mark.parametrize("text", ["16:9\n4:3\n", "1:a\n1:b\n", "[CLS]\n[SEP]\n", "0:a\nb\n"])
def test_labels_that_look_like_another_form(tmp_path: Path, text: str) -> None:
    if text.startswith("16"):
        with pytest.raises(FormatError, match="2 labels but none for class 0: number them from 0"):
            read_labels(write(tmp_path, text))
    else:
        assert read_labels(write(tmp_path, text)).names == tuple(text.splitlines())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "labels.txt has no labels: write one a line, in the order of the classes"),
        ("\n\n", "labels.txt has no labels"),
        ("a\n\nb\n", "its line 2 is empty: write one label a line"),
        ("{}", "has no labels"),
        ('{"0": "a", "2": "b"}', "has 2 labels but none for class 1: number them from 0"),
        ('{"a": "0"}', 'is JSON without indices as keys: write {"0": "label", …} or a list of labels'),
        ('{"0": 1}', "is JSON with labels that are not text: write a list of labels"),
        ("[1, 2]", "is JSON with labels that are not text"),
        ("{", "is not valid JSON"),
    ],
)
def test_what_is_no_file_of_labels(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_labels(write(tmp_path, text))
    assert why in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(PorterError, match=r"labels.txt does not exist: give `labels` a file with one label a line"):
        read_labels(tmp_path / "labels.txt")
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(FormatError, match=r"m.h5 is not text in UTF-8"):
        read_labels(tmp_path / "m.h5")


def test_the_count_is_that_of_the_classes() -> None:
    labels = Labels(Path("five.txt"), tuple("abcde"))
    labels.check(5)
    says = "five.txt has 5 labels, but the head has 7 classes: give `labels` one label for each class, in their order"
    with pytest.raises(PorterError, match=f"{says}$"):
        labels.check(7)
    with pytest.raises(
        PorterError, match=r"6 classes: give `labels` one label for each class, .*, the background first"
    ):
        labels.check(6)
