"""The command `port`, outside the package, so that an interrupt while the package is imported is a sentence too."""

from __future__ import annotations

import sys


def main() -> None:
    """Run porter.cli.main."""
    try:
        from porter.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("port: interrupted\n")
        sys.exit(130)
