"""The command line: parse, call a verb, print, exit. Every verb returns its result and prints nothing."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import track as rich_track
from rich.text import Text

from porter.archs import ARCHS
from porter.errors import PorterError
from porter.kinds import SEPARATORS
from porter.render.terminal import console, new_grid, print_json
from porter.translate import WEIGHTS

T = TypeVar("T")
FAILED_PARITY, MISTAKE = 1, 2


class ModelGroup(click.Group):
    """A group in which a model's name may stand where a subcommand does: ``port nasnet_large …``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            return "MODEL", port_model, args
        return super().resolve_command(ctx, args)


@click.group(
    cls=ModelGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="MODEL|COMMAND [OPTIONS]…",
    epilog="`port MODEL --help` shows how a model is ported.",
)
@click.version_option(version("porter"), prog_name="porter")
def cli() -> None:
    """Move image models between deep-learning frameworks, and prove that nothing changed on the way.

    \b
    port MODEL --from tf --to torch --checkpoint model.ckpt --out model.safetensors
    port verify MODEL
    port inspect PATH
    port list
    """


DIALECT = click.Choice(sorted(SEPARATORS))
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
weights_option = click.option(
    "--weights",
    type=click.Choice(WEIGHTS),
    default="auto",
    show_default=True,
    help="Take the moving averages (ema), the trained values (raw), or the averages where all are there.",
)
ignore_option = click.option(
    "--ignore",
    multiple=True,
    metavar="PATTERN",
    help="Leave out the variables of this pattern, as in 'head/*'.",
)
images_option = click.option(
    "--images",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A picture to verify on; may be given several times. Default: the sample pictures.",
)


@click.command(name="port")
@click.argument("model", metavar="")  # the usage line names it already: port MODEL
@click.option("--from", "source", type=DIALECT, required=True, help="The checkpoint's dialect.")
@click.option("--to", "target", type=DIALECT, required=True, help="The dialect to port to.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    required=True,
    help="A prefix, .index, .data file, folder, `checkpoint` file or frozen .pb.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The file to write: .safetensors or .pth.")
@weights_option
@ignore_option
@click.option("--verify", is_flag=True, help="Run the original and the port, and write only where parity holds.")
@images_option
@json_option
def port_model(as_json: bool, **options: Any) -> int:
    """Port MODEL's checkpoint from one dialect to another."""
    from porter.port import port

    result = port(track=track, **options)
    if as_json:
        print_json(result.as_dict())
    else:
        show_port(result)
    return 0 if result else FAILED_PARITY


@cli.command()
@click.argument("model")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Verify these weights against TensorFlow.")
@images_option
@click.option("--framework", type=click.Choice(["torch"]), default="torch", show_default=True)
@weights_option
@ignore_option
@json_option
def verify(as_json: bool, **options: Any) -> int:
    """Verify the port of MODEL, against the goldens of the original code or on a checkpoint."""
    from porter.verify import verify

    result = verify(**options)
    if as_json:
        print_json(result.as_dict())
    else:
        show_verification(result)
    return 0 if result else FAILED_PARITY


@cli.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--depth", type=click.IntRange(1), help="List the variables by scope, this many names deep.")
@click.option("--size", type=click.IntRange(1), help="The pictures' height and width, where the graph leaves it open.")
@click.option("--scope", metavar="NAME", help="Show one block's layers and their wiring.")
@click.option("--find", metavar="REGEX", help="Show the nodes whose name or op this is found in.")
@click.option("--diff", type=click.Path(path_type=Path), help="Show what differs from the graph in this file.")
@click.option("--html", type=click.Path(path_type=Path), help="Write one offline page to click through.")
@click.option("--svg", type=click.Path(path_type=Path), help="Write a picture of the blocks, or of one --scope.")
@click.option(
    "--mapping", type=click.Path(path_type=Path), help="Write a first mapping table (.toml) for the variables."
)
@click.option(
    "--tensorboard", type=click.Path(path_type=Path), help="Write an event file for TensorBoard into this folder."
)
@json_option
def inspect(path: Path, depth: int | None, size: int | None, as_json: bool, **options: Any) -> None:
    """Show what PATH is: a graph, a SavedModel, a checkpoint, an event file or a folder of these."""
    from porter.inspect import inspect, open_graph
    from porter.render import views

    with uncollected():
        wanted = {name: value for name, value in options.items() if value}
        drawn = "svg" in wanted and wanted.keys() <= {"svg", "scope"}
        if len(wanted) > 1 and not drawn:
            raise click.UsageError(f"--{' and --'.join(wanted)} ask for different things: give one of them")
        if options["mapping"]:
            views.mapping(path, options["mapping"], as_json)
        elif drawn:
            views.svg(open_graph(path, size), options["svg"], as_json, options["scope"])
        elif wanted:
            ((view, value),) = wanted.items()
            views.VIEWS[view](open_graph(path, size), value, as_json)
        else:
            views.overview(inspect(path, depth, size=size), depth is not None, as_json)


@cli.command(name="list")
@json_option
def list_models(as_json: bool) -> None:
    """List the models."""
    if as_json:
        models = {
            arch.name: {
                "aliases": list(arch.aliases),
                "input_size": arch.input_size,
                "num_classes": arch.num_classes,
                "frameworks": list(arch.builders),
                "parameters": parameters(arch.name),
            }
            for arch in ARCHS.values()
        }
        print_json(models)
        return
    grid = new_grid("model", "input", "classes", "parameters", "ported to")
    for arch in ARCHS.values():
        name = " = ".join([arch.name, *arch.aliases])
        size = f"{arch.input_size}x{arch.input_size}"
        grid.add_row(name, size, str(arch.num_classes), f"{parameters(arch.name):,}", ", ".join(arch.builders))
    console().print(grid)


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage: of a graph's many small objects none is any, and looking takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def parameters(model: str) -> int:
    """Return the original's number of values, statistics included."""
    import math

    from porter.recorded import recorded

    return sum(math.prod(shape) for shape in recorded(model).variables.values())


def track(steps: Iterable[T], what: str) -> Iterable[T]:
    """Show progress on a terminal, on standard error, and nothing in a pipe."""
    errors = Console(stderr=True)
    return rich_track(steps, what, console=errors, transient=True) if errors.is_terminal else steps


def show_counts(out: Console, roles: dict[str, int]) -> None:
    parts = [f"{count} {role}{'' if count == 1 else 's'}" for role, count in roles.items()]
    out.print(Text(f"  holds    {', '.join(parts)}"), soft_wrap=True)


def show_port(result: Any) -> None:
    """Print what was read, taken, left out and written, and the parity where it was checked."""
    out, found = console(), result.translation
    out.print(Text(f"{result.model}: {result.checkpoint.path} ({result.checkpoint.format})"), soft_wrap=True)
    show_counts(out, found.roles)
    if found.ignored:
        out.print(Text(f"  ignored  {', '.join(found.ignored)}"), soft_wrap=True)
    taken = "the moving averages" if found.weights == "ema" else "the raw values"
    if found.ema_difference is not None:
        taken += f"; largest |raw - ema| {found.ema_difference:.3g}"
    out.print(Text(f"  weights  {found.weights}: {taken}"))
    size = f"{len(found.entries)} tensors, {found.parameters:,} values, {found.num_classes} classes"
    out.print(Text(f"  ported   {size}, {result.source} -> {result.target}"))
    if result.verification is not None:
        show_verification(result.verification)
    if result.out is not None:
        out.print(Text(f"wrote {result.out} ({result.out.stat().st_size:,} bytes)"), soft_wrap=True)
    elif not result:
        out.print("nothing was written, because parity failed", soft_wrap=True)


def show_verification(result: Any) -> None:
    """Print each picture's labels on both sides, the endpoints, and the verdict last."""
    out = console()
    out.print(Text(f"{result.model} in {result.framework}, against {result.reference}"), soft_wrap=True)
    out.print(Text(f"  on {result.inputs}"), soft_wrap=True)
    for picture in result.pictures:
        show_picture(out, picture, result.framework)
    out.print()
    show_endpoints(out, result.report)
    if result.report.missing:
        out.print(Text(f"not on both sides: {', '.join(result.report.missing)}"), soft_wrap=True)
    out.print(Text(str(result.report)), style="green" if result else "bold red", soft_wrap=True)


def show_picture(out: Console, picture: Any, framework: str) -> None:
    """Print one picture's five likeliest labels, side by side."""
    name = {"torch": "PyTorch", "keras": "Keras"}[framework]
    out.print()
    grid = new_grid(picture.picture, "TensorFlow", "", name)
    for (ours, p), (theirs, q) in zip(picture.port, picture.reference, strict=True):
        grid.add_row(shorten(theirs), f"{q:.6f}", "" if ours == theirs else shorten(ours), f"{p:.6f}")
    out.print(grid)
    out.print(f"largest logit difference {picture.largest_logit_difference:.2e}")


def shorten(label: str, width: int = 44) -> str:
    return label if len(label) <= width else label[: width - 1] + "…"


def show_endpoints(out: Console, report: Any) -> None:
    grid = new_grid("endpoint", "float64 / deviation", "float32 rms / original's", "largest / original's", "")
    for row in report.rows:
        verdict = Text("ok", style="green") if row.ok else Text("departs", style="bold red")
        numbers = (f"{row.exact:.1e}", f"{row.rounding_rms:.2f}", f"{row.rounding_largest:.2f}")
        grid.add_row(row.endpoint, *numbers, verdict)
    out.print(grid)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake is one sentence on standard error and exit status 2."""
    try:
        status = cli.main(args=args, prog_name="port", standalone_mode=False)
    except PorterError as error:
        stop(str(error))
    except click.ClickException as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if isinstance(error, click.UsageError) and error.ctx else ""
        stop(f"{error.format_message()}{hint}")
    except click.Abort:
        stop("interrupted", 130)
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        stop(f"{error.filename or 'a file'}: {error.strerror or error}")
    sys.exit(status or 0)


def stop(message: str, status: int = MISTAKE) -> None:
    click.echo(f"port: {message}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
