"""The README is true: its tables are the code's, its commands work, its examples are what they say."""

import ast
import asyncio
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from inspect import iscoroutine
from pathlib import Path
from typing import NamedTuple

import click
import orjson
import pytest
from harness.reference import ENVIRONMENT, EXIT_CODES, PARTS, README, command_of, updated

from batchrun.__main__ import run as run_command_line
from batchrun.cli import cli
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.errors import BatchrunError
from batchrun.job.file import load_job
from batchrun.job.sections import BASE_URLS, Input, Job, PromptTemplates
from batchrun.prompts.rows import RowForms
from batchrun.records import Row
from batchrun.simulator import Settings, serve

ROOT = README.parent
PAGE = README.read_text(encoding="utf-8")


class Block(NamedTuple):
    """A fenced block of the page."""

    kind: str
    text: str

    @property
    def commands(self) -> list[str]:
        """Its command lines, without what is fed to them and without comments."""
        text = re.sub(r"<<'END'\n.*?\nEND\n", "\n", self.text, flags=re.DOTALL)
        return [line for raw in text.splitlines() if (line := raw.split("  # ")[0].split("   #")[0].strip())]

    @property
    def can_be_run(self) -> bool:
        """Whether a reader without key and endpoint can type it: it makes a file, simulates, or looks at a run."""
        ours = [shlex.split(line)[1] for line in self.commands if line.startswith("batchrun ")]
        looks = bool(ours) and set(ours) <= {"status", "export", "report", "watch"}
        return self.kind == "sh" and ("--simulate" in self.text or "<<'END'" in self.text or looks)


BLOCKS = [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
FILES = dict(re.findall(r"cat > (\S+) <<'END'\n(.*?\n)END\n", PAGE, re.DOTALL))
FILES |= dict(re.findall(r"`(\S+\.toml)`:\n\n```toml\n(.*?)```", PAGE, re.DOTALL))
"""Name → content of the files that the page has its reader write."""

COMMANDS = [line for block in BLOCKS if block.kind == "sh" for line in block.commands]
OURS = list(dict.fromkeys(line.split("| ")[-1] for line in COMMANDS if re.search(r"(^|\| )batchrun ", line)))
"""The command lines of batchrun."""

_ELSEWHERE = re.compile(r"run '?\w+://| --wandb ")

SENT = [
    line
    for line in OURS
    if line.split()[1] in ("run", "models") and "--simulate" not in line and not _ELSEWHERE.search(line)
]
"""Those of them that talk to an endpoint, and to nobody else: for that there are tests/storage and tests/real."""


@pytest.fixture(autouse=True)
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader with a key and a home of his own, in a checkout where only the page's files and `jobs` are."""
    for name in os.environ:
        if any(part in name.upper() for part in ("API_KEY", "PROXY", "WANDB_", "OPENAI_", "NETRC", "_BATCHRUN")):
            monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("WANDB_API_KEY", "OPENAI_API_KEY", "LITELLM_KEY"):
        monkeypatch.setenv(name, "sk-reader")
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    Path("jobs").symlink_to(ROOT / "jobs")


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """An endpoint that serves every model of the page, at once."""
    models = re.findall(r" -m (\S+)", PAGE)
    served = serve(Settings(latency_s=0, models=tuple(models)))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    simulator = asyncio.run_coroutine_threadsafe(served.__aenter__(), loop).result(10)
    yield simulator.base_url
    asyncio.run_coroutine_threadsafe(served.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_the_tables_are_those_of_the_code() -> None:
    """`python tests/harness/reference.py` would change nothing."""
    assert updated(PAGE) == PAGE, "the code has changed: python tests/harness/reference.py"


def test_every_table_has_its_place() -> None:
    """Once, and closed."""
    assert sorted(re.findall(r"<!-- begin: (\w+) -->\n", PAGE)) == sorted(PARTS)
    assert PAGE.count("\n<!-- end -->") == len(PARTS)


@pytest.mark.parametrize("line", OURS)
def test_a_command_line_has_no_flag_that_there_is_not(line: str) -> None:
    """It parses as it stands."""
    _, name, *arguments = shlex.split(line)
    command_of(name).make_context(name, arguments)


def test_every_flag_in_the_prose_is_one() -> None:
    """Of some command of batchrun."""
    commands = [command_of(name) for name in cli.list_commands(click.Context(cli))]
    known = {
        name for each in (cli, *commands) for param in each.params for name in (*param.opts, *param.secondary_opts)
    }
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) - {"--help"} <= known


def test_every_command_is_shown() -> None:
    """With a line to copy."""
    assert {shlex.split(line)[1] for line in OURS} == set(cli.list_commands(click.Context(cli)))


@pytest.mark.parametrize("line", SENT)
def test_a_command_for_an_endpoint_works_on_one(
    line: str, base_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where the endpoint is is changed: it is a simulator that answers at once."""
    monkeypatch.setitem(BASE_URLS, "wandb", base_url)
    for name, content in FILES.items():
        Path(name).write_text(content, encoding="utf-8")
    arguments = shlex.split(re.sub(r"(?<=--base-url )\S+", base_url, line))[1:]
    assert run_command_line(arguments) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_the_page_can_be_followed_from_top_to_bottom(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every block that needs no endpoint runs as it stands, shell and Python, each after those before it."""
    monkeypatch.delenv("WANDB_API_KEY")  # nothing of this needs one
    followed = []
    for block in BLOCKS:
        if block.can_be_run:
            _in_shell(block.text)
        elif block.kind == "python":
            _in_python(block.text)
        elif block.text in FILES.values():
            _write(block.text)
        else:
            continue
        followed.append(block.kind)
    said = capfd.readouterr().out
    assert followed.count("sh") >= 5
    assert followed.count("python") == 3
    assert said.count("map completed ") == 1  # the first snippet's rows
    assert "completed 3 0 " in said  # the second one's summary
    assert said.endswith("all done\n")


def _in_shell(text: str) -> None:
    script = 'set -eo pipefail\nbatchrun() { "$PYTHON" -m batchrun "$@"; }\n' + text
    done = subprocess.run(["bash", "-c", script], env=os.environ | {"PYTHON": sys.executable}, check=False)
    assert done.returncode == 0, text


def _in_python(text: str) -> None:
    """Run a snippet as a notebook does: it may await."""
    result = eval(compile(text, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), space := {})
    if iscoroutine(result):
        asyncio.run(result)
    assert space


def _write(text: str) -> None:
    [name] = [name for name, content in FILES.items() if content == text]
    Path(name).write_text(text, encoding="utf-8")


def test_make_demo_ends_as_shown(capfd: pytest.CaptureFixture[str]) -> None:
    """What the page shows of its output, before and after the gap, is what the Makefile's lines print."""
    recipe = (ROOT / "Makefile").read_text().split("\ndemo:")[1].split("\n\n")[0]
    command = re.search(r"-m batchrun (.*)", recipe)
    show = re.search(r"jobs/show.py (.*)", recipe)
    farewell = re.search(r'echo "(.*)"', recipe)
    assert command is not None
    assert show is not None
    assert farewell is not None
    assert run_command_line(shlex.split(command[1])) == 0
    ended = capfd.readouterr().err
    runpy.run_path("jobs/show.py")["main"](show[1].split())
    made = f"{ended}\n{capfd.readouterr().out}\n{farewell[1]}\n"
    first, last = next(block.text for block in BLOCKS if block.kind == "text").split("...\n")
    made, first = (re.sub(r"in \d+\.\d s", "in N s", text) for text in (made, first))
    assert first in made
    assert made.endswith(last)


def test_the_job_file_loads_and_has_fifteen_lines() -> None:
    """And means what it says."""
    [(name, content)] = [(name, content) for name, content in FILES.items() if name.endswith(".toml")]
    assert len(content.splitlines()) == 15
    Path(name).write_text(content, encoding="utf-8")
    job = load_job(name)
    assert (job.run_directory, job.limits.max_cost_usd) == (Path("runs/label"), 5)


def test_the_prices_can_be_said_so() -> None:
    """Where a job file has them."""
    [prices] = [block.text for block in BLOCKS if block.kind == "toml" and block.text.startswith("[prices")]
    Path("job.toml").write_text(f'[input]\npath = "-"\n{prices}')
    assert load_job("job.toml").prices["my-model"].output_usd_per_mtok == 0.4


def test_the_examples_of_rows_have_the_four_forms() -> None:
    """In the order in which they are recognised, and each makes a prompt."""
    [block] = [block for block in BLOCKS if block.kind == "jsonl"]
    made = []
    for number, line in enumerate(block.text.splitlines()):
        columns = orjson.loads(line)
        template = "{{ question }}" if "question" in columns else None
        forms = RowForms(Job(input=Input(path=("x",)), prompt=PromptTemplates(user=template)))
        made.append(forms.form(columns))
        assert forms.prompt(Row(number, columns, "README.md")).body["messages"][-1]["role"] == "user"
    assert made == ["batch", "messages", "template", "prompt"]


def _errors(kind: type[BatchrunError] = BatchrunError) -> Iterator[type[BatchrunError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _errors(each)


def test_every_exit_code_is_explained() -> None:
    """In the page's table and in the help; beside the errors' own: success, failed rows, mistakes of ours, signals."""
    codes = {kind.exit_code for kind in _errors()} | {effect.exit_code for effect in EFFECTS.values()} - {None}
    assert set(EXIT_CODES) == codes | {0, 1, 70, 130, 143}
    said = (command_of("run").help or "").split("Exit codes:")[1]
    assert {int(number) for number in re.findall(r"\b\d+\b", said)} == set(EXIT_CODES)


def test_every_environment_variable_is_explained() -> None:
    """Those that the code names as texts of their own."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "batchrun").rglob("*.py"))
    named = set(
        re.findall(r"""["']([A-Z]{2,}_(?:[A-Z]+_)?(?:KEY|ENTITY|PROJECT|URL|PROXY|HOME|DIR|MODE))["']""", sources)
    )
    assert {"WANDB_API_KEY", "OPENAI_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"} <= named
    assert named <= set(ENVIRONMENT)


def test_what_the_page_names_is_there() -> None:
    """Targets of make, headings that links lead to, files and folders."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^make ([\w-]+)", "\n".join(COMMANDS), re.MULTILINE)
    assert {"demo", "test", "bench", "crash", "format"} <= set(targets)
    assert [name for name in targets if f"\n{name}:" not in makefile] == []
    headings = re.findall(r"^##+ (.*)", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= anchors
    paths = re.findall(r"`((?:tests|batchrun|jobs)/[^`\s]*|\w+/|\w+\.py)`", PAGE)
    assert [path for path in paths if not (ROOT / path).exists() and not _in_package(path)] == []


def _in_package(path: str) -> bool:
    return (ROOT / "batchrun" / path).exists() or bool(list((ROOT / "batchrun").glob(f"*/{path}")))


def test_the_figures_are_of_scenarios_that_are_measured() -> None:
    """Each line of the page's table has its scenario in the benchmark."""
    measured = (ROOT / "tests/benchmarks/limits.py").read_text(encoding="utf-8")
    [block] = [block for block in BLOCKS if block.text.startswith("scenario ")]
    names = [re.split(r" {2,}", line)[0] for line in block.text.splitlines()[1:]]
    assert len(names) == 5
    assert [name for name in names if f'"{name}"' not in measured] == []


def test_nothing_on_the_page_is_of_one_machine() -> None:
    """No absolute path of a home or a checkout."""
    assert re.findall(r"(?<![\w.~:/])/(?:home|root|Users|tmp|work)\b\S*", PAGE) == []


@pytest.fixture(autouse=True)
def nobody_at_the_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input is empty."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
