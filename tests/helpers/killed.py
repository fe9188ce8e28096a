"""Kills porter's writers with SIGKILL at random moments, over an older good file, and counts what lies there then.

    python tests/helpers/killed.py FOLDER WRITER ... [--in-place]

prints ``{"writer", "tries", "killed", "older", "new", "broken", "left"}`` for each writer: the tries, those killed
while they wrote, the older, new and broken targets afterwards, and the temporary files after a last, unharmed run.
``--in-place`` lets the writers write to their targets directly: the drill must find broken files then.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # a child of fork has neither TensorFlow's threads nor OpenMP's
    os.environ |= {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}

from porter import port, verify
from porter.catalog import cache
from porter.catalog.goldens import recorded
from porter.catalog.releases import Source
from porter.errors import PorterError
from porter.export import keras as writing
from porter.files.atomic import discard
from porter.files.progress import untracked
from porter.formats.open import open_checkpoint
from porter.mapping.head import Head
from porter.render.inspection_files import write_diagram
from porter.render.verification_page import write_report
from porter.verbs.inspect import open_graph
from porter.verbs.seed import seed

MODEL = "mobilenet_v1_0.25_128"
TRIES = 30
Write = Callable[[Path, bool], Any]


def values(path: Path) -> dict[str, bytes]:
    """Return every tensor of a checkpoint as bytes."""
    opened = open_checkpoint(path)
    return {name: opened[name].tobytes() for name in opened}


def folder(path: Path) -> Any:
    """Return a folder's contents after checking that its files fit each other."""
    config = json.loads((path / "config.json").read_text())
    assert (config["num_classes"] > 0) == (path / "labels.txt").is_file()
    (weights,) = path.glob("model.*")
    return config["num_classes"], values(weights)


def librarys_folder(path: Path) -> Any:
    """Return the contents of a folder for transformers after checking that its files fit each other."""
    config, record = (json.loads((path / name).read_text()) for name in ("config.json", "porter.json"))
    assert len(config.get("id2label", ())) == record["num_classes"]
    return record["num_classes"], values(path / "model.safetensors")


def new_checkpoint(path: Path) -> dict[str, bytes]:
    """Return every tensor of a checkpoint that was not there before, none where it is not there yet."""
    return values(path) if path.with_name(f"{path.name}.index").is_file() else {}


def page(path: Path) -> str:
    """Return a whole page or drawing without its times."""
    text = path.read_text(encoding="utf-8")
    assert text.rstrip().endswith((">", "}", "]", '"'))
    return text[:64] + str(len(text))


def port_to(target: str) -> Callable[[Path], Write]:
    def writer(work: Path) -> Write:
        # Networks are built once, so that what is killed is the writing.
        build, built = writing.build, {}

        def once(arch: Any, framework: str, tensors: Any, **options: Any) -> Any:
            if len(tensors) not in built:
                built[len(tensors)] = build(arch, framework, tensors, **options)
            return built[len(tensors)]

        writing.build = once
        source = seed(MODEL, work / "seeded.ckpt").out
        return lambda out, older: port(MODEL, target=target, checkpoint=source, out=out, head=Head(no_head=older))

    return writer


def creating(work: Path) -> Write:
    """Write a checkpoint where none is; the older state is none, because several files are not replaced at once."""
    write = port_to("tf")(work)
    return lambda out, older: None if older else write(out, False)


def seeding(_work: Path) -> Write:
    def write(out: Path, older: bool) -> None:
        with contextlib.suppress(PorterError):  # it refuses to overwrite another checkpoint
            seed(MODEL, out.with_suffix(""), training=older)

    return write


def fetching(work: Path) -> Write:
    archives = []
    for number in range(2):
        made = work / f"release{number}"
        made.mkdir()
        seed(MODEL, made / "s.ckpt", training=bool(number))
        archives.append(Path(shutil.make_archive(str(made), "gztar", made)))

    def write(out: Path, older: bool) -> None:
        cache._download = lambda *_: archives[older]
        cache.fetch_from(Source("s.ckpt", url=archives[older].name), out.name, out.parent, untracked)

    return write


def reporting(_work: Path) -> Write:
    short = verify(MODEL, reference="golden", candidate=None)
    return lambda out, older: write_report(out, short, ["older"] * 9 if older else [])


def drawing(_work: Path) -> Write:
    graphs = [open_graph(recorded(name).graph, None) for name in (MODEL, "nasnet_cifar")]
    return lambda out, older: write_diagram(out, graphs[older])


WRITERS: dict[str, tuple[str, Callable[[Path], Write], Callable[[Path], Any], str]] = {
    "safetensors": ("m.safetensors", port_to("torch"), values, "porter.export.destination"),
    "pth": ("m.pth", port_to("torch"), values, "porter.export.destination"),
    "keras": ("m.keras", port_to("keras"), values, "porter.export.destination"),
    "weights.h5": ("m.weights.h5", port_to("keras"), values, "porter.export.destination"),
    "h5": ("m.h5", port_to("keras"), values, "porter.export.destination"),
    "folder": ("m", port_to("torch"), folder, "porter.export.destination"),
    "pb": ("m.pb", port_to("tf"), values, "porter.export.destination"),
    "npz": ("m.npz", port_to("tensornets"), values, "porter.export.destination"),
    "hf folder": ("m", port_to("hf"), librarys_folder, "porter.export.destination"),
    "ckpt": ("m.ckpt", creating, new_checkpoint, "porter.export.destination"),
    "seed": ("s.ckpt.index", seeding, values, "porter.verbs.seed"),
    "fetch": (MODEL, fetching, lambda path: values(path / "s.ckpt"), "porter.catalog.cache"),
    "report": ("r.html", reporting, page, "porter.render.verification_page"),
    "svg": ("g.svg", drawing, page, "porter.render.inspection_files"),
}
"""For each writer: its target, its maker, the reader of a whole target, and the module that begins to write."""


@contextlib.contextmanager
def saying(replace: Callable[..., Any], pipe: int, *target: Any) -> Iterator[Any]:
    """Signal through ``pipe`` that the writing begins."""
    with replace(*target) as path:
        os.write(pipe, b"1")
        yield path


@contextlib.contextmanager
def in_place(target: Path) -> Iterator[Path]:
    yield target


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        discard(path)


def drill(writer: str, work: Path, replace: Callable[[Path], Any] | None) -> dict[str, int]:
    name, make, read, where = WRITERS[writer]
    module: Any = importlib.import_module(where)
    verb = "replacing" if hasattr(module, "replacing") else "creating"
    original = getattr(module, verb)
    target = work / "out" / name
    target.parent.mkdir(parents=True)
    write = make(work)
    given: Any = f"{target}/" if "folder" in writer else target

    def run() -> None:
        write(given, False)

    run()
    new = read(target)
    if writer in ("seed", "ckpt"):
        empty(target.parent)
    write(given, True)
    good = read(target)
    assert good != new
    kept = shutil.copytree(target.parent, work / "older")

    def older() -> None:
        """Restore the older good file and everything beside it."""
        empty(target.parent)
        shutil.copytree(kept, target.parent, dirs_exist_ok=True)

    def start() -> int:
        """Run in a child of fork, and return when it begins to write."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            setattr(module, verb, lambda *target: saying(replace or original, writing, *target))
            with contextlib.suppress(BaseException):
                run()
            os._exit(0)
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        return child

    lasts = []
    for _ in range(3):
        child, begin = start(), time.monotonic()
        os.waitpid(child, 0)
        lasts.append(time.monotonic() - begin)
    draw, span = random.Random(writer), min(lasts)
    counts = dict.fromkeys(("tries", "killed", "older", "new", "broken", "left"), 0)
    changed = True
    for _ in range(TRIES):
        if changed:
            older()
        child = start()
        moment = draw.random() * span
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            span = moment  # it took no longer than this
        counts["tries"] += 1
        counts["killed"] += os.WIFSIGNALED(status)
        try:
            found = read(target)
        except Exception:
            found = None
        counts["older" if found == good else "new" if found == new else "broken"] += 1
        changed = found != good
    run()
    counts["left"] = sum(path.name.startswith(".") for path in target.parent.iterdir())
    return counts


if __name__ == "__main__":
    work, *writers = sys.argv[1:]
    replace = in_place if "--in-place" in writers else None
    for writer in writers:
        if writer in WRITERS:
            print(json.dumps({"writer": writer, **drill(writer, Path(work) / writer, replace)}))
