"""Runs an ONNX network with onnxruntime on CPU.

python run_onnx.py MODEL.onnx SIDE BATCH THREADS
"""

import sys

import numpy as np
import onnxruntime
import timed

path, side, batch, threads = sys.argv[1:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = int(threads), 1
session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
images = np.random.default_rng(0).uniform(-1, 1, (int(batch), int(side), int(side), 3)).astype(np.float32)
name = session.get_inputs()[0].name
timed.serve(lambda: session.run(None, {name: images}), onnxruntime=onnxruntime.__version__)
