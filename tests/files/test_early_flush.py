"""Files whose bytes begin their way to the disk early hold what was written, whatever the sizes of the writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from porter.files.early_flush import STEP, open_early


def test_every_byte_is_there(tmp_path: Path) -> None:
    parts = [np.random.default_rng(size).bytes(size) for size in (0, 1, 9_000, STEP + 3, 5, STEP)]
    with open_early(tmp_path / "file") as file:
        for part in parts:
            file.write(part)
    assert (tmp_path / "file").read_bytes() == b"".join(parts)
