"""port seed: a checkpoint that TensorFlow's own reader takes, checksums and all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from helpers.checkpoints import seeded_variables
from porter import port
from porter.cli.main import main
from porter.errors import PorterError
from porter.formats.open import open_checkpoint
from porter.formats.roles import SHADOW_SUFFIX
from porter.formats.tensorflow.bundle_writer import data_file, in_order, index_file, stored, write_bundle
from porter.verbs.seed import seed

NAME = "mobilenet_v1_0.25_128"


def test_tensorflow_reads_every_value(tf: Any, tmp_path: Path) -> None:
    result = seed(NAME, tmp_path / "seeded.ckpt")
    reader = tf.train.load_checkpoint(str(result.out))
    want = seeded_variables(NAME)
    assert set(reader.get_variable_to_shape_map()) == set(want)
    assert all(np.array_equal(reader.get_tensor(name), value) for name, value in want.items())
    assert {path.name for path in tmp_path.iterdir()} == {"seeded.ckpt.index", "seeded.ckpt.data-00000-of-00001"}


def test_tensorflow_sees_a_flipped_byte(tf: Any, tmp_path: Path) -> None:
    prefix = seed(NAME, tmp_path / "seeded.ckpt").out
    raw = bytearray(data_file(prefix).read_bytes())
    raw[10] ^= 1  # of the first tensor by name
    data_file(prefix).write_bytes(raw)
    reader = tf.train.load_checkpoint(str(prefix))
    damaged = min(seeded_variables(NAME), key=str.encode)
    with pytest.raises(tf.errors.OpError, match="Checksum does not match"):
        reader.get_tensor(damaged)


def test_a_training_checkpoint_has_an_average_of_everything(tf: Any, tmp_path: Path) -> None:
    prefix = seed(NAME, tmp_path / "training.ckpt", training=True).out
    stored = dict(tf.train.list_variables(str(prefix)))
    assert stored.pop("global_step") == []
    assert len(stored) == 2 * 137
    assert all(name.removesuffix(SHADOW_SUFFIX) in stored for name in stored)
    assert port(NAME, checkpoint=prefix).translation.average == "ema"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40),
        arrays.arrays(
            st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.int32, np.uint8, np.bool_]),
            arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_any_names_and_values_come_back(tf: Any, tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    prefix = tmp_path / "any.ckpt"
    write_bundle(data_file(prefix), index_file(prefix), (stored(name, tensors[name]) for name in in_order(tensors)))
    reader, ours = tf.train.load_checkpoint(str(prefix)), open_checkpoint(prefix)
    assert set(reader.get_variable_to_shape_map()) == set(ours) == set(tensors)
    for name, value in tensors.items():
        assert ours[name].dtype == value.dtype
        assert ours[name].tobytes() == value.tobytes() == np.asarray(reader.get_tensor(name)).tobytes()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["seed", NAME, "--out", str(tmp_path / "seeded.ckpt")])
    assert ended.value.code == 0
    assert "137 tensors" in capsys.readouterr().out
    with pytest.raises(PorterError, match="does not exist: make it first, or name another `out`"):
        seed(NAME, tmp_path / "absent" / "seeded.ckpt")


@pytest.mark.parametrize("out", [".", "..", "", "/"])
def test_a_prefix_needs_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PorterError, match=r"`out` must be a checkpoint's prefix, such as seeded\.ckpt"):
        seed(NAME, out)
    assert not list(tmp_path.iterdir())
