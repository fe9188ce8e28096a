"""Library errors name arguments in backticks; the command line shows the flags of the command that ran."""

from __future__ import annotations

import pytest

from porter.cli.flags import Flags
from porter.cli.main import cli

CONVERT = [
    ("`batch` must be at least 1", "--batch of `port verify` must be at least 1"),
    ("the `batch` of verify", "the --batch of verify"),
    ("set `trust_graph=True`", "set --trust-graph of `port verify`"),  # decompile has it too
    ('choose `average="auto"`', "choose --average auto"),
    ("`no_head=True` skips it", "--no-head skips it"),
    ("`num_classes=10` exceeds", "--num-classes 10 exceeds"),
    ('port it with `source="tf"` and `target`', "port it with --from tf and --to"),
    ('skip it with `ignore="head/*"`', "skip it with --ignore 'head/*'"),
    ("give `ignore=PATTERN`", "give --ignore PATTERN"),
    ("`model` is unknown", "MODEL is unknown"),
    ('`model="nasnet"` is unknown', "nasnet is unknown"),
    ("`save_dtype` and `expect_sha256`", "--save-dtype and --expect-sha256"),
    ("`scope` of inspect", "--scope of inspect"),
    ("`no_such_argument` stays", "`no_such_argument` stays"),
    ("run `port list` or `port verify MODEL`", "run `port list` or `port verify MODEL`"),
    ("an empty pair `` and one ` alone", "an empty pair `` and one ` alone"),
]


@pytest.mark.parametrize(("message", "shown"), CONVERT)
def test_arguments_become_flags(message: str, shown: str) -> None:
    assert Flags(cli.commands.values(), cli.commands["convert"]).replace(message) == shown


def test_the_running_commands_own_parameter_wins() -> None:
    message = "`path` is missing"
    assert Flags(cli.commands.values(), cli.commands["check"]).replace(message) == "FILE is missing"
    assert Flags(cli.commands.values(), cli.commands["inspect"]).replace(message) == "PATH is missing"


def test_every_parameter_of_every_command_has_its_flag() -> None:
    for command in cli.commands.values():
        flags = Flags(cli.commands.values(), command)
        for parameter in command.params:
            assert parameter.name in flags
            assert "`" not in flags.replace(f"`{parameter.name}`")


def test_an_argument_of_another_command_is_named_with_it() -> None:
    """`port fetch` has no --checkpoint, and `port verify` no --from."""
    fetch = Flags(cli.commands.values(), cli.commands["fetch"])
    assert fetch.replace("set `checkpoint` to x.ckpt") == "set --checkpoint of `port convert` to x.ckpt"
    verify = Flags(cli.commands.values(), cli.commands["verify"])
    assert verify.replace('take `source="keras"`') == "take --from keras of `port convert`"


def test_an_error_of_the_library_shows_flags(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from porter.cli.main import main
    from porter.errors import PorterError
    from porter.verbs import seed

    def refuse(**_: object) -> None:
        raise PorterError("`out` is another checkpoint: name another `out`, or see `port list`")

    monkeypatch.setattr(seed, "seed", refuse)
    with pytest.raises(SystemExit) as ended:
        main(["seed", "mobilenet_v1", "--out", "x"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "port: --out is another checkpoint: name another --out, or see `port list`\n"
