"""A golden recorded afresh from the authors' own code is the stored one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from porter.files import package_data

NAME = "mobilenet_v1_0.25_97"


@pytest.mark.slow
def test_a_golden_is_what_the_original_code_computes_today(tmp_path: Path) -> None:
    pytest.importorskip("tf_slim", reason="needs golden/requirements.txt")
    recorder = package_data.folder("golden") / "record.py"
    command = [sys.executable, str(recorder), NAME, "--out", str(tmp_path)]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    stored, fresh = package_data.folder("golden") / NAME, tmp_path / NAME
    assert (stored / "variables.json").read_bytes() == (fresh / "variables.json").read_bytes()
    assert (stored / "graph.pb.gz").read_bytes() == (fresh / "graph.pb.gz").read_bytes()
    with np.load(stored / "golden.npz") as want, np.load(fresh / "golden.npz") as got:
        assert set(got) == set(want)
        for key in want:
            # Other processors sum in another order: rounding may differ, in units of the deviation.
            bound = 1e-12 if want[key].dtype == np.float64 else 1e-4
            assert np.abs(got[key] - want[key]).max() <= bound * want[key].std(), key
