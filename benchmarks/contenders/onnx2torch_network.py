"""Makes a network of an ONNX file with onnx2torch, which writes no source, and runs it.

    python onnx2torch_network.py FOLDER

FOLDER has network.onnx, image.npy and double.npy.
"""

import sys
from pathlib import Path

import converted

sys.path.append(str(Path(__file__).parents[2] / "tests"))
from helpers.torchvision_stand_in import standing_in

with standing_in():
    import onnx2torch

folder = Path(sys.argv[1])
converted.report(lambda: onnx2torch.convert(str(folder / "network.onnx")).eval(), lambda: None, folder)
