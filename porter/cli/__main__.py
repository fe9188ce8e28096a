"""Entry point of `port` and `porter`: an interrupt while porter is imported is one sentence too."""

import sys


def main() -> None:
    """Run porter.cli.main. Nothing else of porter is imported before the interrupt is caught."""
    try:
        from porter.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("port: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
