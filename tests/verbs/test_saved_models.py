"""decompile of SavedModels: TensorFlow's own loader must compute what the graph computes as porter reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import porter.graph.functions as functions
import porter.runners.saved_model as runner
from helpers.written import built
from porter.errors import PorterError
from porter.formats.tensorflow import graph_source
from porter.verbs.decompile import decompile
from porter.verbs.port_written import port_written
from porter.verbs.verify_decompiled import verify_decompiled


def make(tf: Any, seed: int = 0) -> Any:
    """Return a module of functions in functions, whose variables all have the same name and shape."""
    random = np.random.default_rng(seed)

    class Net(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            values = random.normal(size=(3, 3, 3, 3, 3)).astype(np.float32)
            self.kernels = [tf.Variable(value, name="kernel") for value in values]

        @tf.function
        def layer(self, x: Any, kernel: Any) -> Any:
            return tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))

        @tf.function
        def difference(self, a: Any, b: Any) -> Any:
            return self.layer(a, self.kernels[0]) - 2.0 * self.layer(b, self.kernels[1])

        @tf.function
        def serve(self, image: Any) -> Any:
            y = self.difference(image, self.layer(image, self.kernels[2]))
            return {"map": y, "score": tf.reduce_mean(y, [1, 2])}

    return Net()


def save(tf: Any, module: Any, path: Path) -> Path:
    image = tf.TensorSpec((None, 9, 8, 3), tf.float32, name="image")
    tf.saved_model.save(module, str(path), signatures=module.serve.get_concrete_function(image))
    return path


@pytest.fixture(scope="module")
def saved(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tf, make(tf), tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture(scope="module")
def net(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written") / "net"
    result = decompile(saved, out=folder)
    assert result.report is not None
    (note,) = result.report.notes
    assert note.startswith(f"TensorFlow's own loader computes the same from {saved}, with ")
    assert note in (folder / "README.md").read_text(encoding="utf-8")
    return folder


def outputs(tf: Any, path: Path, images: np.ndarray) -> np.ndarray:
    found = tf.saved_model.load(str(path)).signatures["serving_default"](image=tf.constant(images))
    return found["score"].numpy()  # type: ignore[no-any-return]


def test_another_savedmodel_is_ported_by_its_own_names(tf: Any, net: Path, tmp_path: Path) -> None:
    import torch

    other = save(tf, make(tf, 1), tmp_path / "other")
    written = port_written(net, checkpoint=other, out=tmp_path / "other.safetensors")
    assert written.tensors == 3
    shutil.copyfile(written.out or "", net / "other.safetensors")
    from helpers.written import imported

    network = imported(net / "model.py").load(net / "other.safetensors")
    images = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)
    with torch.inference_mode():
        _, score = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    np.testing.assert_allclose(score.numpy(), outputs(tf, other, images), rtol=0, atol=1e-5)
    (note,) = verify_decompiled(net, other).report.notes
    assert note.startswith(f"TensorFlow's own loader computes the same from {other}, with ")


def test_other_values_of_the_variables_are_given_to_tensorflows_loader(tf: Any, saved: Path, tmp_path: Path) -> None:
    other = save(tf, make(tf, 1), tmp_path / "other")
    report = decompile(saved, checkpoint=other, out=tmp_path / "net").report
    assert report is not None
    assert report.notes[0].startswith("TensorFlow's own loader computes the same")


def test_a_mistake_of_inlining_gets_no_name(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = functions._Builder._body

    def swapped(self: Any, call: Any, function: Any, inputs: Any) -> Any:
        given = list(inputs)
        if "difference" in function.signature.name:
            given[0], given[1] = given[1], given[0]
        return body(self, call, function, given)

    monkeypatch.setattr(functions._Builder, "_body", swapped)
    with pytest.raises(PorterError, match=r"TensorFlow's own loader computes another (map|score) \(.*of the deviation"):
        decompile(saved, out=tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_a_mistake_in_the_variables_names_gets_no_name(
    saved: Path, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored = graph_source.restored_keys

    def turned(meta: Any) -> dict[str, str]:
        found = restored(meta)
        assert len(found) == 3
        return dict(zip(found, [*list(found.values())[1:], *list(found.values())[:1]], strict=True))

    monkeypatch.setattr(graph_source, "restored_keys", turned)
    with pytest.raises(PorterError, match=r"model: TensorFlow's own loader computes another map"):
        decompile(saved, out=tmp_path / "net")
    table = (net / "mapping.toml").read_text(encoding="utf-8")
    wrong = shutil.copytree(net, tmp_path / "wrong")
    mistaken = table.replace("kernels/0", "X").replace("kernels/1", "kernels/0").replace("X", "kernels/1")
    assert mistaken != table
    (wrong / "mapping.toml").write_text(mistaken, encoding="utf-8")
    with pytest.raises(PorterError, match="TensorFlow's own loader computes another map"):
        verify_decompiled(wrong, saved)


def test_untrusted_ops_are_not_loaded(tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An op that runs when the file is loaded is checked too."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, 9, 9, 3), name="x")
        kernel = tf.compat.v1.get_variable("kernel", (3, 3, 3, 4), use_resource=False)
        y = tf.nn.conv2d(x, kernel, 1, "SAME", name="y")
        writes = tf.io.write_file(str(tmp_path / "written"), "text")
        session.run(tf.compat.v1.global_variables_initializer())
        build = tf.compat.v1.saved_model.Builder(str(tmp_path / "model"))
        signature = tf.compat.v1.saved_model.predict_signature_def({"image": x}, {"map": y})
        build.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature}, main_op=writes)
        build.save()
    report = decompile(tmp_path / "model", out=tmp_path / "net").report
    assert report is not None
    assert "did not run" in report.notes[0]
    assert "because its ops read or write files (WriteFile): the reference is the graph as porter" in report.notes[0]
    assert not (tmp_path / "written").exists()
    with monkeypatch.context() as changed:
        changed.setattr(runner.SavedModelRunner, "__call__", lambda self, images: {"y": images[:, :, :, :1] * 0})
        with pytest.raises(PorterError, match=r"y has 81 values for each of 1 images in the port, 324"):
            decompile(tmp_path / "model", out=tmp_path / "trusted", trust_graph=True)
    assert (tmp_path / "written").read_text() == "text"


def test_a_cut_is_proved_as_porter_reads_it(saved: Path, tmp_path: Path) -> None:
    result = decompile(saved, out=tmp_path / "net", outputs=["score"])
    assert result.report is not None
    assert "computes the same" in result.report.notes[0]
    facts = json.loads((tmp_path / "net/config.json").read_text(encoding="utf-8"))
    node = next(row.endpoint for row in result.report.rows if row.endpoint not in facts["outputs"])
    result = decompile(saved, out=tmp_path / "cut", outputs=[node])
    assert result.report is not None
    assert "because the network has outputs that its signature lacks" in result.report.notes[0]
    assert built(tmp_path / "cut/model.py")


@pytest.mark.parametrize("names", [("another", "serving_default"), ("serving_default", "the_other")])
def test_a_named_output_is_that_of_the_signature(tf: Any, tmp_path: Path, names: tuple[str, str]) -> None:
    """Both signatures call functions whose nodes have the same names, and only one of them may keep these."""
    module = make(tf)
    image = tf.TensorSpec((None, 9, 8, 3), tf.float32, name="image")

    @tf.function  # type: ignore[untyped-decorator]
    def swapped(image: Any) -> Any:
        y = module.difference(module.layer(image, module.kernels[2]), image)
        return {"map": y, "score": tf.reduce_mean(y, [1, 2])}

    calls = {name: module.serve if name == "serving_default" else swapped for name in names}
    signatures = {name: call.get_concrete_function(image) for name, call in calls.items()}
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=signatures)
    result = decompile(tmp_path / "model", out=tmp_path / "net", outputs=["score"])
    assert result.report is not None
    assert "computes the same" in result.report.notes[0]
    images = np.random.default_rng(1).normal(size=(2, 9, 8, 3)).astype(np.float32)
    with torch.inference_mode():
        ours = built(tmp_path / "net/model.py")(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(ours, outputs(tf, tmp_path / "model", images), rtol=0, atol=2e-6)
