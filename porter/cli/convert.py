"""`port convert MODEL`, or `port MODEL` for short: port a checkpoint and print what was read and written."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import click

from porter.catalog.models import find_arch
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
from porter.cli.process import reuse_memory
from porter.cli.progress import track
from porter.errors import plural, summary
from porter.export.casting import DTYPES
from porter.files.seals import record_beside
from porter.formats.facts import is_decompiled
from porter.mapping.dialects import DIALECTS
from porter.mapping.shapes import IMAGE_CHANNELS
from porter.mapping.table import Table
from porter.render.text import MOST, echo, first_few, print_json, printable

KNOWN = ", ".join(sorted(DIALECTS))
MOST_SENTENCES = 10


@click.command(cls=Command)
@click.argument("model")
@click.option(
    "--from",
    "source",
    metavar="DIALECT",
    help=f"Dialect of the checkpoint: {KNOWN}, or one of the model's overlay files. Default: recognised.",
)
@click.option("--to", "target", metavar="DIALECT", required=True, help="Dialect of the output, likewise.")
@click.option(
    "--checkpoint",
    type=PATH,
    help="Checkpoint to port: its prefix, one of its files, a folder, a SavedModel or a frozen .pb. "
    "Default: the released checkpoint, which is fetched.",
)
@click.option(
    "--out",
    help="Output: a file (.safetensors, .pth, .keras, .weights.h5, .h5, .ckpt, .pb or .npz), or a folder with a final "
    "slash (out/).",
)
@average_option
@ignore_option
@prefix_option
@rename_option
@backbone_option
@tag_option
@click.option("--no-head", is_flag=True, help="Port the backbone without the classifier.")
@click.option("--num-classes", type=int, metavar="N", help="Replace the classifier with an untrained one of N classes.")
@click.option("--drop-background", is_flag=True, help="Drop class 0, the background, from the 1001 classes.")
@click.option("--aux", is_flag=True, help="Include the auxiliary head, which only training uses.")
@click.option("--save-dtype", type=click.Choice(DTYPES), help="Round the weights in the output to this dtype.")
@click.option("--verify", is_flag=True, help="Run the original and the port; write the output only if parity holds.")
@click.option(
    "--strict-function", is_flag=True, help="Refuse a library that computes another function with the weights."
)
@images_option
@labels_option
@expect_option
@json_option
def convert(as_json: bool, no_head: bool, num_classes: int | None, drop_background: bool, **options: Any) -> int:
    """Port a checkpoint of MODEL to another dialect.

    `port MODEL …` is short for `port convert MODEL …`.
    """
    from porter.mapping.head import Head
    from porter.verbs.port import port

    reuse_memory()
    if is_decompiled(options["model"]):
        return convert_written(
            {"no_head": no_head, "num_classes": num_classes, "drop_background": drop_background, **options}, as_json
        )
    refuse_file(options["model"])
    result = port(track=track, head=Head(no_head, num_classes, drop_background), **options)
    if as_json:
        print_json(result.as_dict())
    else:
        show_port(result)
    return 0 if result else FAILED


_OF_WRITTEN = frozenset({"model", "source", "target", "checkpoint", "out", "average", "expect_sha256"})
"""The options that a decompiled network's port takes."""


def convert_written(options: dict[str, Any], as_json: bool) -> int:
    """Port a checkpoint to the names of the decompiled network in the folder ``model``, and print what was written."""
    from porter.verbs.port_written import port_written

    others = [f"--{name.replace('_', '-')}" for name, value in options.items() if name not in _OF_WRITTEN and value]
    if others:
        raise click.UsageError(f"{', '.join(others)}: a decompiled network takes a checkpoint as it is")
    given = {name: value for name, value in options.items() if name in _OF_WRITTEN}
    result = port_written(given.pop("model"), **given)
    if as_json:
        print_json(result.as_dict())
        return 0
    echo(f"{result.model}: {result.checkpoint.path} ({result.checkpoint.format})")
    echo(f"  ported   {plural(result.tensors, 'tensor')} by {result.folder}/mapping.toml, {result.average}")
    wrote = f"wrote {result.out}" if result.out else "nothing was written: add --out other.safetensors"
    echo(wrote)
    return 0


def show_port(result: Any) -> None:
    """Print what was read, taken, skipped and written, and the verification if there was one."""
    echo(f"{result.model}: {result.checkpoint.path} ({result.checkpoint.format})")
    if result.training:
        remedy = f"its weights are ported as they are; to run the network, {result.training.remedy}"
        echo(f"  training {result.training.sentence} ({remedy})", bold=True)
    show_input(result)
    show_tensors(result)
    if result.verification is not None:
        from porter.render.verification_text import show_verification

        show_verification(result.verification)
    if result.out is not None:
        echo(f"wrote {written(result.out)}")
    elif not result:
        echo("nothing was written, because parity failed")
    else:
        echo("nothing was written: add --out FILE, such as --out model.safetensors")


def show_input(result: Any) -> None:
    """Print what the checkpoint holds, and which of its variables were not ported."""
    found = result.translation
    counts = ", ".join(plural(count, role) for role, count in found.roles.items())
    echo(f"  holds    {counts}")
    if found.prefix:
        echo(f"  prefix   {found.prefix} precedes the model's names")
    if found.prefixes:
        shares = ", ".join(f"{printable(prefix)} ({count})" for prefix, count in found.prefixes.items())
        echo(f"  prefixes {shares} precede the model's names")
    for theirs, ours in found.renamed.items():
        where = f"the scope {printable(theirs)}" if theirs else "the top of the file"
        echo(f"  renamed  {where} is read as {ours}")
    if found.ignored:
        echo(f"  ignored  {first_few(summary(found.ignored, MOST))}")
    if found.other_scopes:
        scopes = first_few([f"{scope} ({count})" for scope, count in found.other_scopes.items()])
        total = plural(sum(found.other_scopes.values()), "variable")
        echo(f"  left out {total} outside of the network: {scopes}")
    for note in result.notes:
        echo(f"  note     {printable(note)}")
    for part, count in found.left_out.items():
        title = Table.of(find_arch(result.model)).parts[part]
        echo(f"  skipped  the {title}, {count} variables: add --{part} to port it")


def show_tensors(result: Any) -> None:
    """Print which weights were taken, how many tensors they became, and which look suspicious."""
    found = result.translation
    taken = "the moving averages" if found.average == "ema" else "the raw values"
    if found.averaged_only:
        taken += f", and the averages of {found.averaged_only} variables without raw values"
    if found.ema_difference is not None:
        taken += f"; largest |raw - ema| {found.ema_difference:.3g}"
    echo(f"  weights  {found.average}: {taken}")
    if found.head_note:
        echo(f"  head     {found.head_note}")
    size = f"{len(found.entries)} tensors, {found.parameters:,} values, {found.num_classes} classes"
    if found.in_channels != IMAGE_CHANNELS:
        size += f", {plural(found.in_channels, 'input channel')}"
    rounded = f", rounded to {result.save_dtype}" if result.save_dtype else ""
    echo(f"  ported   {size}, {result.source} -> {result.target}{rounded}")
    for sentence in shortened(found.suspicious.values()):
        echo(f"  suspicious  {sentence}", bold=True)


def shortened(sentences: Collection[str]) -> list[str]:
    """Return the first MOST_SENTENCES of ``sentences``, and the number of the others."""
    left = len(sentences) - MOST_SENTENCES
    more = [f"… and {left} more: add --json to list them"] if left > 0 else []
    return [*list(sentences)[:MOST_SENTENCES], *more]


def written(path: Path) -> str:
    """Return an output's name, with its size or its files, and its record if it has one."""
    if path.is_dir():
        return f"{path}/: {', '.join(sorted(file.name for file in path.iterdir()))}"
    beside = record_beside(path)
    record = f", and its digests and facts in {beside.name}" if beside.exists() else ""
    if path.is_file():
        return f"{path} ({path.stat().st_size:,} bytes){record}"
    from porter.export.checkpoint import checkpoint_files

    files = [file for file in checkpoint_files(path) if file.exists()]
    size = sum(file.stat().st_size for file in files)
    return f"{path} ({size:,} bytes in {', '.join(sorted(file.name for file in files))}){record}"
