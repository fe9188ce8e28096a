"""The SHA-256 of every file that is read is in every output, and is compared with those that the caller expects."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from helpers.checkpoints import Saver, seeded_variables
from porter import port, verify
from porter.cli.main import main
from porter.errors import PorterError
from porter.verbs.seed import seed

MODEL = "mobilenet_v1_0.25_128"


def sha256(path: Path) -> str:
    """Return the digest by sha256sum instead of porter."""
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


@pytest.fixture
def bundle(tmp_path: Path) -> list[Path]:
    seed(MODEL, tmp_path / "s.ckpt")
    return sorted(tmp_path.glob("s.ckpt.*"))


@pytest.fixture
def single(bundle: list[Path], tmp_path: Path) -> Path:
    """A checkpoint of one file in a format without checksums."""
    return port(MODEL, checkpoint=bundle[0], out=tmp_path / "single.safetensors").out or Path()


def test_every_file_of_a_checkpoint_is_in_the_metadata_and_the_result(bundle: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    result = port(MODEL, checkpoint=tmp_path / "s.ckpt", out=out)
    assert result.as_dict()["sha256"] == {str(path): sha256(path) for path in bundle[::-1]}
    with safe_open(out, "numpy") as file:
        assert json.loads(file.metadata()["source"]) == {path.name: sha256(path) for path in bundle}


def test_a_verification_says_every_file(tf: Any, bundle: list[Path], single: Path, tmp_path: Path) -> None:
    from porter.runners.images import sample_paths

    picture = sample_paths()[0]
    page = tmp_path / "r.html"
    args = ["verify", MODEL, "--checkpoint", tmp_path / "s.ckpt", "--candidate", f"torch:{single}", "--images", picture]
    with pytest.raises(SystemExit) as ended:
        main([*map(str, args), "--report", str(page), "--endpoints", "Logits"])
    assert ended.value.code == 0
    assert all(sha256(path) in page.read_text() for path in (*bundle, single, picture))
    assert verify(MODEL, checkpoint=tmp_path / "s.ckpt").as_dict()["sha256"].keys() == set(map(str, bundle))


def test_an_expected_digest_is_taken_and_another_refused_before_anything_is_written(
    bundle: list[Path], single: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again.safetensors"
    options: dict[str, Any] = {"source": "torch", "checkpoint": single, "out": out}
    assert port(MODEL, **options, expect_sha256=[sha256(single).upper()]).out == out
    out.unlink()
    other = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(PorterError, match=rf"{sha256(single)} instead of the expected {other}:"):
        port(MODEL, **options, expect_sha256=[other])
    assert not out.exists()


def test_a_file_that_is_not_the_expected_one_is_not_even_parsed(tmp_path: Path) -> None:
    stranger = tmp_path / "x.pth"
    stranger.write_bytes(b"\x80\x02 not what it says")
    with pytest.raises(PorterError, match="do not trust it"):
        port(MODEL, source="torch", checkpoint=stranger, expect_sha256=["0" * 64])
    with pytest.raises(PorterError, match="is a pickle"):
        port(MODEL, source="torch", checkpoint=stranger, expect_sha256=[sha256(stranger)])


def test_of_several_files_each_is_named(bundle: list[Path], tmp_path: Path) -> None:
    data, index = bundle
    known = [f"{path.name}={sha256(path)}" for path in bundle]
    assert port(MODEL, checkpoint=index, expect_sha256=known)
    with pytest.raises(PorterError, match=rf"{data.name} is read too, .* {data.name}={sha256(data)} if you"):
        port(MODEL, checkpoint=index, expect_sha256=[sha256(index)])
    with pytest.raises(PorterError, match=rf"{data.name} has the SHA-256 .* instead of the expected {sha256(index)}:"):
        port(MODEL, checkpoint=index, expect_sha256=[known[1], f"{data.name}={sha256(index)}"])
    with pytest.raises(PorterError, match=r"is for other.ckpt, which is not read; .*files that are\n  s.ckpt.index\n"):
        port(MODEL, checkpoint=index, expect_sha256=[*known, f"other.ckpt={'0' * 64}"])


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (["abc"], "must be HEX or NAME=HEX with 64 hexadecimal digits, got abc"),
        ([f"a={'0' * 64}", f"a={'1' * 64}"], "names a file twice"),
        (["0" * 64, f"a={'1' * 64}"], "names a file twice"),
    ],
)
def test_what_is_no_digest_is_said(expected: list[str], message: str) -> None:
    with pytest.raises(PorterError, match=message):
        port(MODEL, checkpoint="absent", expect_sha256=expected)


def test_verify_refuses_a_side_that_is_not_the_expected_one(bundle: list[Path], single: Path) -> None:
    with pytest.raises(PorterError, match=r"single.safetensors has the SHA-256"):
        verify(MODEL, reference="golden", candidate=f"torch:{single}", expect_sha256=["0" * 64])
    assert verify(MODEL, reference="golden", candidate=f"torch:{single}", expect_sha256=[sha256(single)])
    with pytest.raises(PorterError, match="is for a file, which is not read; give it for the files that are: none"):
        verify(MODEL, expect_sha256=["0" * 64])


@pytest.mark.parametrize(
    ("dialect", "suffix"),
    [
        ("tf", ".pb"),
        ("torch", ".safetensors"),
        ("torch", ".pth"),
        ("keras", ".keras"),
        ("keras", ".weights.h5"),
        ("keras", ".h5"),
    ],
)
def test_empty_and_truncated_files_are_refused(tf: Any, save: Saver, tmp_path: Path, dialect: str, suffix: str) -> None:
    """A file without checksums shows a missing end by its structure."""
    if suffix == ".pb":
        path = frozen(tmp_path)
    else:
        path = tmp_path / f"m{suffix}"
        port(MODEL, target=dialect, checkpoint=save(seeded_variables()), out=path)
    whole = path.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    for size in (0, 1, 7, 8, 100, *(len(whole) * part // 25 for part in range(1, 25)), len(whole) - 1):
        cut.write_bytes(whole[:size])
        with pytest.raises(PorterError, match="cut"):
            port(MODEL, source=dialect, checkpoint=cut, out=tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def frozen(folder: Path) -> Path:
    from porter.catalog.goldens import recorded
    from porter.formats.tensorflow.source import load_graph
    from porter.graph.rewrite.freeze import freeze

    path = folder / "frozen.pb"
    path.write_bytes(freeze(load_graph(recorded(MODEL).graph), seeded_variables()).SerializeToString())
    return path
