"""Runs a written network beside the graph that it was written from."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from porter.errors import PorterError, plural
from porter.graph.codegen.network import Output
from porter.graph.codegen.step import Port, Program
from porter.mapping.rows import Endpoint
from porter.mapping.table import Table
from porter.runners.images import GRAY, read_image, sample_paths
from porter.runners.presets import resize_bilinear
from porter.runners.runner import Runner
from porter.runners.torch import evaluating
from porter.runners.user_code import one_sentence

NOISE = 2
"""Images of noise, beside porter's sample pictures."""
OPEN_SIDE = 128
"""The height or width of images where the graph leaves it open."""


def load_network(path: Path) -> nn.Module:
    """Return what load() of the source file ``path`` builds, filled with the weights beside it.

    The file runs as code: porter calls this for text that it has written itself, or that its owner trusts. Raises
    PorterError where that code fails.
    """
    module = ModuleType("decompiled_network")
    module.__file__ = str(path)
    with one_sentence(path.name):
        # An import would read and write bytecode beside the file: another's code, and a folder that nobody asked for.
        exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), module.__dict__)
        network = module.load()
    if not isinstance(network, nn.Module):
        raise PorterError(f"load() in {path.name} returns the type {type(network).__name__}: return the network")
    return network


def stop_dropout(module: nn.Module, paths: Iterable[str]) -> None:
    """Let the dropouts at ``paths`` drop nothing, those that run in eval mode too: two sides drop other values."""
    for path in paths:
        dropout: Any = module.get_submodule(path)
        dropout.p = 0.0


class DecompiledRunner(Runner):
    """Runs a written network on images in the graph's order of axes, and returns the graph's tensors by name.

    A network of several ``inputs`` gets rows: all values of an image's first input, then those of the next.
    ``outputs`` are the modules to read beside the network's own outputs, which ``ends`` has by the graph's tensors.
    """

    label = "PyTorch"

    def __init__(
        self,
        module: nn.Module,
        inputs: Mapping[Port, Sequence[int]],
        outputs: Sequence[Output],
        ends: Mapping[str, Port],
    ) -> None:
        self.module, self.inputs, self.outputs, self.ends = module, inputs, outputs, ends

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        modules = dict(self.module.named_modules())
        found: dict[str, np.ndarray] = {}
        hooks = []
        for output in self.outputs:

            def keep(_module: nn.Module, _given: Any, value: torch.Tensor, output: Output = output) -> None:
                found[output.tensor] = _kept(value, output.channels_first)

            hooks.append(modules[output.path].register_forward_hook(keep))
        try:
            tensors = [torch.from_numpy(np.ascontiguousarray(values)) for values in self._parts(images)]
            with one_sentence("model.py"), evaluating(self.module, tensors[0].dtype), torch.inference_mode():
                computed = self.module(*tensors)
        finally:
            for hook in hooks:
                hook.remove()
        parts = computed if isinstance(computed, tuple) else (computed,)
        if len(parts) != len(self.ends):
            raise PorterError(f"model.py returns {plural(len(parts), 'tensor')} for the {len(self.ends)} of the graph")
        for (name, port), value in zip(self.ends.items(), parts, strict=True):
            found[name] = _kept(value, port.channels_first)
        return found

    def _parts(self, images: np.ndarray) -> list[np.ndarray]:
        """Return each input's values in the module's order of axes."""
        pairs = zip(parts_of(images, self.inputs), self.inputs, strict=True)
        return [np.moveaxis(part, -1, 1) if port.channels_first else part for part, port in pairs]


def parts_of(images: np.ndarray, inputs: Mapping[Port, Sequence[int]]) -> list[np.ndarray]:
    """Return each input's values in the graph's order of axes; of several inputs, images are rows: DecompiledRunner."""
    if len(inputs) == 1:
        return [images]
    ends = np.cumsum([math.prod(sizes) for sizes in inputs.values()])[:-1]
    rows = zip(np.split(images, ends, axis=1), inputs.values(), strict=True)
    return [row.reshape(len(images), *sizes) for row, sizes in rows]


def _kept(value: torch.Tensor, channels_first: bool) -> np.ndarray:
    values = value.detach().cpu().numpy().copy()
    return np.moveaxis(values, 1, -1) if channels_first and values.ndim > 2 else values


def graph_runner(graph: Any, tensors: Sequence[str], path: Path | str, trust: bool = False) -> Runner:
    """Return TensorFlow running the frozen GraphDef ``graph`` up to ``tensors``, the network's output last.

    ``trust`` runs ops that may do more than compute. Raises FormatError where TensorFlow must not or cannot run it.
    """
    from porter.runners.tensorflow import TFRunner

    table = Table("mapping", {}, (), tuple(Endpoint(tensor, {"tf": tensor}) for tensor in tensors))
    return TFRunner(graph, table, path, trust=trust, judged=tensors[-1])


def input_sizes(program: Program, path: Path | str, size: int | None = None) -> dict[Port, tuple[int, ...]]:
    """Return the sizes of each input without the batch; ``size`` is an open height and width, in pixels.

    Raises PorterError where the network has no input, or one of several has no batch.
    """
    unfit = [port.tensor for port in program.inputs if not port.shape or port.shape[0] not in (None, 1)]
    if not program.inputs or (unfit and len(program.inputs) > 1):
        what = f"an input without a batch ({unfit[0]})" if unfit else "no input"
        raise PorterError(f"{path} has {what}, and porter verifies batches of images: name other `inputs`")
    return {port: tuple(side or size or OPEN_SIDE for side in port.shape[1:]) for port in program.inputs}


def trial_images(
    inputs: Mapping[Port, Sequence[int]],
    whole: Collection[str] = (),
    expects: Mapping[str, tuple[float, float]] | None = None,
    least: int = 0,
) -> np.ndarray:
    """Return float32 pictures and noise for inputs of these sizes, of several as rows: see DecompiledRunner.

    There are ``least`` images or more. A tensor of ``expects`` has values of that range, where others have -1 to 1;
    noise is normal, and so exceeds the range. Tensors of ``whole`` get whole numbers in 0 to 255.
    """
    pictured = any(len(sizes) == 3 for sizes in inputs.values())
    found = [_trial(sizes, number, pictured, least) for number, sizes in enumerate(inputs.values())]
    for at, port in enumerate(inputs):
        if port.tensor in whole:
            found[at] = np.rint((found[at].clip(-1, 1) + 1) * np.float32(127.5))
        elif expects and port.tensor in expects:
            low, high = map(np.float32, expects[port.tensor])
            found[at] = (found[at] + 1) * ((high - low) / 2) + low
    return found[0] if len(found) == 1 else np.concatenate([part.reshape(len(part), -1) for part in found], axis=1)


def _trial(sizes: Sequence[int], number: int, pictured: bool, least: int) -> np.ndarray:
    """Return the images of input ``number``: pictures, for the next input in another order, and noise of its own.

    ``pictured``: an input that is no picture gets noise beside the others' pictures.
    """
    paths = sample_paths()
    count = max(NOISE + (len(paths) if pictured else 0), least)
    found = np.random.default_rng(number).normal(size=(count, *sizes)).astype(np.float32)
    if len(sizes) == 3:
        for at, path in enumerate(paths):
            found[(at + number) % len(paths)] = _picture(path, *sizes)
    return found


def _picture(path: Path, height: int, width: int, channels: int) -> np.ndarray:
    picture = resize_bilinear(read_image(path).astype(np.float32) / np.float32(255), height, width)
    picture = picture * np.float32(2) - np.float32(1)
    if channels == 1:
        picture = (picture @ np.asarray(GRAY, np.float32))[..., None]
    return np.resize(picture, (height, width, channels)) if channels > 3 else picture[..., :channels]
