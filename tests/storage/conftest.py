"""Stores without a network: a folder as the bucket, and a local web server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.web import Web, serving_files
from pyarrow import fs as arrow

from batchrun.storage import objects


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that acts as the bucket `s3://bkt/`."""
    folder = tmp_path / "store" / "bkt"
    folder.mkdir(parents=True)
    system = arrow.SubTreeFileSystem(str(folder.parent), arrow.LocalFileSystem())
    monkeypatch.setattr(objects, "_system", lambda scheme, host, options: (system, host))
    return folder


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server at `web.url`."""
    with serving_files() as web:
        yield web
