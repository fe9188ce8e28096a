"""Verifying many images takes no more memory than a few: the peak of verify on 10 and on 1000 images.

    python benchmarks/verify_memory.py              10 and 1000 images
    python benchmarks/verify_memory.py --many       10,000 images too
    python benchmarks/verify_memory.py --write      the table in docs/verify.md too

Each row is a process of its own, which verifies MobileNet V1 0.25 128 with name-seeded weights: TensorFlow runs the
original and PyTorch the port, both in float32 and float64. The images are links to the sample images. The peak is the
process's largest resident set size. Exits with 1 where a peak is above BOUND times that of the first row.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pages

MODEL = "mobilenet_v1_0.25_128"
COUNTS, MANY = (10, 1000), 10_000
BOUND = 1.05
HEAD = ("| images | peak memory | of that on 10 images | time |", "| --: | --: | --: | --: |")


def linked_images(folder: Path, count: int) -> list[Path]:
    """Return ``count`` links in ``folder`` to the sample images."""
    from porter.runners.images import sample_paths

    samples = sample_paths()
    links = [folder / f"{number:05}.png" for number in range(count)]
    for number, link in enumerate(links):
        link.symlink_to(samples[number % len(samples)])
    return links


def verify_images(count: int) -> None:
    """Verify ``count`` images in this process and print its peak memory in bytes."""
    import resource

    from porter import verify
    from porter.verbs.seed import seed

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        checkpoint = seed(MODEL, folder / "seeded.ckpt").out
        result = verify(MODEL, checkpoint=checkpoint, images=linked_images(folder, count))
    if not result or len(result.images) != count:
        raise SystemExit(f"verify failed on {count} images: {result.ports}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak * (1 if sys.platform == "darwin" else 1024))


def measure(counts: Sequence[int]) -> list[str]:
    """Return the table's rows, one for each number of images."""
    rows, first = [], 0
    for count in counts:
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, __file__, "--count", str(count)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},  # PyTorch's threads spin while they wait for each other
        )
        peak = int(done.stdout)
        first = first or peak
        seconds = time.monotonic() - start
        rows.append(f"| {count:,} | {peak / 1e6:.0f} MB | {peak / first:.3f} | {seconds:.0f} s |")
        print(rows[-1], flush=True)
    return rows


def ratio(row: str) -> float:
    """Return a row's peak over that of the first row."""
    return float(row.split("|")[3])


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--many", action="store_true", help=f"verify {MANY:,} images too")
    parser.add_argument("--write", action="store_true", help="write the table into docs/verify.md")
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count:
        verify_images(options.count)
        return 0
    print(*HEAD, sep="\n")
    rows = measure((*COUNTS, MANY) if options.many else COUNTS)
    if options.write:
        pages.write("verify.md", "verify_memory.py", [*HEAD, *rows])
    return 1 if any(ratio(row) > BOUND for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
