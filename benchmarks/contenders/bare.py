"""Ports without names or checks: maps the file, transposes each tensor, streams it out.

    python bare.py PLAN.json             maps, transposes, streams out
    python bare.py PLAN.json checked     the least that checks and digests cost: SHA-256 of input and output, and fsync

The plan has the input, the output, its header in hexadecimal, and for each tensor in the output's order its place in
the input in bytes, its shape and the order of its axes. It needs numpy alone.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np

checked = sys.argv[2:] == ["checked"]
plan = json.loads(Path(sys.argv[1]).read_text())
mapped = np.memmap(plan["input"], np.uint8, "r")
with open(plan["output"], "wb") as out:
    out.write(bytes.fromhex(plan["header"]))
    for offset, size, shape, order in plan["tensors"]:
        values = mapped[offset : offset + size].view(np.float32).reshape(shape)
        values = np.ascontiguousarray(values.transpose(order))
        out.write(values.data)
        if checked:
            hashlib.sha256(values.data).hexdigest()
            if not np.isfinite(values).all():
                sys.exit("a value is not finite")
    if checked:
        hashlib.sha256(mapped.data).hexdigest()
        out.flush()
        os.fsync(out.fileno())
