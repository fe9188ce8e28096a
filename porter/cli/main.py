"""The command line: parse, call a verb, print, exit. Every verb returns its result and prints nothing."""

from __future__ import annotations

import difflib
import gc
import signal
import sys
import threading
from collections.abc import Collection, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import track as rich_track
from rich.text import Text

from porter.catalog.models import ARCHS, find_arch, is_model
from porter.cli.several import SeveralCommand
from porter.errors import PorterError
from porter.export.casting import DTYPES
from porter.files.seals import record_beside
from porter.mapping.dialects import SEPARATORS
from porter.mapping.table import Table
from porter.mapping.translate import AVERAGES
from porter.parity.compare_runs import BATCH
from porter.render.text import console, new_grid, print_json
from porter.render.verification_text import show_verification
from porter.runners.pictures import PREPROCESSING
from porter.runners.runner import PRECISIONS
from porter.runners.settings import before_tensorflow

T = TypeVar("T")
FAILED_PARITY, MISTAKE = 1, 2


class ModelGroup(click.Group):
    """A group in which a model's name may stand where a subcommand does: ``port nasnet_large …``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta["porter.args"] = list(args)
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            verb = difflib.get_close_matches(args[0], self.commands, n=1, cutoff=0.75)
            if verb:
                raise PorterError(f"porter has no command or model {args[0]!r}: did you mean `port {verb[0]}`?")
            find_arch(args[0])
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
    port verify model.safetensors
    port inspect PATH
    port fetch MODEL
    port seed MODEL --out seeded.ckpt
    port list
    """


DIALECT = click.Choice(sorted(SEPARATORS))
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
weights_option = click.option(
    "--average",
    type=click.Choice(AVERAGES),
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
    metavar="FILE…",
    type=click.Path(path_type=Path),
    help="Pictures to verify on, as in --images *.jpg. Default: the sample pictures.",
)
prefix_option = click.option(
    "--prefix", metavar="TEXT", help="What stands before the model's names, as in 'import/'. Default: found."
)

expect_option = click.option(
    "--expect-sha256",
    multiple=True,
    metavar="[NAME=]HEX",
    help="Refuse a file of another SHA-256; of several files NAME=HEX for each.",
)


@click.command(name="port", cls=SeveralCommand)
@click.argument("model", metavar="")  # the usage line names it already: port MODEL
@click.option("--from", "source", type=DIALECT, required=True, help="The checkpoint's dialect.")
@click.option("--to", "target", type=DIALECT, required=True, help="The dialect to port to.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="A prefix, any of its files, a folder, a SavedModel, a `checkpoint` file or a frozen .pb. "
    "Default: the released one, fetched.",
)
@click.option(
    "--out", help="The file to write (.safetensors; .pth; .keras, .weights.h5, .h5), or a folder, as in out/."
)
@weights_option
@ignore_option
@prefix_option
@click.option("--no-head", is_flag=True, help="Leave the classifier out: the backbone alone.")
@click.option("--num-classes", type=int, metavar="N", help="Put a fresh classifier of N classes in its place.")
@click.option("--drop-background", is_flag=True, help="Drop the background class, index 0 of 1001.")
@click.option("--aux", is_flag=True, help="Take the auxiliary head along, which only training uses.")
@click.option("--save-dtype", type=click.Choice(DTYPES), help="Round the weights to this dtype when they are written.")
@click.option("--verify", is_flag=True, help="Run the original and the port, and write only where parity holds.")
@images_option
@expect_option
@json_option
def port_model(as_json: bool, no_head: bool, num_classes: int | None, drop_background: bool, **options: Any) -> int:
    """Port MODEL's checkpoint from one dialect to another."""
    from porter.mapping.head import Head
    from porter.verbs.port import port

    result = port(track=track, head=Head(no_head, num_classes, drop_background), **options)
    if as_json:
        print_json(result.as_dict())
    else:
        show_port(result)
    return 0 if result else FAILED_PARITY


SIDE = "SIDE"


@cli.command(cls=SeveralCommand)
@click.argument("model", metavar="MODEL|FILE")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Verify these weights against TensorFlow.")
@click.option(
    "--graph",
    type=click.Path(path_type=Path),
    metavar="GRAPH",
    help="The graph that TensorFlow runs: a frozen .pb; with --checkpoint a .pb, .pbtxt, .meta or SavedModel.",
)
@images_option
@click.option(
    "--reference",
    metavar=SIDE,
    help="The reference: golden, torch:FILE, keras:FILE, tf:GRAPH or module.py:function.",
)
@click.option("--candidate", metavar=SIDE, help="What is held against it. Default: the port of the checkpoint.")
@click.option(
    "--endpoint-map",
    type=click.Path(path_type=Path),
    metavar="TOML",
    help='Where a network of yours has its endpoints: [endpoints], as in Logits = "head.fc".',
)
@click.option(
    "--framework",
    "frameworks",
    type=click.Choice(["torch", "keras"]),
    multiple=True,
    default=["torch"],
    show_default=True,
    help="The framework to run the port in; may be given several times.",
)
@click.option(
    "--preprocessing",
    type=click.Choice(list(PREPROCESSING)),
    help="How pictures are prepared. Default: as the model's.",
)
@click.option("--endpoints", metavar="REGEX", help="Compare only the endpoints in whose names this is found.")
@click.option("--atol", type=float, metavar="X", help="Allow differences of up to X, in place of the two rules.")
@click.option("--precision", type=click.Choice(PRECISIONS), help="Run in this precision alone. Default: in both.")
@click.option("--batch", type=int, metavar="N", help=f"Run N pictures at once.  [default: {BATCH}]")
@click.option("--report", type=click.Path(path_type=Path), metavar="HTML", help="Write a report, one offline file.")
@click.option("--trust-graph", is_flag=True, help="Run a graph whose ops could touch files or the network.")
@weights_option
@ignore_option
@prefix_option
@expect_option
@json_option
def verify(
    as_json: bool,
    report: Path | None,
    endpoints: str | None,
    atol: float | None,
    precision: str | None,
    batch: int | None,
    **options: Any,
) -> int:
    """Verify the port of MODEL: against the goldens of the original code, on a checkpoint, or any two sides.

    With a FILE or folder that porter wrote in place of MODEL, check it by the digests that were written with it, and a
    TensorFlow checkpoint by its own checksums.
    """
    named = options["model"]
    if not is_model(named) and (Path(named).exists() or Path(f"{named}.index").is_file()):
        return check_written(Path(options["model"]), options["expect_sha256"], as_json)
    from porter.files.installed import require_package
    from porter.parity.compare_runs import Settings
    from porter.verbs.verify import verify

    if report is not None:
        require_package("jinja2", "report")  # before hours of work, not after
        if not report.absolute().parent.is_dir():
            raise PorterError(f"--report {report}: the folder {report.parent} does not exist: make it first")
    result = verify(settings=Settings(atol, endpoints, precision, batch), track=track, **options)
    if report is not None:
        from porter.render.verification_page import write_report

        write_report(report, result, run_as())
    if as_json:
        print_json(result.as_dict())
    else:
        show_verification(result)
    return 0 if result else FAILED_PARITY


def check_written(path: Path, expected: Sequence[str], as_json: bool) -> int:
    """Check what porter wrote, by its own digests, or a checkpoint by its checksums."""
    from porter.formats.input_digests import Inputs
    from porter.verbs.check import check

    ctx = click.get_current_context()
    given = [p for p in ctx.params if ctx.get_parameter_source(p) is not click.core.ParameterSource.DEFAULT]
    for other in (p for p in given if p not in ("model", "expect_sha256", "as_json")):
        option = next(param.opts[0] for param in ctx.command.params if param.name == other)
        raise click.UsageError(f"{path} is a file, checked by its own digests: {option} is for models, leave it out")
    result = check(path, Inputs(expected))
    if as_json:
        print_json(result.as_dict())
    else:
        console().print(Text(str(result)), style="green" if result else "bold red", soft_wrap=True)
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
    "--write-table", type=click.Path(path_type=Path), help="Write a first mapping table (.toml) for the variables."
)
@click.option(
    "--tensorboard", type=click.Path(path_type=Path), help="Write an event file for TensorBoard into this folder."
)
@json_option
def inspect(path: Path, depth: int | None, size: int | None, as_json: bool, **options: Any) -> None:
    """Show what PATH is: a graph, a SavedModel, a checkpoint, an event file or a folder of these."""
    from porter.graph.analysis.difference import compare_graphs
    from porter.graph.analysis.scope import scope_view
    from porter.graph.analysis.search import find_nodes
    from porter.render import inspection_files as files
    from porter.render import inspection_output as output
    from porter.verbs.inspect import inspect, open_graph

    wanted = {name: value for name, value in options.items() if value}
    drawn = "svg" in wanted and wanted.keys() <= {"svg", "scope"}
    if len(wanted) > 1 and not drawn:
        raise click.UsageError(f"--{' and --'.join(wanted)} ask for different things: give one of them")
    match list(wanted):
        case []:
            output.print_inspection(inspect(path, depth, size=size), depth is not None, as_json)
        case ["write_table"]:
            output.print_written(files.write_mapping_table(wanted["write_table"], path), as_json)
        case ["scope"]:
            output.print_scope(scope_view(open_graph(path, size), wanted["scope"]), as_json)
        case ["find"]:
            output.print_nodes(find_nodes(open_graph(path, size), wanted["find"]), wanted["find"], as_json)
        case ["diff"]:
            graph = open_graph(path, size)
            output.print_difference(compare_graphs(graph, open_graph(wanted["diff"], size)), as_json)
        case ["html"]:
            output.print_written(files.write_graph_page(wanted["html"], open_graph(path, size)), as_json)
        case ["tensorboard"]:
            output.print_written(files.write_event_file(wanted["tensorboard"], open_graph(path, size)), as_json)
        case _:
            diagram = files.write_diagram(wanted["svg"], open_graph(path, size), wanted.get("scope"))
            output.print_written(diagram, as_json)


@cli.command()
@click.argument("model")
@json_option
def fetch(model: str, as_json: bool) -> None:
    """Fetch the released checkpoint of MODEL into the cache, which PORTER_CACHE moves."""
    from porter.verbs.fetch import fetch

    result = fetch(model, track)
    if as_json:
        print_json(result.as_dict())
    else:
        console().print(Text(f"{result.checkpoint}\n  from {result.source}, SHA-256 {result.sha256}"), soft_wrap=True)


@cli.command()
@click.argument("model")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The checkpoint's prefix: seeded.ckpt.")
@click.option("--training", is_flag=True, help="Add what a trainer saves: moving averages, global_step.")
@json_option
def seed(as_json: bool, **options: Any) -> None:
    """Write a TensorFlow checkpoint of MODEL with name-seeded weights: a stand-in for tests and demos."""
    from porter.verbs.seed import seed

    result = seed(track=track, **options)
    if as_json:
        print_json(result.as_dict())
    else:
        out = console()
        out.print(Text(f"wrote {result.out} ({result.tensors} tensors, {result.bytes:,} bytes)"), soft_wrap=True)


@cli.command(name="list")
@json_option
def list_models(as_json: bool) -> None:
    """List the models, their published accuracy, and which released checkpoints are in the cache."""
    from porter.catalog.cache import cached
    from porter.catalog.releases import releases

    if as_json:
        models = {}
        for arch in ARCHS.values():
            release, found = releases().get(arch.name), cached(arch.name)
            models[arch.name] = {
                "aliases": list(arch.aliases),
                "input_size": arch.input_size,
                "num_classes": arch.num_classes,
                "frameworks": list(arch.builders),
                "parameters": parameters(arch.name),
                "top1": release.top1 if release else None,
                "top5": release.top5 if release else None,
                "licence": release.licence if release else None,
                "cached": str(found.checkpoint) if found else None,
            }
        print_json(models)
        return
    grid = new_grid("model", "input", "classes", "parameters", "top-1", "ported to", "checkpoint")
    for arch in ARCHS.values():
        release, found = releases().get(arch.name), cached(arch.name)
        grid.add_row(
            " = ".join([arch.name, *arch.aliases]),
            f"{arch.input_size}x{arch.input_size}",
            str(arch.num_classes),
            f"{parameters(arch.name):,}",
            f"{release.top1}" if release else "",
            ", ".join(arch.builders),
            "in the cache" if found else "to fetch" if release else "",
        )
    console().print(grid)


def parameters(model: str) -> int:
    """Return the original's number of values, statistics included."""
    import math

    from porter.catalog.goldens import recorded

    return sum(math.prod(shape) for shape in recorded(model).variables.values())


def track(steps: Iterable[T], what: str, count: int | None = None, /) -> Iterable[T]:
    """Show progress on a terminal, on standard error, and nothing in a pipe."""
    errors = Console(stderr=True)
    return rich_track(steps, what, count, console=errors, transient=True) if errors.is_terminal else steps


def run_as() -> list[str]:
    """Return the arguments of the command line that is run."""
    context = click.get_current_context().find_root()
    return list(context.meta.get("porter.args", ()))


def show_counts(out: Console, roles: dict[str, int]) -> None:
    parts = [f"{count} {role}{'' if count == 1 else 's'}" for role, count in roles.items()]
    out.print(Text(f"  holds    {', '.join(parts)}"), soft_wrap=True)


def show_port(result: Any) -> None:
    """Print what was read, taken, left out and written, and the parity where it was checked."""
    out, found = console(), result.translation
    out.print(Text(f"{result.model}: {result.checkpoint.path} ({result.checkpoint.format})"), soft_wrap=True)
    show_counts(out, found.roles)
    if found.prefix:
        out.print(Text(f"  prefix   {found.prefix} stands before the model's names"), soft_wrap=True)
    if found.ignored:
        out.print(Text(f"  ignored  {', '.join(found.ignored)}"), soft_wrap=True)
    for part, count in found.left_out.items():
        what = Table.load(find_arch(result.model).table).parts[part]
        out.print(Text(f"  left out the {what}, {count} variables: --{part} takes it along"), soft_wrap=True)
    taken = "the moving averages" if found.average == "ema" else "the raw values"
    if found.averaged_only:
        taken += f", but the averages of {found.averaged_only} variables that have nothing else"
    if found.ema_difference is not None:
        taken += f"; largest |raw - ema| {found.ema_difference:.3g}"
    out.print(Text(f"  weights  {found.average}: {taken}"))
    if found.head_note:
        out.print(Text(f"  head     {found.head_note}"), soft_wrap=True)
    size = f"{len(found.entries)} tensors, {found.parameters:,} values, {found.num_classes} classes"
    rounded = f", rounded to {result.save_dtype}" if result.save_dtype else ""
    out.print(Text(f"  ported   {size}, {result.source} -> {result.target}{rounded}"))
    for sentence in shortened(found.suspicious.values()):
        out.print(Text(f"  suspicious  {sentence}", style="bold"), soft_wrap=True)
    if result.verification is not None:
        show_verification(result.verification)
    if result.out is not None:
        out.print(Text(f"wrote {written(result.out)}"), soft_wrap=True)
    elif not result:
        out.print("nothing was written, because parity failed", soft_wrap=True)


def shortened(sentences: Collection[str], limit: int = 10) -> list[str]:
    """Return the first of ``sentences``, and how many there are besides."""
    left = len(sentences) - limit
    return [*list(sentences)[:limit], *([f"… and {left} more, which --json lists"] if left > 0 else [])]


def written(path: Path) -> str:
    if path.is_dir():
        return f"{path}/: {', '.join(sorted(file.name for file in path.iterdir()))}"
    beside = record_beside(path)
    record = f", and its digests and facts in {beside.name}" if path.suffix != ".safetensors" else ""
    return f"{path} ({path.stat().st_size:,} bytes){record}"


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake is one sentence on standard error and exit status 2."""
    before_tensorflow()
    # Frameworks and graphs are millions of objects, of which none is garbage: looking takes up to a third of the time.
    gc.set_threshold(100_000, 50, 50)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):  # so that what is half-written is removed
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    args = list(sys.argv[1:] if args is None else args) or ["--help"]
    try:
        status = cli.main(args=args, prog_name="port", standalone_mode=False)
    except PorterError as error:
        stop(str(error))
    except click.ClickException as error:
        hint = f" (see `{error.ctx.command_path} --help`)" if isinstance(error, click.UsageError) and error.ctx else ""
        stop(f"{error.format_message()}{hint}")
    except click.Abort:
        stop("interrupted", 130)
    except OSError as error:
        stop(f"{error.filename or 'a file'}: {error.strerror or error}")
    sys.exit(status or 0)


def stop(message: str, status: int = MISTAKE) -> None:
    click.echo(f"port: {message}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
