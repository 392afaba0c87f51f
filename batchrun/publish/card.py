"""README.md next to the results: a dataset card that the Hugging Face Hub shows and `datasets` reads."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from batchrun.checkpoint.reader import Checkpoint
from batchrun.errors import RunDirectoryError
from batchrun.job.sections import Job
from batchrun.publish.features import features, input_features
from batchrun.report.texts import tokens_text
from batchrun.results.columns import COLUMNS, SCORE
from batchrun.results.replace import replacing
from batchrun.results.run_directory import CARD, RESULTS, stored_job
from batchrun.results.state import summary_of
from batchrun.results.summary import Summary

_TEXT_CHARS = 20_000
"""The longest template that is shown in full."""

_SIZES = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9)
_SIZE_NAMES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
"""Upper ends of the Hub's size categories. Source: the Hub's specification of dataset cards."""


def write_card(directory: Path) -> Path:
    """Write the card of a run atomically; return its path.

    Raises:
        RunDirectoryError: there is no run or no results, or a file cannot be read or written.
    """
    with Checkpoint(directory) as checkpoint:
        job = stored_job(checkpoint)
        known = input_features(job, directory, checkpoint)
    summary, path = summary_of(directory), directory / RESULTS
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowException) as problem:
        cure = f"write it again: batchrun export {directory}"
        raise RunDirectoryError(f"{path}: cannot be read ({problem}); {cure}") from problem
    schema = metadata.schema.to_arrow_schema()
    with replacing(directory / CARD) as temporary:
        front_matter = _front_matter(job.name, features(schema, known), metadata.num_rows)
        text = "\n".join([*front_matter, *_text(job, summary, schema)])
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")
    return directory / CARD


def _front_matter(name: str, known: list[dict[str, Any]] | None, rows: int) -> Iterator[str]:
    """Yield the part for programs: YAML with JSON values, which are valid YAML."""
    yield "---"
    yield f"pretty_name: {_quoted(name)}"
    yield f"size_categories: [{_quoted(_size(rows))}]"
    yield 'tags: ["synthetic", "batchrun"]'
    yield "configs:"
    yield '- {"config_name": "default", "data_files": [{"split": "train", "path": "' + RESULTS + '"}]}'
    if known is not None:  # otherwise `datasets` infers them
        yield "dataset_info:"
        yield "  features:"
        yield from (f"  - {orjson.dumps(feature).decode()}" for feature in known)
    yield "---"


def _size(rows: int) -> str:
    if rows < _SIZES[0]:
        return "n<1K"
    place = next((index for index, most in enumerate(_SIZES) if rows < most), None)
    return "n>1B" if place is None else f"{_SIZE_NAMES[place - 1]}<n<{_SIZE_NAMES[place]}"


def _text(job: Job, summary: Summary, schema: pa.Schema) -> Iterator[str]:
    """Yield the part for readers."""
    yield f"\n# {job.name}\n"
    yield "Answers of language models to a file of prompts, one row per answer. Made with batchrun."
    if summary.simulated:
        yield "\n**The embedded simulator made these answers up: no model has seen the prompts.**"
    yield "\n| | |\n| --- | --- |"
    yield from (f"| {name} | {_cell(value)} |" for name, value in _facts(job, summary))
    for heading, text in job.prompt.texts().items():
        what = (
            "Solved rows that are sent before each row"
            if heading == "Examples"
            else "A template over the columns of a row"
        )
        yield f"\n## {heading}\n\n{what}.\n\n{_fenced(text)}"
    if summary.failures:
        yield "\n## Failed rows\n\n| kind | rows |\n| --- | --- |"
        yield from (f"| `{each['kind']}` | {each['rows']:,} |" for each in summary.failures)
    yield "\n## Columns\n\n| column | type | meaning |\n| --- | --- | --- |"
    meanings = {column.name: column.doc for column in (*COLUMNS, SCORE)}
    source = "column of the input"
    for field in schema:
        if field.name == "model":
            source = "field of the answer"  # a property of its schema
        yield f"| {_cell(field.name)} | {_cell(str(field.type))} | {meanings.get(field.name, source)} |"


def _facts(job: Job, summary: Summary) -> Iterator[tuple[str, str]]:
    yield "model", ", ".join(each["model"] for each in summary.models)
    providers = dict.fromkeys(endpoint.provider for endpoint in job.endpoints.values())
    if known := [each for each in providers if each != "custom"]:  # the address of a private endpoint is not published
        yield "provider", ", ".join(known)
    if parameters := job.model.parameters():
        yield "parameters", orjson.dumps(parameters, default=str).decode()
    yield "answers", f"{summary.rows:,}: {summary.completed:,} completed, {summary.failed:,} failed"
    yield "tokens", tokens_text(summary.prompt_tokens, summary.completion_tokens)
    if not summary.simulated:
        yield "cost", summary.cost_text
    for score in summary.scores:
        if score.get("mean") is not None:
            yield f"mean {score.get('column', 'score')} of {score.get('model', 'all')}", f"{score['mean']:.4f}"
    if sources := [path for path in job.input.path if path.startswith("hf://")]:
        yield "prompts from", ", ".join(sources)
    yield "batchrun", summary.version


def _cell(text: str) -> str:
    """Return text escaped for a cell of a table."""
    return re.sub(r"([\\|<>`*_\[\]])", r"\\\1", " ".join(text.split()))


def _fenced(text: str) -> str:
    """Return text in a code fence that is longer than every fence in the text."""
    shown = text if len(text) <= _TEXT_CHARS else f"{text[:_TEXT_CHARS]}…"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
