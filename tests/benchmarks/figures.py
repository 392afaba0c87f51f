"""Measured figures: with their targets, kept from run to run, printed next to those of an earlier commit."""

import datetime
import importlib.metadata
import importlib.util
import json
import platform
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

KEPT = ROOT / "runs" / "benchmarks.jsonl"
"""The file with the results of all runs: git ignores its folder, and `make clean` keeps it."""

_PACKAGES = ("batchrun-llm", "aiohttp", "uvloop", "orjson", "pyarrow", "openai")


@dataclass(frozen=True)
class Figure:
    """One number and its target."""

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def target(self) -> str:
        """The target as text; empty without a target."""
        if self.at_most is not None:
            return f"≤ {_short(self.at_most)}"
        return "" if self.at_least is None else f"≥ {_short(self.at_least)}"

    @property
    def verdict(self) -> str:
        """Whether the target is met, as a word; empty without a target."""
        if not self.target:
            return ""
        is_met = self.value <= self.at_most if self.at_most is not None else self.value >= (self.at_least or 0)
        return "met" if is_met else "MISSED"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def print_head(kept: dict[str, Any], before: dict[str, Any] | None) -> None:
    """Print commit, machine and versions, and the head of the table."""
    versions = ", ".join(f"{name} {version}" for name, version in kept["versions"].items())
    print(f"{kept['commit']} on {kept['machine']}, server {kept['server']}; {versions}")
    if before is not None:
        print(f"before: {before['commit']}, {before['at']}")
    print("\n" + _line("part", "figure", "value", "target", "", "before" if before else ""), flush=True)


def _line(part: str, name: str, value: str, target: str, verdict: str, before: str) -> str:
    return f"{part:11} {name:51} {value:>11} {target:>8} {verdict:6} {before:>7}".rstrip()


def print_part(part: str, figures: Sequence[Figure], before: dict[str, Any] | None) -> None:
    """Print the lines of one part."""
    earlier = {} if before is None else before["figures"].get(part, {})
    for figure in figures:
        then = _short(earlier[figure.name]) if figure.name in earlier else ""
        value = f"{_short(figure.value)} {figure.unit:3}"
        print(_line(part, figure.name, value, figure.target, figure.verdict, then), flush=True)


def record(server: str, sizes: dict[str, int], name: str | None = None) -> dict[str, Any]:
    """Return the record of this run, still without figures.

    Args:
        server: name of the server.
        sizes: sizes of the parts.
        name: replaces the commit, for a package that is not a commit.
    """
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": name or _commit(),
        "machine": _machine(),
        "server": server,
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "sizes": sizes,
        "figures": {},
    }


def _commit() -> str:
    """Return the commit of the measured package, marked if the package differs from it."""
    package = importlib.util.find_spec("batchrun")
    assert package is not None
    assert package.origin is not None
    git = ["git", "-C", str(Path(package.origin).parent)]
    try:
        found = subprocess.run([*git, "describe", "--always"], capture_output=True, text=True, check=True)
        differs = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "."], check=False).returncode
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
    return found.stdout.strip() + ("-changed" if differs else "")


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(named, platform.processor() or platform.machine())}, {platform.system()}"


def keep(kept: dict[str, Any], path: Path = KEPT) -> None:
    """Append the record of a run to the file of all runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(kept, ensure_ascii=False) + "\n")


def find_before(
    kept: dict[str, Any], parts: Collection[str], commit: str | None = None, path: Path = KEPT
) -> dict[str, Any] | None:
    """Return the last record that this run can be compared with, if possible of another commit.

    Args:
        kept: the record of this run; the other must have the same sizes, machine and server.
        parts: the parts measured now; the other must have them too.
        commit: prefix of the commit to compare with; None: any.
        path: the file of all runs.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    records = [each for each in map(json.loads, lines) if each["figures"].keys() >= set(parts)]
    alike = [each for each in records if all(each[name] == kept[name] for name in ("sizes", "machine", "server"))]
    if commit is not None:
        alike = [each for each in alike if each["commit"].startswith(commit)]
    others = [each for each in alike if each["commit"] != kept["commit"]]
    return (others or alike or [None])[-1]
