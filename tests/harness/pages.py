"""The pages of the documentation: their code blocks, links and headings, and running their commands."""

import ast
import asyncio
import contextlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from batchrun.cli.program import run as run_command_line

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w./~-]+\.(?:toml|json|service|timer))`[^\n]*:\n\n\Z")
_WRITTEN = re.compile(r"cat >(>?) (\S+) <<'END'\n(.*?\n)END$", re.MULTILINE | re.DOTALL)
_EXITS = re.compile(r"  # exits (\d+)$")

_ELSEWHERE = re.compile(r"'?(?:s3|gs|hf)://|https://host/|--(?:wandb|weave|engine ray|ray-address) ?")
"""Command lines that need a service other than an endpoint: here only parsed; tests/storage and tests/real run them."""

NOT_OURS = {
    "curl",
    "export",
    "kubectl",
    "litellm",
    "llama-server",
    "loginctl",
    "make",
    "pip",
    "pipx",
    "python3",
    "ray",
    "source",
    "srun",
    "systemctl",
    "transformers",
    "uv",
    "vllm",
}
"""Programs that the tests of the pages do not run."""


class Block(NamedTuple):
    """A fenced block of a page."""

    kind: str
    role: str
    """The second word after the fence: the kind of a text block."""
    text: str
    name: str
    """The name of the file that the reader writes with this block; empty for other blocks."""

    @property
    def commands(self) -> list[str]:
        """The command lines, without the files that they write."""
        lines = _WRITTEN.sub("", self.text).splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]

    @property
    def files(self) -> dict[str, str]:
        """The files that the block writes: name → content."""
        begun = {name: text for more, name, text in _WRITTEN.findall(self.text) if not more}
        return begun | ({self.name: self.text} if self.name else {})


class Page(NamedTuple):
    """A page of the documentation."""

    path: Path
    text: str

    @property
    def blocks(self) -> list[Block]:
        """Its fenced blocks, in order."""
        found = []
        for match in _BLOCK.finditer(self.text):
            named = _NAMED.search(self.text[: match.start()])
            found.append(Block(match[1], match[2] or "", match[3], named[1] if named else ""))
        return found

    @property
    def prose(self) -> str:
        """Its text without the fenced blocks."""
        return _BLOCK.sub("", self.text)

    @property
    def commands(self) -> list[str]:
        """The command lines of its blocks."""
        return [line for block in self.blocks if block.kind == "sh" for line in block.commands]

    @property
    def links(self) -> list[str]:
        """The targets of its links and pictures."""
        return re.findall(r"\]\(([^)\s]+)\)", self.prose) + re.findall(r'(?:src|href)="([^"]+)"', self.prose)

    @property
    def anchors(self) -> set[str]:
        """The anchors of its headings on GitHub."""
        headings = re.findall(r"^#+ (.*)", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def page_of(path: Path) -> Page:
    """Return a page."""
    return Page(path, path.read_text(encoding="utf-8"))


def ours(line: str) -> list[str] | None:
    """Return the arguments of the batchrun command in a command line; None if there is none."""
    found = re.search(r"(?:^|[\s/|])batchrun ((?:run|check|\w+) .*|\w+)$", re.sub(r"\s+#.*|>.*", "", line).strip())
    return None if found is None else shlex.split(found[1])


class Reader:
    """Runs all commands of a page from top to bottom, and compares their output with the page."""

    def __init__(self, printed: Callable[[], str], base_url: str) -> None:
        """Take a function that returns the output since its last call, and the address of the endpoint."""
        self._printed = printed
        self._base_url = base_url

    def follow(self, page: Page) -> int:
        """Run the blocks of a page; return the number of blocks that were run."""
        done, output = 0, ""
        names: dict[str, object] = {"__name__": "__main__"}
        for block in page.blocks:
            if block.role == "output":
                check_output(block.text, output)
            elif block.kind == "sh":
                self._printed()
                for step in steps(block.text):
                    self._type(step)
                output = self._printed()
            elif block.kind == "python":
                self._printed()
                run_python(block.text, page.path.name, names)
                output = self._printed()
            elif block.name and "~" not in block.name:
                Path(block.name).write_text(block.text, encoding="utf-8")
            else:
                continue
            done += 1
        return done

    def _type(self, step: str) -> None:
        if written := _WRITTEN.fullmatch(step):
            with Path(written[2]).open("a" if written[1] else "w", encoding="utf-8") as file:
                file.write(written[3])
        elif exported := re.fullmatch(r"export (\w+)=(\S+)", step):
            os.environ[exported[1]] = exported[2]  # the test's fixture puts it back
        elif (arguments := ours(step)) is None:
            _in_shell(step)
        elif can_be_run(step):
            exits = _EXITS.search(step)
            code = self._run(arguments, re.match(r"cat (\S+) \|", step))
            assert code == int(exits[1] if exits else 0), f"{step}: exit code {code}\n{self._printed()}"

    def _run(self, arguments: list[str], fed: re.Match[str] | None) -> int:
        urls = iter((self._base_url, self._base_url.replace("127.0.0.1", "localhost")))  # of one server, by two names
        for place in [place for place, argument in enumerate(arguments) if argument == "--base-url"]:
            arguments[place + 1] = next(urls)
        with contextlib.ExitStack() as stack:
            stdin = stack.enter_context(Path(fed[1] if fed else os.devnull).open(encoding="utf-8"))
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(sys, "stdin", stdin)
            return run_command_line(arguments)


def can_be_run(line: str) -> bool:
    """Return whether a command line of batchrun needs nothing except an endpoint, and ends by itself."""
    return not (_ELSEWHERE.search(line) or line.startswith("nohup ") or "batchrun simulate" in line)


def steps(text: str) -> Iterator[str]:
    """Split a shell block into its steps: command lines, and files with their content."""
    at = 0
    for written in _WRITTEN.finditer(text):
        yield from _lines(text[at : written.start()])
        yield written[0]
        at = written.end()
    yield from _lines(text[at:])


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _in_shell(line: str) -> None:
    """Run a command line without batchrun, if every machine has its program."""
    program = shlex.split(line)[0]
    if program in NOT_OURS:
        return
    assert program in {"printf", "sed", "python"}, f"{line}: nothing here runs {program}"
    line = re.sub(r"^python ", f"{shlex.quote(sys.executable)} ", line)
    done = subprocess.run(["bash", "-ec", line], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sys.stdout.write(done.stdout)


def run_python(text: str, name: str, names: dict[str, object]) -> None:
    """Run a snippet like a notebook does: it can use await, and the names of the snippets before it."""
    result = eval(compile(text, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.iscoroutine(result):
        asyncio.run(result)


def check_output(shown: str, printed: str) -> None:
    """Check that the output has the words and lines that a page shows; numbers may differ.

    A line of three dots matches any lines.
    """
    rest = loose(printed)
    *parts, last = [loose(part) for part in re.split(r"^\.\.\.$", shown, flags=re.MULTILINE)]
    problem = f"not printed as shown:\n{shown}\n--- but\n{printed}"
    for number, part in enumerate(parts):
        places = [at for at in range(len(rest)) if rest[at : at + len(part)] == part]
        assert places, problem
        assert number > 0 or places[0] == 0, problem
        rest = rest[places[0] + len(part) :]
    assert rest[len(rest) - len(last) :] == last, problem
    assert parts or rest == last, problem


def loose(text: str) -> list[str]:
    """Return the lines of a text with all numbers replaced, without empty lines and lines with a time."""
    lines = (re.sub(r"\d[\d,]*(?:\.\d+)?(?:e-\d+)?[kM]?", "N", line) for line in text.splitlines())
    lines = (re.sub(r"\s+", " ", line).strip() for line in lines)
    return [line for line in lines if line and not re.match(r"N-N-N N:N:N ", line)]
