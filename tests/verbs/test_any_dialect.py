"""Files with the names of any library: recognised, ported, verified and loaded where nobody names the dialect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import SMALL, seeded_variables
from porter import load, verify
from porter.catalog.models import find_arch
from porter.errors import MappingError, PorterError
from porter.formats.open import open_checkpoint
from porter.mapping.file_dialect import file_dialect, file_match
from porter.mapping.head import Head
from porter.mapping.table import Table
from porter.verbs.inspect import inspect
from porter.verbs.port import port

ARCH = find_arch(SMALL)
TABLE = Table.load(ARCH.table)
DIALECTS = TABLE.dialects


def names(dialect: str) -> list[str]:
    return [pair.source for pair in TABLE.pairs(dialect, dialect)]


DISTINCT = list({tuple(names(dialect)): dialect for dialect in reversed(DIALECTS)}.values())
"""The dialects, one of those with the same names."""


@pytest.fixture(scope="module")
def files(small: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """SMALL with the names of each dialect."""
    folder = tmp_path_factory.mktemp("dialects")
    found = {dialect: folder / f"{dialect}.safetensors" for dialect in DIALECTS}
    for dialect, path in found.items():
        port(SMALL, "tf", dialect, checkpoint=small, out=path)
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_dialect_is_recognised(files: dict[str, Path], dialect: str) -> None:
    found = file_dialect(open_checkpoint(files[dialect]), ARCH)
    assert names(found) == names(dialect), "dialects with the same names read the same"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_way_back_needs_no_dialect(files: dict[str, Path], dialect: str) -> None:
    result = port(SMALL, target="tf", checkpoint=files[dialect])
    assert names(result.source) == names(dialect)
    got, want = result.translation.as_checkpoint(result.checkpoint), seeded_variables()
    assert got.entries.keys() == want.keys()
    assert all(np.array_equal(got[name], value) for name, value in want.items())


@pytest.mark.parametrize("dialect", DISTINCT)
def test_load_takes_it(files: dict[str, Path], dialect: str) -> None:
    torch: Any = pytest.importorskip("torch")
    images = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        got, want = (load(SMALL, "torch", weights=files[each])(images) for each in (dialect, "torch"))
    assert torch.equal(got, want)


def test_load_takes_a_checkpoint_without_its_head(small: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "body.safetensors"
    port(SMALL, target="hf", checkpoint=small, out=out, head=Head(no_head=True))
    assert not hasattr(load(SMALL, "torch", weights=out).classifier, "weight")
    assert load(SMALL, "torch", weights=out, num_classes=7).classifier.weight.shape[0] == 7


@pytest.mark.parametrize("dialect", DISTINCT)
def test_inspect_names_the_model_the_dialect_and_the_command(files: dict[str, Path], dialect: str) -> None:
    found = inspect(files[dialect]).recognised
    assert found is not None
    assert SMALL in found.models
    if names(dialect) != names("tf"):
        assert TABLE.record(dialect).title in found.sentence
    assert f"port {SMALL} --from " in str(found.command)


@pytest.mark.parametrize("dialect", [each for each in DIALECTS if each != "tf"])
def test_the_wrong_dialect_is_corrected(files: dict[str, Path], dialect: str) -> None:
    """Where another dialect has the same names, the error names the one that the table lists first."""
    with pytest.raises(MappingError, match=rf"with the names of .*{TABLE.record(dialect).title}") as caught:
        port(SMALL, "tf", "torch" if dialect != "torch" else "keras", checkpoint=files[dialect])
    assert {names(str(way["source"])) == names(dialect) for way in caught.value.ways} == {True}


@pytest.mark.parametrize("source", DISTINCT)
def test_a_port_from_each_dialect_is_verified_against_tensorflow(
    tf: Any, files: dict[str, Path], source: str, tmp_path: Path
) -> None:
    out = tmp_path / "m.safetensors"
    result = port(SMALL, target="torch", checkpoint=files[source], out=out, verify=True)
    assert result.verification is not None
    assert result.verification.reference.startswith("TensorFlow")
    assert len(result.verification.ports["torch"].rows) == 30
    assert out.exists()


@pytest.mark.parametrize("target", DISTINCT)
def test_a_port_to_each_dialect_is_verified(tf: Any, files: dict[str, Path], target: str, tmp_path: Path) -> None:
    result = port(SMALL, target=target, checkpoint=files["torch"], out=tmp_path / "m.safetensors", verify=True)
    assert result.verification is not None
    reference = "torch.safetensors in PyTorch" if TABLE.record(target).framework == "tf" else "TensorFlow"
    assert result.verification.reference.startswith(reference)


@pytest.mark.parametrize("dialect", ["hf", "tensornets"])
def test_a_mistake_in_a_written_file_fails(
    tf: Any, files: dict[str, Path], dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The written file itself is run: a value that changes on the way there is found, and nothing is kept."""
    from porter.export import output

    stored = output.Output.stored

    def damaged(self: Any, name: str) -> np.ndarray:
        values = stored(self, name)
        return values * np.float32(1.001) if values.ndim == 4 and values.shape[0] > 1 else values

    monkeypatch.setattr(output.Output, "stored", damaged)
    out = tmp_path / "m.safetensors"
    assert not port(SMALL, target=dialect, checkpoint=files["torch"], out=out, verify=True)
    assert not out.exists()


@pytest.mark.parametrize("dialect", DISTINCT)
def test_verify_takes_a_checkpoint_of_any_dialect(tf: Any, files: dict[str, Path], dialect: str) -> None:
    assert verify(SMALL, files[dialect])


@pytest.mark.parametrize("head", [Head(drop_background=True), Head(no_head=True), Head(num_classes=5)])
@pytest.mark.parametrize("target", ["hf", "tensornets"])
def test_other_heads_are_verified(tf: Any, files: dict[str, Path], target: str, head: Head) -> None:
    assert port(SMALL, target=target, checkpoint=files["torch"], head=head, verify=True)


def test_a_background_that_is_gone_stays_gone_and_is_named(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    port(SMALL, target="hf", checkpoint=small, out=out, head=Head(drop_background=True))
    back = port(SMALL, target="tf", checkpoint=out)
    assert back.translation.num_classes == 1000
    assert str(back.translation.head_note).endswith(
        "without the background of mobilenet_v1_0.25_128, which porter cannot add"
    )
    with pytest.raises(PorterError, match="but this head has 1000: leave it out"):
        port(SMALL, target="torch", checkpoint=out, head=Head(drop_background=True))


def test_strict_function_refuses_the_libraries_that_compute_another_function(
    small: Path, files: dict[str, Path]
) -> None:
    with pytest.raises(PorterError, match=r'timm.*another function.*it is exact with pad_type="same", bn_eps=0.001; '):
        port(SMALL, target="timm", checkpoint=small, strict_function=True)
    with pytest.raises(
        PorterError, match=r"if these weights were trained in timm's mobilenetv1_100, .*; leave `strict_"
    ):
        port(SMALL, "timm", "keras", checkpoint=files["timm"], strict_function=True)
    assert port(SMALL, target="hf", checkpoint=small, strict_function=True)
    assert port(SMALL, target="torch", checkpoint=small, strict_function=True), "porter's own network is exact"
    assert port(SMALL, target="keras", checkpoint=small, strict_function=True), "128 is a multiple of 32"


def test_a_file_of_another_model_says_which_it_is(files: dict[str, Path]) -> None:
    with pytest.raises(MappingError, match=r"holds MobileNet V1 0.25.*with the names of Hugging Face transformers"):
        port("mobilenet_v2_0.35_96", target="torch", checkpoint=files["hf"])


def test_a_half_of_a_file_counts_as_its_own_dialect(files: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(files["hf"])
    save_file({name: value for name, value in tensors.items() if ".layer.1" in name}, tmp_path / "half.safetensors")
    opened = open_checkpoint(tmp_path / "half.safetensors")
    assert file_match(opened, ARCH).dialect == "hf"
    with pytest.raises(MappingError, match=r"lacks .* of the 137 tensors"):
        port(SMALL, target="torch", checkpoint=tmp_path / "half.safetensors")


@pytest.mark.parametrize("prefix", ["module.", "net.backbone.", "timm_model."])
@pytest.mark.parametrize("dialect", ["hf", "torch"])
def test_a_wrapped_networks_file_is_recognised_behind_its_prefix(
    files: dict[str, Path], dialect: str, prefix: str, tmp_path: Path
) -> None:
    """DataParallel and Lightning put names before: Chiaraplizz/ST-TR#17, open-mmlab/mmpretrain#18.

    So does transformers' TimmWrapper: huggingface/transformers#34564.
    """
    from safetensors.numpy import load_file, save_file

    wrapped = {f"{prefix}{name}": value for name, value in load_file(files[dialect]).items()}
    save_file(wrapped, tmp_path / "wrapped.safetensors")
    result = port(SMALL, target="tf", checkpoint=tmp_path / "wrapped.safetensors")
    assert (result.source, result.translation.prefix) == (dialect, prefix)


@pytest.mark.parametrize(("body", "head"), [("backbone.", "head."), ("0.", "1.")])
def test_a_classifier_in_another_scope_than_the_body_is_named_and_can_be_left_out(
    files: dict[str, Path], body: str, head: str, tmp_path: Path
) -> None:
    """OpenMMLab's classifiers: backbone.conv1.weight, but head.fc.weight. open-mmlab/mmpretrain#620, #1411."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(files["torch"])
    apart = {(head if name.startswith("classifier.") else body) + name: value for name, value in tensors.items()}
    save_file(apart, tmp_path / "apart.safetensors")
    with pytest.raises(MappingError, match=rf"\n  {body}classifier.weight\n(.*\n)*.*take `backbone=True`"):
        port(SMALL, target="tf", checkpoint=tmp_path / "apart.safetensors")
    result = port(SMALL, target="tf", checkpoint=tmp_path / "apart.safetensors", backbone=True)
    got = result.translation.as_checkpoint(result.checkpoint)
    assert len(got.entries) == 135
    assert all(np.array_equal(got[name], value) for name, value in seeded_variables().items() if name in got.entries)


def test_a_file_without_the_background_is_verified(tf: Any, files: dict[str, Path], tmp_path: Path) -> None:
    """Cadene's nasnetalarge has 1001 classes in its file and 1000 as it is used: pretrained-models.pytorch#89."""
    out = tmp_path / "m.safetensors"
    port(SMALL, target="hf", checkpoint=files["torch"], out=out, head=Head(drop_background=True))
    result = port(SMALL, target="torch", checkpoint=out, verify=True)
    assert result
    assert result.verification is not None
    assert "Logits" in [row.endpoint for row in result.verification.ports["torch"].rows]
