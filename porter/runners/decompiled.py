"""Runs a written network beside the graph that it was written from."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from porter.errors import PorterError
from porter.graph.codegen.network import Output
from porter.graph.codegen.step import Free, Port, Program
from porter.mapping.rows import Endpoint
from porter.mapping.table import Table
from porter.runners.images import GRAY, read_image, sample_paths
from porter.runners.presets import resize_bilinear
from porter.runners.runner import Runner
from porter.runners.torch import evaluating

NOISE = 2
"""Images of noise, beside porter's sample pictures."""
OPEN_SIDE = 128
"""The height or width of images where the graph leaves it open."""


def load_network(path: Path) -> nn.Module:
    """Return what load() of the source file ``path`` builds, filled with the weights beside it.

    The file runs as code: porter calls this for text that it has written itself.
    """
    spec = importlib.util.spec_from_file_location("decompiled_network", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = module.load()
    return network


class DecompiledRunner(Runner):
    """Runs a written network on images in the graph's order of axes, and returns the graph's tensors by name.

    ``outputs`` are the modules to read beside the network's own outputs, which ``ends`` describes.
    """

    label = "PyTorch"

    def __init__(self, module: nn.Module, inputs: Port, outputs: Sequence[Output], ends: Sequence[Port]) -> None:
        self.module, self.input, self.outputs, self.ends = module, inputs, outputs, ends

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        values = _first(images) if self.input.channels_first else images
        modules = dict(self.module.named_modules())
        found: dict[str, np.ndarray] = {}
        hooks = []
        for output in self.outputs:

            def keep(_module: nn.Module, _given: Any, value: torch.Tensor, output: Output = output) -> None:
                found[output.tensor] = _kept(value, output.channels_first)

            hooks.append(modules[output.path].register_forward_hook(keep))
        try:
            tensor = torch.from_numpy(np.ascontiguousarray(values))
            with evaluating(self.module, tensor.dtype), torch.inference_mode():
                computed = self.module(tensor)
        finally:
            for hook in hooks:
                hook.remove()
        parts = computed if isinstance(computed, tuple) else (computed,)
        for port, value in zip(self.ends, parts, strict=True):
            found[port.source] = _kept(value, port.channels_first)
        return found


def _first(values: np.ndarray) -> np.ndarray:
    return np.moveaxis(values, -1, 1)


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


def require_one_input(program: Program, path: Path | str) -> Port:
    """Return the network's input. Raises PorterError where it has several, which porter cannot verify."""
    if len(program.inputs) != 1:
        names = ", ".join(port.tensor for port in program.inputs) or "none"
        raise PorterError(
            f"{path} has {len(program.inputs)} inputs ({names}), and porter verifies networks of one: name the tensor "
            "where the network begins by `inputs`"
        )
    return program.inputs[0]


def trial_images(shape: Free, size: int | None = None) -> np.ndarray:
    """Return float32 pictures and noise of an input's ``shape``; ``size`` is an open height and width, in pixels."""
    sides = [side or size or OPEN_SIDE for side in shape[1:]]
    noise = np.random.default_rng(0).normal(size=(NOISE, *sides)).astype(np.float32)
    if len(shape) != 4:
        return noise
    height, width, channels = sides
    pictures = []
    for path in sample_paths():
        picture = resize_bilinear(read_image(path).astype(np.float32) / np.float32(255), height, width)
        picture = picture * np.float32(2) - np.float32(1)
        if channels == 1:
            picture = (picture @ np.asarray(GRAY, np.float32))[..., None]
        pictures.append(np.resize(picture, (height, width, channels)) if channels > 3 else picture[..., :channels])
    return np.concatenate([np.stack(pictures).astype(np.float32), noise])
