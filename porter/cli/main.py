"""The command group, and how its errors end."""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, cast

import click

from porter.cli.process import collect_seldom, one_blas_thread
from porter.errors import PorterError
from porter.files.called import as_called, called_as
from porter.runners.tensorflow_settings import before_tensorflow

MISTAKE = 2

COMMANDS: Mapping[str, tuple[str, str]] = {
    "check": ("check", "Check FILE for damage: a file or folder that porter wrote, or a TensorFlow checkpoint."),
    "convert": ("convert", "Port a checkpoint of MODEL to another dialect."),
    "decompile": ("decompile", "Write the network in GRAPH as PyTorch source that reads like a person's."),
    "fetch": ("fetch", "Fetch the released checkpoint of MODEL into the cache."),
    "inspect": (
        "inspect",
        "Show what PATH is: a graph, a SavedModel, a checkpoint, an event file or a folder of these.",
    ),
    "list": (
        "list_models",
        "List the models, their published accuracy, and which released checkpoints are in the cache.",
    ),
    "seed": ("seed", "Write a TensorFlow checkpoint of MODEL with name-seeded weights, for tests and demos."),
    "verify": ("verify", "Verify the port of MODEL at every endpoint."),
}
"""Each command's function in its own module, and the first sentence of its help, which needs no import."""


class Commands(Mapping[str, click.Command]):
    """The commands by name. Each is imported when it is used: all of them take five times as long as click."""

    def __getitem__(self, name: str) -> click.Command:
        function, _ = COMMANDS[name]
        try:
            return cast(click.Command, getattr(import_module(f"porter.cli.{name}"), function))
        except KeyboardInterrupt:
            raise click.Abort from None  # click would print an empty line first

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class ModelGroup(click.Group):
    """A group that reads a model's name in place of a command as ``convert``: ``port nasnet_large …``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = cast(Any, Commands())

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command's name and first sentence, without importing the command."""
        listed = click.Group(commands=[click.Command(name, help=text) for name, (_, text) in COMMANDS.items()])
        listed.format_commands(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta["porter.args"] = list(args)
        with one_blas_thread():
            if args and args[0] not in self.commands and not args[0].startswith("-"):
                self._require_model(args[0])
                args = ["convert", *args]
            return super().resolve_command(ctx, args)

    def _require_model(self, name: str) -> None:
        """Raise PorterError unless ``name`` is a model's, with the command that was probably meant."""
        if not name:
            raise PorterError("the model's name is empty: choose one that `port list` shows")
        import difflib

        from porter.catalog.models import find_arch
        from porter.cli.given_file import refuse_file
        from porter.formats.facts import is_decompiled

        if is_decompiled(name):
            return
        close = difflib.get_close_matches(name, self.commands, n=1, cutoff=0.75)
        if close:
            raise PorterError(f"unknown command or model {name!r}: did you mean `port {close[0]}`?")
        refuse_file(name)
        find_arch(name)

    def get_help(self, ctx: click.Context) -> str:
        """Return the help text with the name that the command was called by."""
        return as_called(super().get_help(ctx))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; where a library error names arguments, name the command's flags instead."""
        try:
            return super().invoke(ctx)
        except PorterError as error:
            from porter.cli.flags import Flags

            flags = Flags(self.commands.values(), self.commands.get(ctx.invoked_subcommand or ""))
            raise click.ClickException(flags.replace(str(error))) from error


def show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print porter's version and exit, where --version is given."""
    if wanted:
        from porter.files.installed import DISTRIBUTION, porter_version

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


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; an error is one sentence on standard error and exit status 2."""
    before_tensorflow()
    collect_seldom()
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
    from porter.render.text import printable

    shown = "\n".join(printable(line) for line in as_called(message).split("\n"))
    click.echo(f"{called_as()}: {shown}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
