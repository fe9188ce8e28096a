"""Writes an ONNX network as PyTorch source with onnx2tf, and runs it.

    python onnx2tf_network.py FOLDER

FOLDER has network.onnx, image.npy and double.npy.
"""

import importlib
import sys
from pathlib import Path

import converted
import onnx2tf

folder = Path(sys.argv[1])
package = folder / "onnx2tf" / "network_pytorch"


def make():
    onnx2tf.convert(
        input_onnx_file_path=str(folder / "network.onnx"),
        output_folder_path=str(package.parent),
        tflite_backend="flatbuffer_direct",
        flatbuffer_direct_output_pytorch=True,
    )
    sys.path.append(str(package.parent))
    return importlib.import_module(package.name).load_model()


converted.report(make, lambda: len((package / "model.py").read_text().splitlines()), folder)
