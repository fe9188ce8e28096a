"""Safetensors files: the values that the package reads, one tensor in memory at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from porter.errors import FormatError
from porter.formats.safetensors import DTYPES, read_safetensors

PEAK = """
import sys
from pathlib import Path
from porter.formats.safetensors import read_safetensors
for entry in read_safetensors(Path(sys.argv[1])).entries.values():
    entry.load().sum()
# The process's own peak: getrusage would count the memory that it was forked with.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
TENSORS, ROWS = 20, 2500


@pytest.mark.parametrize("shape", [(), (0, 4), (3,), (2, 3, 1)])
def test_each_dtype_is_read_as_the_package_reads_it(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 2, shape)
    path = tmp_path / "m.safetensors"
    save_file({dtype.name: np.asarray(values, dtype) for dtype in DTYPES.values()}, path)
    entries = read_safetensors(path).entries
    with safe_open(path, "numpy") as file:
        for name, entry in entries.items():
            got, want = entry.load(), file.get_tensor(name)
            assert (got.dtype, got.shape) == (want.dtype, want.shape) == (entry.dtype, entry.shape)
            assert np.array_equal(got, want)
    assert entries.keys() == {dtype.name for dtype in DTYPES.values()}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone states a process' peak in /proc")
def test_a_large_file_takes_the_memory_of_one_tensor(tmp_path: Path) -> None:
    """Zeros that take no room on the disk: 20 tensors of 10 MB each."""
    size = ROWS * 1000 * 4
    header = {
        f"t{at}": {"dtype": "F32", "shape": [ROWS, 1000], "data_offsets": [at * size, (at + 1) * size]}
        for at in range(TENSORS)
    }
    text = json.dumps(header).encode()
    path = tmp_path / "m.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + TENSORS * size)
    done = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < TENSORS * size / 2


def test_a_file_that_was_cut_after_it_was_opened_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"kernel": np.ones((100, 100), np.float32)}, path)
    entry = read_safetensors(path).entries["kernel"]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(FormatError, match=r"m\.safetensors: kernel cannot be read: the file ends before it; copy"):
        entry.load()
