"""The checks of an input file before its batch begins: every problem with its line. No I/O.

Sources: OpenAI's guide and reference of the Batch API; the codes are those of Azure's page on batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from batchrun.simulator.chat import count_tokens
from batchrun.simulator.settings import Settings

_MOST_PROBLEMS = 100


class Line(NamedTuple):
    """One request of a batch."""

    custom_id: str
    body: bytes
    tokens: int
    """About how many its prompt has."""


@dataclass(frozen=True, slots=True)
class Checked:
    """An input file that was read."""

    lines: list[Line]
    model: str
    problems: list[dict[str, Any]]
    """Entries of `errors.data`; none: the batch can begin."""

    @property
    def tokens(self) -> int:
        """About how many tokens its prompts have."""
        return sum(line.tokens for line in self.lines)


def problem(code: str, message: str, line: int | None = None, param: str | None = None) -> dict[str, Any]:
    """Return an entry of `errors.data`."""
    return {"code": code, "message": message, "line": line, "param": param}


def checked(content: bytes, endpoint: str, settings: Settings) -> Checked:
    """Read an input file for a batch to this endpoint."""
    lines: list[Line] = []
    problems: list[dict[str, Any]] = []
    seen: set[str] = set()
    model = ""
    texts = [text for text in content.split(b"\n") if text.strip()]
    for number, text in enumerate(texts, 1):
        read = _read(text, number, endpoint)
        found = read if isinstance(read, dict) else _of_batch(read, number, seen, model, settings)
        if found is not None:
            problems.append(found)
        elif not isinstance(read, dict):
            custom_id, body = read
            model = model or body["model"]
            seen.add(custom_id)
            lines.append(Line(custom_id, orjson.dumps(body), _tokens(body)))
    if not texts:
        problems.append(problem("empty_batch", "The input file is empty."))
    if len(texts) > settings.batch_requests:
        message = f"The batch contains too many requests. The maximum is {settings.batch_requests}."
        problems.insert(0, problem("too_many_tasks", message))
    return Checked(lines, model, problems[:_MOST_PROBLEMS])


def _read(text: bytes, number: int, endpoint: str) -> tuple[str, dict[str, Any]] | dict[str, Any]:
    """Return label and body of a line, or what is wrong with its form."""
    try:
        line = orjson.loads(text)
    except orjson.JSONDecodeError:
        line = None
    if not isinstance(line, dict):
        return problem("invalid_json_line", "This line is not parseable as valid JSON.", number)
    for name, kind in (("custom_id", str), ("method", str), ("url", str), ("body", dict)):
        if not isinstance(line.get(name), kind) or not line[name]:
            return problem("missing_required_parameter", f"Missing required parameter: '{name}'.", number, name)
    if line["method"] != "POST":
        return problem("invalid_method", "Invalid method: only POST is supported.", number, "method")
    if line["url"] != endpoint:
        message = f"The provided endpoint '{line['url']}' does not match the batch endpoint '{endpoint}'."
        return problem("url_mismatch", message, number, "url")
    if line["body"].get("stream"):
        return problem("invalid_request", "Streaming is not supported in the Batch API.", number, "body.stream")
    if not isinstance(line["body"].get("model"), str):
        return problem("missing_required_parameter", "Missing required parameter: 'model'.", number, "body.model")
    return line["custom_id"], line["body"]


def _of_batch(
    read: tuple[str, Mapping[str, Any]], number: int, seen: set[str], model: str, settings: Settings
) -> dict[str, Any] | None:
    """Return what is wrong with a line next to the others."""
    custom_id, body = read
    if custom_id in seen:
        message = f"The custom_id '{custom_id}' for this request is a duplicate of another request."
        return problem("duplicate_custom_id", message, number, "custom_id")
    its = body["model"]
    if settings.models and its not in settings.models:
        message = f"The provided model '{its}' is not supported by the Batch API."
        return problem("model_not_found", message, number, "body.model")
    if model and its != model:
        message = f"The provided model '{its}' does not match the rest of the batch: '{model}'."
        return problem("model_mismatch", message, number, "body.model")
    return None


def _tokens(body: Mapping[str, Any]) -> int:
    asked = body.get("messages", body.get("input", body.get("prompt", "")))
    return count_tokens(orjson.dumps(asked).decode())
