"""Fixtures for the tests of the prompts stage: files to read and jobs that read them."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Model
from batchrun.prompts.rows import RowForms
from batchrun.prompts.source import Source
from batchrun.records import BadRow, Row

Write = Callable[..., str]
MakeJob = Callable[..., Job]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of `tmp_path` and return its path: bytes and text as they are, anything else as JSON Lines."""

    def write(name: str, content: Any) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


@pytest.fixture
def make_job() -> MakeJob:
    """Make a job from the settings of all sections, by name."""

    def make_job(path: str = "-", **settings: Any) -> Job:
        def of(section: type) -> dict[str, Any]:
            names = [field.name for field in dataclasses.fields(section) if field.name in settings]
            return {name: settings.pop(name) for name in names}

        of_input, of_prompt = of(Input), of(PromptTemplates)
        model = Model(**({"names": ("m",)} | settings))
        return Job(input=Input(path=(path,), **of_input), prompt=PromptTemplates(**of_prompt), model=model)

    return make_job


@pytest.fixture
def asked(make_job):
    """Return what a file's rows ask, or what is wrong with each."""

    def asked(path: str | Path, user: str | None = None) -> list[str]:
        with Source(make_job(str(path), user=user)) as source:
            source.open()
            entries = [entry for batch in source.batches() for entry in batch]
        assert [entry.row for entry in entries] == list(range(len(entries)))
        return [
            entry.message if isinstance(entry, BadRow) else json.loads(entry.body)["messages"][-1]["content"]
            for entry in entries
        ]

    return asked


@pytest.fixture
def made(make_job):
    """Return the messages that a job makes of a row."""

    def made(columns: dict[str, Any], **job: Any) -> list[Any]:
        messages: list[Any] = RowForms(make_job(**job)).prompt(Row(3, columns, "a: row 3")).body["messages"]
        return messages

    return made
