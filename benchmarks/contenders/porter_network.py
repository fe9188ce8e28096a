"""Runs a network that porter wrote, as anybody would who got its folder.

    python porter_network.py FOLDER

FOLDER has net/, image.npy and double.npy.
"""

import sys
from pathlib import Path

import converted

folder = Path(sys.argv[1])
source = folder / "net" / "model.py"
sys.path.append(str(source.parent))
import model

converted.report(model.load, lambda: len(source.read_text().splitlines()), folder)
