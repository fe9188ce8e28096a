"""Makes the environment of each contender under build/contenders/, from the lists beside this file.

python benchmarks/contenders/make_environments.py            all that are missing
python benchmarks/contenders/make_environments.py timm       some
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

LISTS = Path(__file__).parent / "environments"
BUILD = Path(__file__).parents[2] / "build" / "contenders"


def make(name: str) -> None:
    """Make one environment, unless it is newer than its list. Lines with --no-deps are installed last, and alone.

    These may ask for a newer Python than this one: their lists say why that does no harm.
    """
    packages, folder = LISTS / f"{name}.txt", BUILD / name
    ready = folder / "ready"
    if ready.exists() and ready.stat().st_mtime > packages.stat().st_mtime:
        return
    venv.create(folder, with_pip=True, clear=True)
    lines = [line for line in packages.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    alone = [line.removeprefix("--no-deps ") for line in lines if line.startswith("--no-deps ")]
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *(line for line in lines if not line.startswith("--"))], check=True)
    if alone:
        subprocess.run([*pip, "--no-deps", "--ignore-requires-python", *alone], check=True)
    ready.touch()


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in LISTS.glob("*.txt")):
        make(name)
