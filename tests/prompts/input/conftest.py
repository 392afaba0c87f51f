"""Fixtures for the tests of input files."""

import json
from pathlib import Path

import pytest

from batchrun.prompts.source import Source
from batchrun.records import BadRow


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
