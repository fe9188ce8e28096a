"""Ports without names or checks: maps the file, transposes each tensor, streams it out.

    python bare.py PLAN.json

The plan has the input, the output, its header in hexadecimal, and for each tensor in the output's order its place in
the input in bytes, its shape and the order of its axes. It needs numpy alone.
"""

import json
import sys
from pathlib import Path

import numpy as np

plan = json.loads(Path(sys.argv[1]).read_text())
mapped = np.memmap(plan["input"], np.uint8, "r")
with open(plan["output"], "wb") as out:
    out.write(bytes.fromhex(plan["header"]))
    for offset, size, shape, order in plan["tensors"]:
        values = mapped[offset : offset + size].view(np.float32).reshape(shape)
        out.write(np.ascontiguousarray(values.transpose(order)).data)
