"""Ports with TensorFlow and PyTorch as one does by hand: reads all tensors, transposes them, saves a state dict.

    python by_hand.py PLAN.json

The plan has the checkpoint's prefix, the output, and for each tensor its two names and the order of its axes.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import torch

plan = json.loads(Path(sys.argv[1]).read_text())
reader = tf.train.load_checkpoint(plan["prefix"])
state = {}
for source, target, order in plan["names"]:
    values = reader.get_tensor(source)
    state[target] = torch.from_numpy(np.ascontiguousarray(values.transpose(order)))
torch.save(state, plan["output"])
