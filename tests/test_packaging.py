"""The installed package is complete. `make test` runs this twice: on the sources, and on the wheel built from them."""

import os
import tomllib
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import pytest

import batchrun

ROOT = Path(__file__).resolve().parents[1]
FROM_WHEEL = os.environ.get("BATCHRUN_FROM_WHEEL") == "1"
SOURCES = sorted(
    path.relative_to(ROOT / "batchrun").as_posix()
    for path in (ROOT / "batchrun").rglob("*")
    if path.is_file() and path.suffix != ".pyc"
)


def test_the_intended_package_is_tested() -> None:
    """The tests of the wheel import the wheel, all others import the sources."""
    home = ROOT / "build" / "wheel" if FROM_WHEEL else ROOT
    assert Path(batchrun.__file__).resolve() == home / "batchrun" / "__init__.py"


@pytest.mark.parametrize("name", ["job/prices.toml", "py.typed"])
def test_data_files_are_installed_with_the_code(name: str) -> None:
    """Files that are not Python are found by `importlib.resources`."""
    assert (files("batchrun") / name).is_file()


def test_every_source_file_is_in_the_package() -> None:
    """The wheel contains every file of the repository's `batchrun` folder."""
    assert {"job/prices.toml", "py.typed", "__main__.py", "simulator/server.py"} < set(SOURCES)
    assert [name for name in SOURCES if not files("batchrun").joinpath(name).is_file()] == []


def test_the_package_is_the_sources_byte_for_byte() -> None:
    """So tests of the sources hold for the wheel; those that run on both show that it finds its files and processes."""
    installed = files("batchrun")
    different = [name for name in SOURCES if installed.joinpath(name).read_bytes() != _source(name).read_bytes()]
    assert different == []


def _source(name: str) -> Path:
    return ROOT / "batchrun" / name


def test_the_distribution_installs_the_command() -> None:
    """`pip install batchrun-llm` installs `batchrun`, which calls `__main__`."""
    [command] = distribution("batchrun-llm").entry_points.select(group="console_scripts")
    assert (command.name, command.value) == ("batchrun", "batchrun.__main__:main")
    assert callable(command.load())


@pytest.mark.skipif(not FROM_WHEEL, reason="an editable install keeps its metadata from the day it was installed")
def test_the_wheel_has_its_metadata() -> None:
    """Version, license and its text are in the wheel's metadata."""
    wheel = distribution("batchrun-llm")
    assert wheel.version == batchrun.__version__
    assert wheel.metadata["License-Expression"] == "Apache-2.0"
    texts = [path for path in wheel.files or [] if path.name == "LICENSE"]
    assert [path.read_text() for path in texts] == [(ROOT / "LICENSE").read_text()]


@pytest.mark.parametrize(
    ("extra", "module"),
    [
        ("excel", "prompts/input/xlsx_file.py"),
        ("hf", "storage/hub.py"),
        ("notify", "engine/notices.py"),
        ("ray", "engine/ray/connection.py"),
        ("wandb", "publish/wandb/run.py"),
        ("weave", "publish/weave/session.py"),
    ],
)
def test_a_missing_package_is_installed_by_the_command_in_the_message(extra: str, module: str) -> None:
    """The message has the version range of the extra."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert f"pip install '{extras[extra][0]}'" in (ROOT / "batchrun" / module).read_text()
