"""What is installed is whole. `make test` runs this twice: over the sources, and over the wheel built of them."""

import os
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


def test_the_package_under_test_is_the_one_that_was_meant() -> None:
    """The wheel's tests import the wheel, all others the sources."""
    home = ROOT / "build" / "wheel" if FROM_WHEEL else ROOT
    assert Path(batchrun.__file__).resolve() == home / "batchrun" / "__init__.py"


@pytest.mark.parametrize("name", ["job/prices.toml", "py.typed"])
def test_data_is_found_beside_the_code(name: str) -> None:
    """What is no Python comes along, and `importlib.resources` finds it."""
    assert (files("batchrun") / name).is_file()


def test_every_source_file_is_in_the_package() -> None:
    """Nothing of the repository's `batchrun` folder is left behind when the wheel is built."""
    assert {"job/prices.toml", "py.typed", "__main__.py", "simulator/server.py"} < set(SOURCES)
    assert [name for name in SOURCES if not files("batchrun").joinpath(name).is_file()] == []


def test_the_distribution_installs_the_command() -> None:
    """`pip install batchrun-llm` gives `batchrun`, which `__main__` is."""
    [command] = distribution("batchrun-llm").entry_points.select(group="console_scripts")
    assert (command.name, command.value) == ("batchrun", "batchrun.__main__:main")
    assert callable(command.load())


@pytest.mark.skipif(not FROM_WHEEL, reason="an editable install keeps the metadata of the day it was made")
def test_the_wheel_says_what_it_is() -> None:
    """Version, license and its text are in the wheel's metadata."""
    wheel = distribution("batchrun-llm")
    assert wheel.version == batchrun.__version__
    assert wheel.metadata["License-Expression"] == "Apache-2.0"
    texts = [path for path in wheel.files or [] if path.name == "LICENSE"]
    assert [path.read_text() for path in texts] == [(ROOT / "LICENSE").read_text()]
