"""`port verify MODEL`: compare a port with the original at every endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from porter.cli.command import Command
from porter.cli.given_file import refuse_file
from porter.cli.options import (
    FAILED,
    PATH,
    average_option,
    backbone_option,
    expect_option,
    ignore_option,
    images_option,
    json_option,
    labels_option,
    prefix_option,
    rename_option,
    tag_option,
)
from porter.cli.progress import track
from porter.errors import PorterError
from porter.formats.facts import is_decompiled
from porter.parity.compare_runs import BATCH
from porter.render.text import console, print_json, print_line
from porter.render.verification_text import show_verification
from porter.runners.presets import PRESETS
from porter.runners.runner import PRECISIONS


@click.command(cls=Command)
@click.argument("model")
@click.option("--checkpoint", type=PATH, help="Verify these weights against TensorFlow.")
@click.option(
    "--graph",
    type=PATH,
    metavar="GRAPH",
    help="Graph that TensorFlow runs as the reference: a frozen .pb; with --checkpoint also a .pbtxt, .meta or "
    "SavedModel.",
)
@images_option
@click.option(
    "--reference",
    metavar="SIDE",
    help="Reference: golden, torch:FILE, torch-fused:FILE, keras:FILE, tf:GRAPH, module.py:function, or a library's "
    "own network: timm, hf, keras.applications, torchvision or cadene. timm:exact has the settings that make it exact.",
)
@click.option(
    "--candidate",
    metavar="SIDE",
    help="Side to compare with the reference, named likewise. Default: the port of the checkpoint.",
)
@click.option(
    "--endpoint-map",
    type=PATH,
    metavar="TOML",
    help='Endpoints of your own network: a TOML file with a table [endpoints], such as Logits = "head.fc".',
)
@click.option(
    "--framework",
    "frameworks",
    type=click.Choice(["torch", "keras"]),
    multiple=True,
    default=["torch"],
    show_default=True,
    help="Framework that runs the port. Repeatable.",
)
@click.option(
    "--preprocessing",
    type=click.Choice(list(PRESETS)),
    help="Preprocessing of the images. Default: the model's own.",
)
@click.option("--endpoints", metavar="REGEX", help="Compare only the endpoints whose names match.")
@click.option("--atol", type=float, metavar="X", help="Accept absolute differences up to X, in place of both rules.")
@click.option("--precision", type=click.Choice(PRECISIONS), help="Run in this precision only. Default: both.")
@click.option("--batch", type=int, metavar="N", help=f"Images per batch.  [default: {BATCH}]")
@click.option("--report", type=PATH, metavar="HTML", help="Write an HTML report: one file, readable offline.")
@tag_option
@click.option("--trust-graph", is_flag=True, help="Run the graph even if its ops can touch files or the network.")
@click.option("--trust-code", is_flag=True, help="Run the source of a decompiled network that porter did not write so.")
@average_option
@ignore_option
@prefix_option
@labels_option
@rename_option
@backbone_option
@expect_option
@json_option
def verify(
    as_json: bool,
    report: Path | None,
    endpoints: str | None,
    atol: float | None,
    precision: str | None,
    batch: int | None,
    trust_code: bool,
    **options: Any,
) -> int:
    """Verify the port of MODEL at every endpoint.

    Without options, porter's network is compared with goldens of the original code. With --checkpoint, TensorFlow
    runs the original with your weights. --reference and --candidate compare any two sides. The exit status is 0 if
    parity holds, 1 if it fails, and 2 for an error.
    """
    from porter.parity.compare_runs import Settings
    from porter.verbs.verify import verify

    if is_decompiled(options["model"]):
        taken = {"report": report, "endpoints": endpoints, "atol": atol, "precision": precision, "batch": batch}
        return verify_folder({**taken, **options, "trust_code": trust_code}, as_json)
    if trust_code:
        raise click.UsageError("--trust-code is for a folder that port decompile wrote")
    refuse_file(options["model"], verify=True)
    if report is not None:
        require_report(report)
    result = verify(settings=Settings(atol, endpoints, precision, batch), track=track, **options)
    if report is not None:
        from porter.render.verification_page import write_report

        write_report(report, result, run_as())
    if as_json:
        print_json(result.as_dict())
    else:
        show_verification(result)
    return 0 if result else FAILED


_OF_WRITTEN = frozenset({"model", "checkpoint", "average", "trust_code", "trust_graph"})
"""The options that a decompiled network's verification takes."""


def verify_folder(options: dict[str, Any], as_json: bool) -> int:
    """Verify the decompiled network in the folder ``model`` with a checkpoint, and print the verdict."""
    from porter.verbs.verify_decompiled import verify_decompiled

    others = [name for name, value in options.items() if name not in _OF_WRITTEN and value]
    others = [name for name in others if (name, options[name]) != ("frameworks", ("torch",))]
    if others:
        flags = ", ".join(f"--{name.replace('_', '-').rstrip('s')}" for name in others)
        raise click.UsageError(f"{flags}: a decompiled network is verified with --checkpoint and --average alone")
    given = {name: value for name, value in options.items() if name in _OF_WRITTEN}
    result = verify_decompiled(given.pop("model"), track=track, **given)
    if as_json:
        print_json(result.as_dict())
    else:
        for said in (f"{result.model}: {result.report}, on {result.inputs}", *result.report.notes):
            print_line(console(), said)
    return 0 if result else FAILED


def require_report(report: Path) -> None:
    """Raise PorterError, before hours of work, if ``report`` cannot be written or names another format."""
    from porter.files.installed import require_package
    from porter.formats.named import refuse_other_suffix

    require_package("jinja2", "report")
    refuse_other_suffix(
        "report", report, "the report is an HTML page: name it so, such as report.html", (".html", ".htm")
    )
    if not report.absolute().parent.is_dir():
        raise PorterError(f"--report {report}: the folder {report.parent} does not exist: make it first")


def run_as() -> list[str]:
    """Return the arguments of this run's command line."""
    context = click.get_current_context().find_root()
    return list(context.meta.get("porter.args", ()))
