"""The layout of the code: few entries at the top, small files and functions, a test file for each module."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun import records
from batchrun.answers import chat, parts
from batchrun.endpoint.pool import bundles, verdicts
from batchrun.engine.cluster import bound

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "batchrun"
TESTS = ROOT / "tests"

MOST_ENTRIES = 15
MOST_FILE_LINES = 300
MOST_FUNCTION_LINES = 50
MOST_PARAMETERS = 8
MOST_README_LINES = 180

SUITES = {"benchmarks", "end_to_end", "harness", "on_ray", "real"}
"""Folders of tests that do not mirror a package."""

WITHOUT_MODULE = re.compile(
    r"test_(fuzz|fuzz_\w+|crashes|unheard|scenarios|hostile_\w+|outages|refusals|several_routes|stops|openai_client"
    r"|memory|key_leaks|kept_connections|whose_answer|certificates)\.py"
)
"""Test files about a whole package, or about its use by a foreign client."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [each.arg for each in named if each is not None and each.arg not in ("self", "cls")]


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_the_top_level_reads_like_a_table_of_contents() -> None:
    entries = {path.name for path in PACKAGE.iterdir()}
    entries -= {"__init__.py", "__main__.py", "__pycache__", "py.typed"}
    assert len(entries) <= MOST_ENTRIES, sorted(entries)


def test_no_file_is_longer_than_300_lines() -> None:
    lines = {dotted(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > MOST_FILE_LINES} == {}


def test_no_function_is_longer_than_50_lines() -> None:
    long = {
        f"{dotted(path)}.{each.name}": each.end_lineno - each.lineno + 1
        for path in MODULES
        for each in functions(path)
        if each.end_lineno is not None and each.end_lineno - each.lineno >= MOST_FUNCTION_LINES
    }
    assert long == {}


def test_no_function_has_more_than_8_parameters() -> None:
    wide = {
        f"{dotted(path)}.{each.name}": len(parameters(each))
        for path in MODULES
        for each in functions(path)
        if len(parameters(each)) > MOST_PARAMETERS
    }
    assert wide == {}


def test_every_module_that_claims_to_be_pure_is_held_to_it() -> None:
    """By the import contract: it imports no clock, no chance and nothing that waits."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (pure,) = (each["source_modules"] for each in contracts if each["name"].startswith("Deciding is pure"))
    docstrings = {dotted(path): ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in MODULES}
    claiming = [name for name, text in docstrings.items() if re.search(r"\bpure\b", text or "", re.IGNORECASE)]
    assert claiming, "the rule would hold for nothing"
    unbound = [name for name in claiming if not any(f"{name}.".startswith(f"{each}.") for each in pure)]
    assert unbound == []


def test_every_test_file_has_its_module() -> None:
    """`tests/<package>/test_<name>.py` tests the module or the package `batchrun/<package>/<name>`."""
    strays = []
    for path in sorted(TESTS.glob("*/**/test_*.py")):
        folder = path.parent.relative_to(TESTS)
        name = path.stem.removeprefix("test_")
        if folder.parts[0] in SUITES or WITHOUT_MODULE.fullmatch(path.name):
            continue
        module = PACKAGE / folder / name
        if not (module.is_dir() or module.with_suffix(".py").is_file()):
            strays.append(str(path.relative_to(ROOT)))
    assert strays == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= MOST_README_LINES


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("class A:\n    def f(self, a, /, b, *c, d=1, **e): ...", ["a", "b", "c", "d", "e"]),
        ("async def f(cls, a): ...", ["a"]),
    ],
)
def test_every_kind_of_parameter_counts(tmp_path: Path, code: str, names: list[str]) -> None:
    (tmp_path / "a.py").write_text(code)
    (function,) = functions(tmp_path / "a.py")
    assert sorted(parameters(function)) == names


def test_records_made_without_their_constructor_have_all_their_fields() -> None:
    """`tuple.__new__` makes a record in half the time, and counts nothing: a field added later would be missing."""
    nodes = [node for path in MODULES for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "_new"]
    made = [call.args for call in calls if isinstance(call.args[-1], ast.Tuple)]
    assert len(made) >= 8
    kinds = vars(chat) | vars(parts) | vars(bundles) | vars(verdicts) | vars(records) | vars(bound)
    assert [ast.unparse(kind) for kind, of in made if len(of.elts) != len(kinds[ast.unparse(kind)]._fields)] == []
