"""The schema of a job's answers: checks the schema itself, then every answer. Pure."""

from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple, NoReturn

import jsonschema_rs
import orjson

from batchrun.answers.bounds import EXAMPLES, FORMATS, with_bounds
from batchrun.answers.chat import Completion
from batchrun.answers.objects import find_objects
from batchrun.answers.references import dereferenced
from batchrun.errors import JobError

_MOST_ERRORS = 5
_MOST_LETTERS = 300
"""A complaint is sent to a model, and paid for: most errors in it, and most characters of each."""

_ROOT = '{"type": "object", "properties": {…}}'


INVALID, REFUSED, WITHHELD = "invalid_response", "refused", "content_filter"
"""Kinds of answers that are not valid. Only of the first kind is another answer worth buying."""

_MOST_REFUSAL = 2_000

KINDS = frozenset({INVALID, REFUSED, WITHHELD})


class Complaint(NamedTuple):
    """Why an answer is not valid: a text of bounded length for the model that wrote it, and for people."""

    text: str
    kind: str = INVALID


class AnswerSchema:
    """The schema of every answer of a job. Compiled once per job; reading an answer takes a few microseconds."""

    def __init__(self, schema: dict[str, Any]) -> None:
        """Compile a schema.

        Formats are checked, and integers are limited to 64 bits: see `bounds`.

        Args:
            schema: a JSON Schema of any draft; the newest unless `$schema` says. References stay within it.

        Raises:
            JobError: it is not a JSON Schema, refers to another document, or does not describe an object with named
                properties: endpoints accept only these, and columns are made of them.
        """
        _compiled(schema)  # first without bounds: messages must be about what the user wrote
        self.schema = schema
        root, _ = dereferenced(schema, schema)
        self.properties: dict[str, Any] = _properties(root)
        """Schema of each top-level property, in their order."""
        self._validator = _compiled(with_bounds(schema))

    def read(self, text: str | None) -> dict[str, Any] | Complaint:
        """Return the object in an answer, or why there is no valid object. Never raises.

        Prose around it, code fences and small slips are accepted (see `objects`). Of several objects the valid one is
        returned; if several different ones are valid, none is, since the right one is unknown.

        Args:
            text: the answer's text, without its reasoning; None when there is no text.
        """
        try:
            value = orjson.loads(text or "")
        except orjson.JSONDecodeError:
            value = None
        if type(value) is not dict:
            return self._found(text or "")
        return value if self._validator.is_valid(value) else self._complaint(value)

    def objects(self, texts: Iterable[str | None]) -> list[dict[str, Any] | None]:
        """Return the object of each answer that is a valid one and nothing else; None for others: see `read`."""
        loads, is_valid = orjson.loads, self._validator.is_valid
        objects: list[dict[str, Any] | None] = []
        for text in texts:
            try:
                value = loads(text or "null")
            except orjson.JSONDecodeError:
                value = None
            objects.append(value if value.__class__ is dict and is_valid(value) else None)
        return objects

    def judge(self, completion: Completion) -> dict[str, Any] | Complaint:
        """Return the object in an answer, or why there is none. A refusal and a filter's verdict will not change."""
        found = self.read(completion.response)
        if not isinstance(found, Complaint):
            return found
        if completion.refusal is not None:
            return Complaint(completion.refusal[:_MOST_REFUSAL], REFUSED)
        if completion.is_withheld:
            return Complaint("the endpoint's content filter withheld the answer", WITHHELD)
        return found

    def _found(self, text: str) -> dict[str, Any] | Complaint:
        objects, problem = find_objects(text)
        fitting: list[dict[str, Any]] = []
        for each in objects:
            if each not in fitting[:1] and self._validator.is_valid(each):
                fitting.append(each)
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            return Complaint("the answer holds several different JSON objects that fit; it must hold one")
        if objects and not problem:
            return self._complaint(objects[-1])
        return Complaint(f"the answer does not fit: {problem}" if problem else "the answer holds no JSON object")

    def _complaint(self, value: dict[str, Any]) -> Complaint:
        return Complaint(_words(self._validator.iter_errors(value)))


def _words(errors: Iterable[jsonschema_rs.ValidationError]) -> str:
    """Return the errors with their places, in one line."""
    first = list(islice(errors, _MOST_ERRORS + 1))
    lines = [_line(error) for error in first[:_MOST_ERRORS]]
    return "; ".join([*lines, "and more"] if len(first) > _MOST_ERRORS else lines)


def _line(error: jsonschema_rs.ValidationError) -> str:
    # When one of several schemas must fit, only the branches of the error name them.
    branches = getattr(error.kind, "context", None)
    if branches and all(branches):
        return _shortened(", and ".join(dict.fromkeys(_line(branch[0]) for branch in branches)))
    message = error.message
    if example := EXAMPLES.get(getattr(error.kind, "format", "")):
        message += f', such as "{example}"'
    where = "".join(f"/{step}" for step in error.instance_path)
    return _shortened(f"{where}: {message}" if where else message)


def _shortened(line: str) -> str:
    """Cut a line in its middle: its start has the place, its end the allowed values."""
    half = _MOST_LETTERS // 2
    return line if len(line) <= _MOST_LETTERS else f"{line[:half]} … {line[-half:]}"


def _compiled(schema: dict[str, Any]) -> "jsonschema_rs.Validator":  # quoted: older releases do not have the name
    outside: list[str] = []

    def refuse_to_fetch(uri: str) -> NoReturn:
        outside.append(uri)
        raise ValueError

    try:
        return jsonschema_rs.validator_for(schema, formats=FORMATS, validate_formats=True, retriever=refuse_to_fetch)
    except jsonschema_rs.ValidationError as error:
        if outside:
            cure = "nothing is fetched: copy it into the schema, under $defs"
            if isinstance(schema, dict) and schema.get("$schema") == outside[0]:
                cure = "$schema must be a published draft of JSON Schema, or left out"
            raise JobError(f"response.schema: refers to {outside[0]}; {cure}") from error
        raise JobError(f"response.schema: is not a JSON Schema: {_line(error)}") from error
    except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
        raise JobError(f"response.schema: is not a JSON Schema: {_shortened(str(error))}") from error


def _properties(root: Any) -> dict[str, Any]:
    if not isinstance(root, dict) or root.get("type") != "object":
        raise JobError(
            'response.schema: lacks "type": "object" at its root. An answer must be an object: endpoints accept only '
            f"objects, and their properties become columns. Write {_ROOT}, and make the present schema a property"
        )
    properties: dict[str, Any] = root.get("properties") or {}
    if not properties:
        raise JobError(f"response.schema: names no properties, and without them there are no columns; write {_ROOT}")
    return properties
