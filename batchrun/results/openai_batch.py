"""The result files of OpenAI's Batch API: an output file of completed rows, an error file of failed rows.

Source: OpenAI's reference, "The request output object"; the same lines come from vLLM's `run-batch`.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from batchrun.answers.envelope import read_reply
from batchrun.answers.kinds.embeddings import is_plain, with_numbers
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
    around: tuple[bytes, bytes] | None
    """What the provider's own line has before and after the body; None where no batch has answered."""


class _Shown(NamedTuple):
    """The body that is written of a row."""

    id: str | None
    """That it states."""
    body: Any


def write_batch_files(
    output: Path,
    errors: Path,
    outcomes: Iterable[OutcomeColumns],
    reader: AnswerReader,
    around: Callable[[OutcomeColumns], Sequence[tuple[bytes, bytes] | None]] | None = None,
    *,
    asks_base64: Callable[[int], bool] = lambda row: False,
) -> tuple[int, int]:
    """Write both files.

    Args:
        output: gets a line for each completed row.
        errors: gets a line for each failed row.
        outcomes: by row, model and sample, in columns of any length.
        reader: decides which rows are completed.
        around: returns what the provider's own lines have around the bodies: their ids are kept.
        asks_base64: returns whether a row asks for vectors as base64; else they are numbers, however they travelled.

    Returns:
        The number of lines in each.
    """
    lines, failed, last, count = 0, 0, -1, 0
    with output.open("wb") as answered, errors.open("wb") as refused:
        for some in outcomes:
            for line in _lines(reader.read(some).outcomes, None if around is None else around(some)):
                count = count + 1 if line.row == last else 0
                last = line.row
                shown = _shown(line, asks_base64)
                entry = _entry(line, shown, *_ids(line, f"batch_req_{line.row}_{count}"))
                (answered if line.kind is None else refused).write(orjson.dumps(entry) + b"\n")
                lines += 1
                failed += line.kind is not None
    return lines - failed, failed


def _lines(outcomes: OutcomeColumns, around: Sequence[tuple[bytes, bytes] | None] | None) -> Iterable[_Line]:
    columns = {**outcomes, "custom_id": labels(outcomes), "around": around or [None] * len(outcomes["row"])}
    return map(_Line._make, zip(*(columns[name] for name in _Line._fields), strict=True))


def _ids(line: _Line, made_up: str) -> tuple[str, str | None]:
    """Return the id of a line, and that of its request where the provider's own line has one."""
    if line.around is None:
        return made_up, None
    before, after = line.around
    read = orjson.loads(before + b"null" + after if after else before)
    stated, response = read.get("id"), read.get("response")
    request_id = response.get("request_id") if isinstance(response, dict) else None
    return stated if isinstance(stated, str) else made_up, request_id if isinstance(request_id, str) else None


def _entry(line: _Line, shown: _Shown, its_id: str, request_id: str | None) -> dict[str, Any]:
    return {
        "id": its_id,
        "custom_id": line.custom_id,
        "response": None if line.http_status is None else _response(shown, line.http_status, its_id, request_id),
        # The response to a refused request has the reason.
        "error": None if line.kind is None or is_error_status(line.http_status) else _error(line),
    }


def _response(shown: _Shown, status: int, its_id: str, request_id: str | None) -> dict[str, Any]:
    return {"status_code": status, "request_id": request_id or shown.id or its_id, "body": shown.body}


def _shown(line: _Line, asks_base64: Callable[[int], bool]) -> _Shown:
    """Return the body that is written of a row."""
    body, raw = _object(line.body or b"")
    if body is None:
        return _Shown(None, {"error": {"message": line.error, "type": line.kind, "param": None, "code": line.kind}})
    given_id = body.get("id")
    numbers = with_numbers(body) if is_plain(body) and not asks_base64(line.row) else None
    content = orjson.Fragment(raw.translate(_IN_ONE_LINE)) if numbers is None else numbers
    return _Shown(given_id if isinstance(given_id, str) else None, content)


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
