"""The command group, and how its errors end."""

from __future__ import annotations

import difflib
import gc
import io
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from porter.catalog.models import find_arch
from porter.cli.check import check
from porter.cli.convert import convert
from porter.cli.decompile import decompile
from porter.cli.fetch import fetch
from porter.cli.flags import Flags
from porter.cli.inspect import inspect
from porter.cli.list import list_models
from porter.cli.seed import seed
from porter.cli.verify import verify
from porter.errors import PorterError
from porter.files.called import as_called, called_as
from porter.files.installed import DISTRIBUTION, porter_version
from porter.formats.facts import is_decompiled
from porter.render.text import printable
from porter.runners.tensorflow_settings import before_tensorflow

MISTAKE = 2


class ModelGroup(click.Group):
    """A group that reads a model's name in place of a command as ``convert``: ``port nasnet_large …``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta["porter.args"] = list(args)
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            self._require_model(args[0])
            args = [convert.name or "", *args]
        return super().resolve_command(ctx, args)

    def _require_model(self, name: str) -> None:
        """Raise PorterError unless ``name`` is a model's, with the command that was probably meant."""
        if not name:
            raise PorterError("the model's name is empty: choose one that `port list` shows")
        if is_decompiled(name):
            return
        close = difflib.get_close_matches(name, self.commands, n=1, cutoff=0.75)
        if close:
            raise PorterError(f"unknown command or model {name!r}: did you mean `port {close[0]}`?")
        if Path(name).exists():
            raise PorterError(f"{name} is a file, not a model or command: see what it is with `port inspect {name}`")
        find_arch(name)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help text with the name that the command was called by."""
        return as_called(super().get_help(ctx))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; where a library error names arguments, name the command's flags instead."""
        try:
            return super().invoke(ctx)
        except PorterError as error:
            flags = Flags(self.commands.values(), self.commands.get(ctx.invoked_subcommand or ""))
            raise click.ClickException(flags.replace(str(error))) from error


def show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print porter's version and exit, where --version is given."""
    if wanted:
        click.echo(f"{DISTRIBUTION} {porter_version()}")
        ctx.exit()


@click.group(
    cls=ModelGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="MODEL|COMMAND [OPTIONS]…",
    epilog="`port MODEL …` is short for `port convert MODEL …`.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Print the version."
)
def cli() -> None:
    """Port image models between deep-learning frameworks, and verify every port against the original.

    \b
    port MODEL --from tf --to torch --out model.safetensors
    port verify MODEL
    port check model.safetensors
    port inspect PATH
    port list
    """


for command in (check, convert, decompile, fetch, inspect, list_models, seed, verify):
    cli.add_command(command)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; an error is one sentence on standard error and exit status 2."""
    before_tensorflow()
    # Frameworks and graphs keep millions of objects alive: collecting often takes up to a third of the time.
    gc.set_threshold(100_000, 50, 50)
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):  # an exit removes half-written files, a signal does not
            if hasattr(signal, name):  # Windows has no SIGHUP
                signal.signal(getattr(signal, name), lambda number, _frame: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    args = list(sys.argv[1:] if args is None else args) or ["--help"]
    try:
        status = cli.main(args=args, prog_name=called_as(), standalone_mode=False)
    except click.ClickException as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if isinstance(error, click.UsageError) and error.ctx else ""
        stop(f"{error.format_message().rstrip('.')}{hint}")
    except click.Abort:
        stop("interrupted", 130)
    except OSError as error:
        stop(f"{error.filename or 'standard output'}: {error.strerror or error}")
    sys.exit(status or 0)


def stop(message: str, status: int = MISTAKE) -> None:
    """Print one sentence on standard error and exit with ``status``."""
    shown = "\n".join(printable(line) for line in as_called(message).split("\n"))
    click.echo(f"{called_as()}: {shown}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
