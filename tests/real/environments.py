"""Environments for the servers of other projects: one for each, in `.venv-real`, with pinned versions.

The packages of the environment NAME are listed next to this file: in `requirements-NAME.txt` for pip, or in
`package-NAME.json` for npm. An environment is installed once, and again when its list changes. As a command, this
installs the named environments, by default all except those of the models, two at a time.
"""

import contextlib
import shutil
import subprocess
import sys
import tomllib
import venv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[2]
_HERE = ROOT / "tests/real"
_ENVIRONMENTS = ROOT / ".venv-real"

_WITH_BATCHRUN = {"weave", "wandb", "hf", "ray"}
"""Environments in which this checkout of batchrun runs: they get its dependencies."""

_COMPILED = {"llama-cpp"}
"""Environments with packages that exist only as sources."""

_MODELS = {"llama-cpp", "transformers"}
"""Environments that only `make test-model` uses."""

_BY_HAND = {"ray"}
"""Environments that only `make test-ray` uses."""

_BY_PIP = {"transformers"}
"""Environments that need pip instead of uv: pip may be configured to install a torch without several GB for GPUs."""

_INSTALL_S = 900
"""Timeout of an installation. Measured on two cores: the largest one with uv 5 s, the compiled one 360 s."""


class CannotInstall(Exception):
    """An environment cannot be installed: no network, no npm, or no wheel for this machine. The message says which."""


@dataclass(frozen=True)
class Environment:
    """An installed environment."""

    folder: Path

    def command(self, name: str) -> str:
        """Return the path of a command of the environment."""
        for folder in ("bin", "node_modules/.bin"):
            if (path := self.folder / folder / name).exists():
                return str(path)
        raise FileNotFoundError(f"{self.folder.name} has no command {name}")

    @property
    def python(self) -> str:
        """Its interpreter."""
        return self.command("python")


def environment(name: str) -> Environment:
    """Return an environment; install it first unless it is up to date.

    Raises:
        CannotInstall: it cannot be installed.
    """
    folder = _ENVIRONMENTS / name
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        wanted, stamp = _wanted(name), folder / "installed"
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            _install(name, folder)
            stamp.write_text(wanted)
    return Environment(folder)


def _is_npm(name: str) -> bool:
    return (_HERE / f"package-{name}.json").exists()


def _wanted(name: str) -> str:
    """Return everything that determines the content of an environment."""
    file = f"package-{name}.json" if _is_npm(name) else f"requirements-{name}.txt"
    return "\n".join([sys.version, (_HERE / file).read_text(), *_dependencies(name)])


def _dependencies(name: str) -> list[str]:
    if name not in _WITH_BATCHRUN:
        return []
    return list(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])


def _install(name: str, folder: Path) -> None:
    if _is_npm(name):
        if shutil.which("npm") is None:
            raise CannotInstall(f"{name}: there is no npm; install Node.js 20.15 or newer")
        folder.mkdir()
        shutil.copy(_HERE / f"package-{name}.json", folder / "package.json")
        _run(name, ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error"])
        return
    venv.create(folder, symlinks=True)  # without pip: both installers bring their own
    wheels = [] if name in _COMPILED else ["--only-binary", ":all:"]
    packages = [*wheels, "-r", str(_HERE / f"requirements-{name}.txt"), *_dependencies(name)]
    python = str(folder / "bin/python")
    if name not in _BY_PIP:
        with contextlib.suppress(CannotInstall):  # uv does not read pip's configuration of the registry
            _run(name, [find_uv_bin(), "pip", "install", "--quiet", "--python", python, *packages])
            return
    _run(name, [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *packages])


def _run(name: str, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        raise CannotInstall(f"{name}: not installed after {_INSTALL_S} s") from None
    if done.returncode:
        output = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise CannotInstall(f"{name}: {output[-1] if output else 'the installer failed'}")


def _make(name: str) -> str:
    try:
        environment(name)
    except CannotInstall as problem:
        return f"cannot be installed: {problem}"
    return f"{name} is installed"


def _names() -> list[str]:
    files = [*_HERE.glob("requirements-*.txt"), *_HERE.glob("package-*.json")]
    return sorted({file.stem.partition("-")[2] for file in files} - _MODELS - _BY_HAND)


if __name__ == "__main__":
    with ThreadPoolExecutor(2) as threads:
        for each in threads.map(_make, sys.argv[1:] or _names()):
            print(each, flush=True)  # noqa: T201
