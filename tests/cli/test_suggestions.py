"""A mistyped command or flag is answered with the one that was meant."""

from pathlib import Path

import click
import pytest

from batchrun.cli import cli, program
from batchrun.cli.program import run
from batchrun.cli.suggestions import _COMMANDS, _FLAGS


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("rum", "Did you mean run?"),
        ("stauts out", "Did you mean status?"),
        ("help", "Did you mean batchrun --help?"),
        ("help run", "Did you mean batchrun run --help?"),
        ("help nothing", "Did you mean batchrun --help?"),
        ("resume", "Did you mean run?"),
        ("version", "Did you mean --version?"),
        ("prompts.jsonl -m m", "Did you mean batchrun run prompts.jsonl -m m?"),
        ("run a.jsonl -n 5", "Did you mean --limit or --num-samples?"),
        ("run a.jsonl --max-retries 5", "Did you mean --max-attempts?"),
        ("run a.jsonl --temprature 5", "'--temperature'"),
        ("run -V", "Did you mean batchrun --version?"),
        ("export out -f csv", "Did you mean --format?"),
        ("run a.jsonl --api-key=sk-secret", "Did you mean --api-key-env?"),
    ],
)
def test_the_meant_one_is_named(
    words: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("prompts.jsonl").touch()
    assert run(words.split()) == 2
    shown = capsys.readouterr().err
    assert meant in shown
    assert "sk-secret" not in shown


def test_a_word_that_is_near_nothing_gets_no_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["xyzzy"]) == 2
    assert "Did you mean" not in capsys.readouterr().err


def test_the_short_flag_of_the_version_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["-V"]) == 0
    assert capsys.readouterr().out.startswith("batchrun, version ")


def test_every_suggestion_exists() -> None:
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    flags = {name for each in [cli, *commands.values()] if each for option in each.params for name in option.opts}
    assert {name for names in _FLAGS.values() for name in names} <= flags
    assert set(_COMMANDS.values()) <= {*commands, "--version"}
    assert not set(_COMMANDS) & set(commands)


@pytest.mark.parametrize(("command", "code", "text"), [("run", 130, "sent"), ("status", 130, ""), ("watch", 0, "")])
def test_an_interruption_says_something_of_the_run_only_where_it_is_the_runs(
    command: str, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those who look at a run would read it as news of that run."""

    def interrupted(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "_run", interrupted)
    assert run([command, "runs/a"]) == code
    printed = capsys.readouterr().err
    assert printed == ("interrupted before anything was sent\n" if text else "")
