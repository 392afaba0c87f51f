"""Names in a job that cannot be meant: several models in one, a run directory that is named like a file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchrun.errors import JobError
from batchrun.job.sections import Job

Overrides = Mapping[tuple[str, str], tuple[str, Any]]
"""(section, key) → (the flag or argument as written, its value): what these set, over the job file."""

_FILE_ENDINGS = (".parquet", ".jsonl", ".csv", ".json", ".tsv", ".txt", ".xlsx", ".toml")
"""Endings of a run directory that is probably meant to be a file."""


def check_names(job: Job, where: str, overrides: Overrides) -> None:
    """Refuse several models in one name, and a run directory that is named like a file of answers.

    Raises:
        JobError: with what to write instead.
    """
    if several := next((name for name in job.model.names if "," in name), None):
        names = [name.strip() for name in several.split(",") if name.strip()]
        origin, _ = overrides.get(("model", "names"), (f"{where}: model.names", None))
        listed = f"{origin.rpartition('.')[2]} = {json.dumps(names)}"
        cure = " ".join(f"-m {name}" for name in names) if origin == "--model" else listed
        raise JobError(f'{origin} = "{several}"; must be one model; for several: {cure}')
    directory = Path(job.output.dir)
    if directory.suffix in _FILE_ENDINGS and not directory.is_dir():
        origin, _ = overrides.get(("output", "dir"), (f"{where}: output.dir", None))
        better = directory.with_suffix("")
        raise JobError(
            f'{origin} = "{directory}"; must be a directory: the answers go into results.parquet in it;'
            f" for example {better} for {better / 'results.parquet'}"
        )
