"""The documentation is correct: its tables match the code, its commands work, its examples print what they show."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import orjson
import pytest
from harness.ledger import serving
from harness.pages import NOT_OURS, PAGES, ROOT, Page, Reader, can_be_run, check_output, ours, page_of, steps
from harness.reference import ENVIRONMENT, EXIT_CODES, PARTS, command_of, updated

from batchrun.cli import cli
from batchrun.cli.program import run as run_command_line
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.errors import BatchrunError
from batchrun.job.endpoint import BASE_URLS
from batchrun.job.file import load_job
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job
from batchrun.job.serialization import job_to_dict
from batchrun.prompts.rows import RowForms
from batchrun.records import Row
from batchrun.simulator import Settings

DOCS = [page_of(path) for path in PAGES]
ALL = "\n".join(page.text for page in DOCS)
PAGE = DOCS[0]
BY_NAME = {page.path.name: page for page in DOCS}

LINES = [line for page in DOCS for line in page.commands]
OURS = list(dict.fromkeys(line for line in LINES if ours(line)))
"""The command lines of batchrun."""

each_page = pytest.mark.parametrize("page", DOCS, ids=lambda page: page.path.stem)


@pytest.fixture(autouse=True)
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader with keys and a home folder, in a checkout that has only `jobs` and the files of the README."""
    for name in os.environ:
        if any(part in name.upper() for part in ("API_KEY", "PROXY", "WANDB_", "OPENAI_", "NETRC", "_BATCHRUN")):
            monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("WANDB_API_KEY", "OPENAI_API_KEY", "LITELLM_KEY"):
        monkeypatch.setenv(name, "sk-reader")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("batchrun.cli.run.stamped", str)  # a terminal shows no times
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    shutil.copytree(ROOT / "jobs", "jobs")  # not a link: their run directories are next to their folder
    for block in PAGE.blocks:
        for name, content in block.files.items():
            if not Path(name).exists():
                Path(name).write_text(content, encoding="utf-8")


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """An endpoint that serves every model of the pages and answers immediately."""
    models = re.findall(r" -m (\S+)", ALL)
    with serving(Settings(latency_s=0, models=tuple(models))) as (url, _):
        yield url


def test_the_readme_is_short() -> None:
    """It is the entrance; details are on the pages."""
    assert len(PAGE.text.splitlines()) <= 180


@each_page
def test_a_page_opens_with_the_question_that_it_answers(page: Page) -> None:
    """The question follows the heading. The README describes batchrun instead."""
    heading, _, first = page.text.splitlines()[:3]
    assert heading.startswith("# ")
    assert re.match(r"\*\S.*\?\*", first) or page is PAGE


@each_page
def test_the_tables_are_those_of_the_code(page: Page) -> None:
    """`make format` would change nothing."""
    assert updated(page.text) == page.text, "the code has changed: python tests/harness/reference.py"


def test_every_table_is_on_the_reference_page() -> None:
    """Exactly once; the tables of file endings and of the layout are on other pages. Every table has an end mark."""
    places = {page.path.name: re.findall(r"<!-- begin: (\w+) -->\n", page.text) for page in DOCS}
    assert sorted(places["reference.md"]) == sorted(set(PARTS) - {"endings", "layout"})
    assert "endings" in places["inputs.md"]
    assert "layout" in places["design.md"]
    assert [page.text.count("\n<!-- end -->") for page in DOCS] == [len(names) for names in places.values()]


@each_page
def test_every_link_has_a_target(page: Page) -> None:
    """The target is a file of the repository, or a heading in it."""
    for link in page.links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        path = (page.path.parent / name).resolve() if name else page.path
        assert path.exists(), link
        assert not anchor or anchor in page_of(path).anchors, link


def test_every_page_can_be_reached_from_the_readme() -> None:
    """By a link."""
    assert {f"docs/{page.path.name}" for page in DOCS[1:]} <= {link.partition("#")[0] for link in PAGE.links}


def test_the_source_distribution_has_every_page() -> None:
    """The folders and files that it lists contain them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = set(project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"])
    assert {page.path.relative_to(ROOT).parts[0] for page in DOCS} <= included


def test_pictures_are_small_and_used() -> None:
    """Each is on a page and has less than 150 kB."""
    pictures = [path for path in (ROOT / "docs").iterdir() if path.suffix in (".png", ".svg")]
    shown = {(page.path.parent / link).resolve() for page in DOCS for link in page.links if "#" not in link}
    assert len(pictures) >= 2
    assert [path.name for path in pictures if path not in shown or path.stat().st_size >= 150_000] == []


@pytest.mark.parametrize("line", [line for line in OURS if not can_be_run(line)])
def test_a_command_line_that_is_not_run_here_parses(line: str) -> None:
    """All of its flags exist."""
    name, *arguments = ours(line) or []
    command_of(name).make_context(name, arguments)


def test_every_flag_in_the_prose_exists() -> None:
    """It is a flag of a command of batchrun."""
    commands = [command_of(name) for name in cli.list_commands(click.Context(cli))]
    known = {
        name for each in (cli, *commands) for param in each.params for name in (*param.opts, *param.secondary_opts)
    }
    assert set(re.findall(r"`(--[a-z-]+)", "".join(page.prose for page in DOCS))) - {"--help"} <= known


def test_every_command_has_an_example() -> None:
    """The example is a line to copy."""
    assert {(ours(line) or [""])[0] for line in OURS} == set(cli.list_commands(click.Context(cli)))


@each_page
def test_a_page_can_be_followed_from_top_to_bottom(
    page: Page, base_url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command and snippet works after the ones before it, and prints what the page shows.

    Only the endpoint differs: it is a simulator that answers immediately.
    """
    monkeypatch.setitem(BASE_URLS, "wandb", base_url)

    def printed() -> str:
        streams = capfd.readouterr()
        return streams.out + streams.err

    done = Reader(printed, base_url).follow(page)
    runs = [line for line in page.commands if ours(line) and can_be_run(line)]
    assert done >= 1 or not runs


@pytest.mark.slow
def test_the_readme_can_be_typed_into_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """All commands that need no key and no endpoint run in a real shell."""
    monkeypatch.delenv("WANDB_API_KEY")
    lines = [
        step
        for block in PAGE.blocks
        if block.kind == "sh"
        for step in steps(block.text)
        if step.startswith("cat >") or "--simulate" in step
    ]
    once = dict.fromkeys(lines)  # a command that resumes is run above; here each starts a process
    script = "\n".join(['set -eo pipefail; batchrun() { "$PYTHON" -m batchrun "$@"; }', *once])
    done = subprocess.run(["bash", "-c", script], env=os.environ | {"PYTHON": sys.executable}, check=False)
    assert done.returncode == 0
    assert len(lines) >= 6


def test_make_demo_prints_what_the_readme_shows(capfd: pytest.CaptureFixture[str]) -> None:
    """The lines in the README are the last lines that the Makefile's commands print."""
    recipe = (ROOT / "Makefile").read_text().split("\ndemo:")[1].split("\n\n")[0]
    command = re.search(r"-m batchrun (.*)", recipe)
    show = re.search(r"-m batchrun (show .*)", recipe)
    farewell = re.search(r'echo "(.*)"', recipe)
    assert command is not None
    assert show is not None
    assert farewell is not None
    assert run_command_line(shlex.split(command[1])) == 0
    ended = capfd.readouterr().err
    assert run_command_line(shlex.split(show[1])) == 0
    [shown] = [block.text for block in PAGE.blocks if block.role == "demo"]
    check_output(shown, f"{ended}\n{capfd.readouterr().out}\n{farewell[1]}\n")


@each_page
def test_job_files_on_the_pages_load(page: Page) -> None:
    """Whole files unchanged; parts with the missing sections added."""
    Path("label.schema.json").write_text('{"type": "object", "properties": {"label": {"type": "string"}}}')
    for block in page.blocks:
        if block.kind == "toml":
            text = block.text if "[input]" in block.text else f'[input]\npath = "-"\n{block.text}'
            Path("part.toml").write_text(text, encoding="utf-8")
            job = load_job("part.toml")
            assert set(tomllib.loads(text)) <= set(job_to_dict(job))


def test_the_prices_on_the_pages_can_be_read() -> None:
    """They are a section of a job file."""
    [prices] = [block.text for block in BY_NAME["money.md"].blocks if block.kind == "toml"]
    Path("job.toml").write_text(f'[input]\npath = "-"\n{prices}')
    assert load_job("job.toml").prices["my-model"].output_usd_per_mtok == 0.4


def test_the_examples_of_rows_show_the_four_forms() -> None:
    """In the order in which they are recognised; each becomes a prompt."""
    [block] = [block for block in BY_NAME["inputs.md"].blocks if block.kind == "jsonl"]
    made = []
    for number, line in enumerate(block.text.splitlines()):
        columns = orjson.loads(line)
        template = "{{ question }}" if "question" in columns else None
        forms = RowForms(Job(input=Input(path=("x",)), prompt=PromptTemplates(user=template)))
        made.append(forms.form(columns))
        assert forms.prompt(Row(number, columns, "inputs.md")).body["messages"][-1]["role"] == "user"
    assert made == ["batch", "messages", "template", "prompt"]


def test_the_commands_for_systemd_and_cron_exist() -> None:
    """They parse, name an existing job, and leave time to drain."""
    page = BY_NAME["overnight.md"]
    [service, timer] = [configparser.ConfigParser(interpolation=None) for _ in range(2)]
    for parser, name in ((service, "service"), (timer, "timer")):
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation recommends
        parser.read_string(next(block.text for block in page.blocks if block.name.endswith(name)))
    [cron] = [block.text for block in page.blocks if block.role == "crontab"]
    assert re.match(r"(?:[\d*/,-]+ ){5}", cron)
    for line in (service["Service"]["ExecStart"], cron.strip()):
        name, job_file, *rest = ours(line) or []
        assert (name, rest) == ("run", [])
        assert load_job(job_file).limits.timeout_s < 15 * 60
    assert service["Service"]["TimeoutStopSec"] == "15min"
    assert "OnCalendar" in timer["Timer"]


def _errors(kind: type[BatchrunError] = BatchrunError) -> Iterator[type[BatchrunError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _errors(each)


def test_every_exit_code_is_explained() -> None:
    """In the table and in the help. Besides those of the errors, there are success, failed rows, bugs and signals."""
    codes = {kind.exit_code for kind in _errors()} | {effect.run.exit_code for effect in EFFECTS.values()} - {None}
    assert set(EXIT_CODES) == codes | {0, 1, 70, 130, 143}
    listed = (command_of("run").help or "").split("Exit codes:")[1]
    assert {int(number) for number in re.findall(r"\b\d+\b", listed)} == set(EXIT_CODES)


def test_every_environment_variable_is_explained() -> None:
    """Every variable whose name is a text in the code."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "batchrun").rglob("*.py"))
    named = set(re.findall(r"""["']((?:AZURE|HF|OPENAI|WANDB|WF|XDG)_[A-Z_]+)["']""", sources))
    set_for_others = {"WANDB_ERROR_REPORTING", "WANDB_SILENT"}
    assert set_for_others < named
    assert named - set_for_others <= set(ENVIRONMENT)


def test_everything_that_the_pages_name_exists() -> None:
    """For example targets of make, files and folders."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^make ([\w-]+)", "\n".join(LINES), re.MULTILINE)) | set(
        re.findall(r"`make ([\w-]+)", ALL)
    )
    assert {"demo", "test", "bench", "crash", "format"} <= targets
    assert [name for name in targets if f"\n{name}:" not in makefile] == []
    paths = re.findall(r"`((?:tests|batchrun|jobs)/[^`\s]*|\w+/|\w+\.py)`", ALL)
    assert [path for path in paths if not (ROOT / path).exists() and not _in_package(path)] == []


def _in_package(path: str) -> bool:
    return (ROOT / "batchrun" / path).exists() or bool(list((ROOT / "batchrun").rglob(path)))


def test_the_scenarios_of_the_figures_are_measured() -> None:
    """Each line of the tables is a scenario of a benchmark."""
    blocks = [block for page in DOCS for block in page.blocks if block.text.startswith("scenario ")]
    for name, block in zip(("limits", "workers"), blocks, strict=True):
        measured = (ROOT / f"tests/benchmarks/{name}.py").read_text(encoding="utf-8")
        names = [re.split(r" {2,}", line)[0] for line in block.text.splitlines()[1:]]
        assert len(names) == 5
        assert [each for each in names if f'"{each}"' not in measured] == []


def test_every_block_is_tested() -> None:
    """A test reads every kind of block. A block of text states whether it was printed or measured."""
    kinds = {(block.kind, block.role) for page in DOCS for block in page.blocks}
    roles = {"output", "figures", "demo", "crontab"}
    assert {role for kind, role in kinds if kind == "text"} <= roles
    assert {kind for kind, _ in kinds} <= {"sh", "python", "toml", "json", "jsonl", "ini", "text"}
    assert NOT_OURS & {line.split()[0] for line in LINES}


@each_page
def test_no_page_has_a_path_of_a_certain_machine(page: Page) -> None:
    """That is, no home folder and no checkout."""
    assert re.findall(r"(?<![\w.~:/])/(?:home|root|Users|tmp|work)\b\S*", page.text) == []
