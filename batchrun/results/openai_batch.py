"""The result files of OpenAI's Batch API: an output file of completed rows, an error file of failed rows.

Source: OpenAI's reference, "The request output object"; the same lines come from vLLM's `run-batch`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from batchrun.answers.envelope import read_reply
from batchrun.answers.kinds.table import shape_of
from batchrun.answers.raw_json import json_text
from batchrun.records import OutcomeColumns
from batchrun.results.answers import AnswerReader
from batchrun.results.columns import is_error_status, labels

_IN_ONE_LINE = bytes.maketrans(b"\n\r", b"  ")
"""In JSON, line breaks occur only as white space between values: inside texts they are escaped."""


class _Line(NamedTuple):
    """The parts of a settled row that these files show."""

    row: int
    custom_id: str
    kind: str | None
    error: str | None
    http_status: int | None
    body: bytes | None


def write_batch_files(
    output: Path, errors: Path, outcomes: Iterable[OutcomeColumns], reader: AnswerReader
) -> tuple[int, int]:
    """Write both files.

    Args:
        output: gets a line for each completed row.
        errors: gets a line for each failed row.
        outcomes: by row, model and sample, in columns of any length.
        reader: decides which rows are completed.

    Returns:
        The number of lines in each.
    """
    lines, failed, last, count = 0, 0, -1, 0
    with output.open("wb") as answered, errors.open("wb") as refused:
        for some in outcomes:
            for line in _lines(reader.read(some).outcomes):
                count = count + 1 if line.row == last else 0
                last = line.row
                entry = _entry(line, f"batch_req_{line.row}_{count}")
                (answered if line.kind is None else refused).write(orjson.dumps(entry) + b"\n")
                lines += 1
                failed += line.kind is not None
    return lines - failed, failed


def _lines(outcomes: OutcomeColumns) -> Iterable[_Line]:
    columns = {**outcomes, "custom_id": labels(outcomes)}
    return map(_Line._make, zip(*(columns[name] for name in _Line._fields), strict=True))


def _entry(line: _Line, its_id: str) -> dict[str, Any]:
    return {
        "id": its_id,
        "custom_id": line.custom_id,
        "response": None if line.http_status is None else _response(line, line.http_status, its_id),
        # The response to a refused request has the reason.
        "error": None if line.kind is None or is_error_status(line.http_status) else _error(line),
    }


def _response(line: _Line, status: int, its_id: str) -> dict[str, Any]:
    body, raw = _object(line.body or b"")
    given_id = body.get("id") if body else None
    shown: Any = {"error": {"message": line.error, "type": line.kind, "param": None, "code": line.kind}}
    if body is not None:
        shown = orjson.Fragment(raw.translate(_IN_ONE_LINE))
    return {"status_code": status, "request_id": given_id if isinstance(given_id, str) else its_id, "body": shown}


def _object(body: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """Return a body as an object, and its JSON: as it came, or as it was read if more stands around it."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    return (found, body) if isinstance(found, dict) and shape_of(found) is not None else _searched(body)


def _searched(body: bytes) -> tuple[dict[str, Any] | None, bytes]:
    """Return the answer that stands in something else."""
    try:
        found = read_reply(body)
    except ValueError:
        return None, b""
    text = json_text(found) if isinstance(found, dict) else None
    return (None, b"") if text is None else (found, text.encode())


def _error(line: _Line) -> dict[str, Any]:
    return {"code": line.kind, "message": line.error}
