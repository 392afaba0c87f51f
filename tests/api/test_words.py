"""Advice in Python's words."""

import traceback

import pytest

from batchrun.api.words import errors_in_python, in_python, with_arguments
from batchrun.errors import BatchrunError, JobError

CASES = [
    ("add --yes to buy, or use another -o DIR", 'pass agree=True to buy, or use another out="DIR"'),
    ("or send what fits under the cap (--yes)", "or send what fits under the cap (agree=True)"),
    ("raise --max-tokens-total and run the same command again", "raise max_tokens_total and run the same call again"),
    ("raise --max-cost", "raise max_cost_usd"),
    ("--limit 5 uses fewer rows", "limit=5 uses fewer rows"),
    ("wait longer: --patience 2h", 'wait longer: patience="2h"'),
    ("name it with --project TEAM/PROJECT", 'name it with project="TEAM/PROJECT"'),
    ("(--allow-http sends it anyway)", "(allow_http=True sends it anyway)"),
    ("a template: -t 'Label: {{ text }}'", 'a template: prompt="Label: {{ text }}"'),
    ("do not mix; use another -o DIR, or --restart", 'do not mix; use another out="DIR", or restart=True'),
    ("write them: batchrun export runs/a", 'write them: batchrun.open_run("runs/a").export()'),
    ("see them: batchrun show runs/a --failed", 'see them: batchrun.open_run("runs/a").failed'),
    ("`batchrun models --base-url http://h/v1` lists them", "`batchrun models --base-url http://h/v1` lists them"),
    ('add its price under [prices."m"] in a job file', 'add its price: prices={"m": {…}}'),
    ("2 rows are left; Ctrl-C; run again", "2 rows are left; interrupted; run again"),
    ("Ctrl-C: stopping; a second Ctrl-C stops at once", "interrupted: stopping; a second interrupt stops at once"),
    ("add -m MODEL, or name in [model]", 'name it: model="MODEL"'),
    (
        "export WANDB_API_KEY=…, which a page shows",
        'os.environ["WANDB_API_KEY"] = getpass.getpass(), which a page shows',
    ),
    (
        "the text @a.txt would be sent; give it as a flag, -t @a.txt, or write its text into the job file",
        'the text @a.txt would be sent; read it: pathlib.Path("a.txt").read_text()',
    ),
    (
        "X is not set; export X=URL, with the URL of a service",
        'X is not set; os.environ["X"] = "URL", with the URL of a service',
    ),
    ("no flag here: a -- b, x-o y, 5 --", "no flag here: a -- b, x-o y, 5 --"),
]


@pytest.mark.parametrize(("message", "words"), CASES)
def test_flags_and_commands_become_arguments_and_calls(message: str, words: str) -> None:
    assert in_python(message) == words


def test_settings_become_arguments_of_a_call() -> None:
    """Whole names only: not those that are a part of another one."""
    arguments = {"prompt.user": "prompt", "output.keep": "keep"}
    message = "no column x, which prompt.user names; output.keep = y; see prompt.user.more, my.prompt.user"
    assert with_arguments(message, arguments) == (
        "no column x, which prompt names; keep = y; see prompt.user.more, my.prompt.user"
    )
    with pytest.raises(JobError, match=r"^keep = 5$"), errors_in_python(arguments):
        raise JobError("output.keep = 5")


def test_errors_keep_their_kind_and_lose_their_chain() -> None:
    """What is shown ends with one line, also in a notebook."""
    with pytest.raises(BatchrunError) as caught, errors_in_python():
        raise JobError("add --yes to go") from ValueError("inside")
    assert (type(caught.value), str(caught.value)) == (JobError, "pass agree=True to go")
    assert "ValueError" not in "".join(traceback.format_exception(caught.value))
    assert caught.value._render_traceback_() == ["JobError: pass agree=True to go"]
