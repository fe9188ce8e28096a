"""Runs a network in PyTorch on CPU: porter's, timm's or Cadene's, the last two channels_last.

    python run_torch.py LIBRARY MODEL SIDE BATCH THREADS

LIBRARY is porter, porter-fused, porter-compiled, timm or cadene; MODEL is its own name for the network. Weights are
those of a fresh network: they do not change the time.
"""

import sys
from pathlib import Path

import timed

library, model, side, batch, threads = sys.argv[1:]
sys.path.append(str(Path(__file__).parents[2] / "tests"))

import torch

torch.set_num_threads(int(threads))
torch.manual_seed(0)
versions = {"torch": torch.__version__}
if library.startswith("porter"):
    from porter.catalog.models import find_arch
    from porter.nets.build import build

    network = build(find_arch(model), "torch", None)
    if library != "porter":
        from porter.nets.fuse_torch import fuse

        network = fuse(network)
elif library == "timm":
    from helpers.torchvision_stand_in import standing_in

    with standing_in():
        import timm
    versions["timm"] = timm.__version__
    network = timm.create_model(model).eval().to(memory_format=torch.channels_last)
else:
    from helpers.torchvision_stand_in import standing_in

    with standing_in():
        import pretrainedmodels
    versions["pretrainedmodels"] = pretrainedmodels.__version__
    network = getattr(pretrainedmodels, model)(pretrained=None).eval().to(memory_format=torch.channels_last)
images = torch.randn(int(batch), 3, int(side), int(side)).to(memory_format=torch.channels_last)
if library == "porter-compiled":
    import torch._inductor.config

    torch._inductor.config.freezing = True
    network = torch.compile(network)


@torch.inference_mode()
def run() -> None:
    network(images)


if library == "porter-compiled":
    run = torch.no_grad()(lambda: network(images))  # freezing refuses tensors of inference mode
timed.serve(run, **versions)
