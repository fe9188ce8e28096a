"""port fetch, against a local server that is slow, cuts off, lies, redirects, and serves a hostile archive."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.checkpoints import seeded_variables
from porter import port
from porter.catalog import download
from porter.catalog.cache import cached
from porter.catalog.models import ARCHS
from porter.catalog.releases import Release, Source, releases
from porter.catalog.unpack import unpack
from porter.cli.main import main
from porter.errors import FormatError, PorterError
from porter.verbs import fetch
from porter.verbs.seed import seed

NAME = "mobilenet_v1_0.25_128"


def archive_of(folder: Path) -> bytes:
    """Return a .tar.gz of a seeded checkpoint, as the released ones are packed."""
    seed(NAME, folder / "model.ckpt")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in sorted(folder.glob("model.ckpt*")):
            tar.add(path, f"./release/{path.name}")
        info = tarfile.TarInfo("./release/info.txt")
        tar.addfile(info, io.BytesIO())
    return buffer.getvalue()


class Server:
    """Answers GET with ``answer(handler)``, and keeps the Range header of every request."""

    def __init__(self) -> None:
        self.ranges: list[str | None] = []
        self.answer: Callable[[BaseHTTPRequestHandler], None]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.ranges.append(self.headers.get("Range"))
                outer.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/model.tar.gz"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


def send(handler: BaseHTTPRequestHandler, body: bytes, length: int | None = None, tag: str = '"1"') -> None:
    """Answer with the part of ``body`` that is asked for; ``length`` is the Content-Length to claim."""
    asked = handler.headers.get("Range")
    whole = asked is None or handler.headers.get("If-Range") != tag
    begin = 0 if whole else int(str(asked).split("=")[1].rstrip("-"))
    handler.send_response(200 if whole else 206)
    handler.send_header("Content-Length", str(len(body) - begin if length is None else length))
    handler.send_header("ETag", tag)
    handler.end_headers()
    handler.wfile.write(body[begin:])


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    yield served
    served.http.shutdown()
    served.http.server_close()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return archive_of(tmp_path_factory.mktemp("release"))


@pytest.fixture
def release(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make the server the one source of NAME; an empty cache."""
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "TIMEOUT", (2, 2))

    def only(**source: Any) -> None:
        one = Source(**{"checkpoint": "model.ckpt", "url": server.url} | source)
        monkeypatch.setattr(fetch, "release_of", lambda model: Release(model, 0.0, 0.0, "Apache-2.0", (one,)))

    only()
    return only


def left_over(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache").rglob("*")}


def test_a_checkpoint_is_fetched_once_and_ported(
    server: Server, release: Any, archive: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda handler: send(handler, archive)
    out = tmp_path / "m.safetensors"
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main([NAME, "--from", "tf", "--to", "torch", "--out", str(out)])
        assert ended.value.code == 0, capsys.readouterr().err
    assert len(server.ranges) == 1
    found = cached(NAME)
    assert found is not None
    assert found.sha256 == hashlib.sha256(archive).hexdigest()
    files = {"model.ckpt.index", "model.ckpt.data-00000-of-00001", "fetched.json"}
    assert left_over(tmp_path) == files | {NAME, "pins.json"}
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["list", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert listed[NAME]["cached"] == str(found.checkpoint)
    assert listed["mobilenet_v1_1.0_224"]["cached"] is None


def test_a_cut_connection_goes_on_where_it_stopped(server: Server, release: Any, archive: bytes) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        if len(server.ranges) == 1:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(archive)))
            handler.send_header("ETag", '"1"')
            handler.end_headers()
            handler.wfile.write(archive[: 3 << 19])
        else:
            send(handler, archive)

    server.answer = cut
    found = fetch.fetch(NAME)
    assert server.ranges[0] is None
    assert server.ranges[1] is not None
    assert found.sha256 == hashlib.sha256(archive).hexdigest()


def test_what_arrived_is_kept_for_the_next_call(server: Server, release: Any, archive: bytes, tmp_path: Path) -> None:
    def always_cut(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(archive)))
        handler.send_header("ETag", '"1"')
        handler.end_headers()
        handler.wfile.write(archive[: 1 << 20])

    server.answer = always_cut
    with pytest.raises(PorterError, match=r"\(the connection was lost\): try again, 1,048,576 bytes are kept"):
        fetch.fetch(NAME)
    server.answer = lambda handler: send(handler, archive)
    fetch.fetch(NAME)
    assert server.ranges[-1] == f"bytes={1 << 20}-"


def test_another_version_of_the_file_is_not_pieced_together(server: Server, release: Any, archive: bytes) -> None:
    def changed(handler: BaseHTTPRequestHandler) -> None:
        if len(server.ranges) == 1:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(archive)))
            handler.send_header("ETag", '"old"')
            handler.end_headers()
            handler.wfile.write(bytes(1 << 20))
        else:
            send(handler, archive, tag='"new"')

    server.answer = changed
    assert fetch.fetch(NAME).sha256 == hashlib.sha256(archive).hexdigest()


def test_a_slow_server_is_waited_for(server: Server, release: Any, archive: bytes) -> None:
    pause = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(archive)))
        handler.end_headers()
        for at in range(0, len(archive), 1 << 19):
            handler.wfile.write(archive[at : at + (1 << 19)])
            pause.wait(0.2)

    server.answer = slow
    fetch.fetch(NAME)


def test_a_silent_server_is_an_error(server: Server, release: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", (1, 0.2))
    monkeypatch.setattr(download, "TRIES", 2)

    def hold(handler: BaseHTTPRequestHandler) -> None:
        threading.Event().wait(1)

    server.answer = hold
    with pytest.raises(PorterError, match=r"(?s)cannot download http.*set `checkpoint` to model\.ckpt"):
        fetch.fetch(NAME)


@pytest.mark.parametrize("claimed", [-1000, 1000])
def test_a_server_that_lies_about_the_length_is_not_believed(
    server: Server, release: Any, archive: bytes, tmp_path: Path, claimed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TRIES", 2)
    server.answer = lambda handler: send(handler, archive, len(archive) + claimed)
    with pytest.raises(PorterError, match="cannot fetch the released checkpoint of"):
        fetch.fetch(NAME)
    assert cached(NAME) is None


def test_another_size_than_published_is_refused_at_once(server: Server, release: Any, archive: bytes) -> None:
    release(bytes=len(archive) + 5)
    server.answer = lambda handler: send(handler, archive)
    with pytest.raises(PorterError, match=rf"it has {len(archive):,} bytes, expected {len(archive) + 5:,}"):
        fetch.fetch(NAME)


def test_wrong_bytes_are_refused(server: Server, release: Any, archive: bytes, tmp_path: Path) -> None:
    release(hash=f"sha256:{hashlib.sha256(archive).hexdigest()}")
    server.answer = lambda handler: send(handler, archive[:-1] + bytes([archive[-1] ^ 1]))
    with pytest.raises(PorterError, match="sha256 differs from the published one"):
        fetch.fetch(NAME)
    assert not {name for name in left_over(tmp_path) if "ckpt" in name or name.endswith(".gz")}
    server.answer = lambda handler: send(handler, archive)
    assert fetch.fetch(NAME).checkpoint.name == "model.ckpt"


def test_the_first_download_pins_the_rest(server: Server, release: Any, archive: bytes, tmp_path: Path) -> None:
    server.answer = lambda handler: send(handler, archive)
    fetch.fetch(NAME)
    (tmp_path / "cache" / NAME / "model.ckpt.index").unlink()
    assert cached(NAME) is None
    other = archive_of(tmp_path)[:-8] + archive[-8:]
    server.answer = lambda handler: send(handler, b"\x1f\x8b" + other[2:-20] + bytes(20))
    with pytest.raises(PorterError, match="changed since its first download"):
        fetch.fetch(NAME)


def test_redirects_are_followed(server: Server, release: Any, archive: bytes) -> None:
    def redirect(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/moved":
            send(handler, archive)
            return
        handler.send_response(302)
        handler.send_header("Location", "/moved")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.answer = redirect
    assert fetch.fetch(NAME).sha256 == hashlib.sha256(archive).hexdigest()


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_page_is_not_an_archive(server: Server, release: Any, status: int) -> None:
    server.answer = lambda handler: handler.send_error(status)
    with pytest.raises(PorterError, match=str(status)):
        fetch.fetch(NAME)


def test_offline_the_message_says_what_to_do_by_hand(
    release: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    release(url="http://127.0.0.1:9/model.tar.gz")
    with pytest.raises(SystemExit) as ended:
        main([NAME, "--from", "tf", "--to", "torch", "--out", str(tmp_path / "m.safetensors")])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert re.search(
        r"download http://127\.0\.0\.1:9/model\.tar\.gz, unpack it, and set (--|`)checkpoint`? to model\.ckpt", said
    )
    assert not (tmp_path / "m.safetensors").exists()


def test_a_source_behind_one_that_fails_is_tried(
    server: Server, release: Any, archive: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = lambda handler: send(handler, archive)
    dead, alive = Source("model.ckpt", url="http://127.0.0.1:9/x.tar.gz"), Source("model.ckpt", url=server.url)
    monkeypatch.setattr(fetch, "release_of", lambda model: Release(model, 0.0, 0.0, "Apache-2.0", (dead, alive)))
    assert fetch.fetch(NAME).source == server.url


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.mark.parametrize(
    "info",
    [
        member("../model.ckpt.index"),
        member("/tmp/model.ckpt.index"),
        member("a/../../model.ckpt.index"),
        member("..\\model.ckpt.index"),
        member("model.ckpt.index", tarfile.SYMTYPE, "/etc/passwd"),
        member("model.ckpt.index", tarfile.LNKTYPE, "/etc/passwd"),
        member("model.ckpt.index", tarfile.FIFOTYPE),
        member("model.ckpt.index", tarfile.CHRTYPE),
    ],
    ids=["climbs", "absolute", "climbs inside", "backslash", "symlink", "hard link", "pipe", "device"],
)
def test_a_hostile_archive_is_refused_by_its_member(
    server: Server, release: Any, tmp_path: Path, info: tarfile.TarInfo
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(info, io.BytesIO())
    server.answer = lambda handler: send(handler, buffer.getvalue())
    with pytest.raises(PorterError, match="do not trust this archive"):
        fetch.fetch(NAME)
    assert not {path.name for path in tmp_path.rglob("*model.ckpt*")}


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("porter.formats.archives.LARGEST", 1000)
    path = tmp_path / "bomb.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(member("model.ckpt.data", size=2000), io.BytesIO(bytes(2000)))
    with pytest.raises(FormatError, match="unpacks to over 1,000 bytes, which weights never do: do not trust it"):
        unpack(path, "model.ckpt", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["bomb.tar.gz"]


@pytest.mark.parametrize("raw", [b"", b"not a tar", b"\x1f\x8b\x08 cut"])
def test_what_is_no_archive_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"a\.tar\.gz (is not a whole archive|does not contain model\.ckpt)"):
        unpack(path, "model.ckpt", tmp_path)


def test_a_checkpoint_in_a_folder_of_its_archive_is_that_folders(server: Server, release: Any, tmp_path: Path) -> None:
    """MobileNet V3's archives hold ema/ and pristine/."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for folder in ("a/ema", "pristine", "a/ema/older", "schema"):
            for part in ("index", "data-00000-of-00001"):
                content = f"{folder} {part}".encode()
                tar.addfile(member(f"{folder}/model-5.{part}", size=len(content)), io.BytesIO(content))
    server.answer = lambda handler: send(handler, buffer.getvalue())
    release(checkpoint="ema/model-5")
    for found in (fetch.fetch(NAME), fetch.fetch(NAME)):
        assert found.checkpoint == tmp_path / "cache" / NAME / "model-5"
        assert found.checkpoint.with_suffix(".index").read_text() == "a/ema index"
    release(checkpoint="other/model-5")
    path = tmp_path / "a.tar.gz"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(FormatError, match="does not contain other/model-5"):
        unpack(path, "other/model-5", tmp_path)


def test_every_imagenet_model_but_amoebanet_has_a_release() -> None:
    """tensorflow/tpu released AmoebaNet's code alone."""
    listed = releases()
    models = {name: arch.family for name, arch in ARCHS.items() if arch.labels == "imagenet_1001"}
    assert {name for name, family in models.items() if family != "amoebanet"} == set(listed)
    for release in listed.values():
        assert release.top1 is not None
        assert 0 < release.top1 < (release.top5 or 100) <= 100
        assert release.sources
        for source in release.sources:
            assert (source.url is None) != (source.package is None)
            assert source.url is None or source.url.startswith("https://")
    assert releases()["mobilenet_v1_1.0_224"].sources[-1].package == "nudity==0.2.3"


@pytest.mark.slow
def test_the_second_source_is_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip gets the package that carries the real weights, and the headline command ports them."""
    monkeypatch.setenv("PORTER_CACHE", str(tmp_path / "cache"))
    source = releases()["mobilenet_v1_1.0_224"].sources[-1]
    one = Release("mobilenet_v1_1.0_224", 70.9, 89.9, "Apache-2.0", (source,))
    monkeypatch.setattr(fetch, "release_of", lambda model: one)
    result = port("mobilenet_v1_1.0_224", out=tmp_path / "m.safetensors")
    assert result.checkpoint.path.stat().st_size == 17_124_178
    assert result.translation.ignored == (
        "final_training_ops/weights/final_weights",
        "final_training_ops/biases/final_biases",
    )


def test_the_fetched_weights_are_the_checkpoints(server: Server, release: Any, archive: bytes) -> None:
    server.answer = lambda handler: send(handler, archive)
    entries = port(NAME).translation.entries
    want = seeded_variables()["MobilenetV1/Conv2d_0/weights"].transpose(3, 2, 0, 1)
    assert np.array_equal(entries["conv_stem.weight"].load(), want)
