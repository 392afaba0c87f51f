"""Fixtures: runs to publish, made by the embedded simulator."""

from collections.abc import Callable
from pathlib import Path

import pytest

from batchrun import Job, run
from batchrun.engine.options import Options
from batchrun.job.sections import Input, Model, Output

MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "openai/gpt-oss-20b")

Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Run a file of prompts with two models; return the run directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def made(path: str, directory: str = "out", **sections: object) -> Path:
        settings = {"model": Model(names=MODELS, max_tokens=8), "input": Input(path=(path,)), **sections}
        job = Job(name="job", output=Output(dir=directory), **settings)  # type: ignore[arg-type]
        run(job, Options(simulate=True))
        return tmp_path / directory

    return made
