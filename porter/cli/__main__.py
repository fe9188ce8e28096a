"""Entry point of the commands `port` and `porter`: an interrupt while porter is imported is one sentence too."""

import sys

from porter.files.called import called_as


def main() -> None:
    """Run porter.cli.main, whose imports take most of the time, with interrupts caught."""
    try:
        from porter.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write(f"{called_as()}: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
