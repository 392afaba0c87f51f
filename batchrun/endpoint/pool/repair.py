"""Checks completions against the job's schema, and makes the request that asks again. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from batchrun.answers.envelope import shown_of
from batchrun.answers.schema import AnswerSchema, Complaint
from batchrun.job.sections import Response
from batchrun.records import Request


class Repair:
    """A job's schema, applied to its answers."""

    def __init__(self, response: Response) -> None:
        """Compile the schema.

        Raises:
            JobError: answers cannot have this schema.
        """
        assert response.schema is not None
        self.attempts = response.repair_attempts
        """How often one row may be asked again."""
        self._schema = AnswerSchema(response.schema)

    def complaint(self, answer: Mapping[str, Any]) -> Complaint | None:
        """Return why a parsed answer does not fit; None when it fits."""
        found = self._schema.judge(shown_of(answer))
        return found if isinstance(found, Complaint) else None

    def asked_again(
        self, request: Request, first_body: bytes, answer: Mapping[str, Any], complaint: Complaint
    ) -> Request:
        """Return the request that asks again, with the last answer and what is wrong with it.

        Args:
            request: of the row.
            first_body: the row's first body: earlier repairs are not repeated, since every token is paid for.
            answer: the parsed answer that does not fit.
            complaint: what is wrong with it.
        """
        return request._replace(body=self.body_again(first_body, answer, complaint))

    def body_again(self, first_body: bytes, answer: Mapping[str, Any], complaint: Complaint) -> bytes:
        """Return the body of the request that asks again; see `asked_again`."""
        asked: dict[str, Any] = orjson.loads(first_body)
        more = repair_messages(self._schema.schema, shown_of(answer).response, complaint)
        key = _key_of(asked)
        before = asked[key]
        asked[key] = [*([{"role": "user", "content": before}] if isinstance(before, str) else before), *more]
        return orjson.dumps(asked)

    def body_before(self, body: bytes) -> bytes:
        """Return the row's first body, by one that asks again: without the messages that this adds."""
        asked: dict[str, Any] = orjson.loads(body)
        key = _key_of(asked)
        asked[key] = asked[key][:-_ADDED]
        return orjson.dumps(asked)


def _key_of(body: Mapping[str, Any]) -> str:
    return "messages" if "messages" in body else "input"


_ADDED = 2
"""Messages of `repair_messages`."""

_MOST_SCHEMA = 4_000

_MOST_ANSWER = 20_000
"""Most characters of the schema and of the answer that are sent again: they are paid for."""


def repair_messages(schema: Mapping[str, Any], answer: str | None, complaint: Complaint) -> list[dict[str, Any]]:
    """Return the messages that ask again for an answer that fits; append them to the request's messages.

    The first is the assistant's and the second the user's: many chat templates insist that the two take turns. A schema
    of usual length is shown, because an endpoint may ignore `response_format`, and then the model has never seen it.
    """
    text = answer or "(no text)"  # some servers refuse an empty message
    if len(text) > _MOST_ANSWER:
        text = text[:_MOST_ANSWER] + " …"
    lines = [f"Your answer cannot be used: {complaint.text}."]
    shown = orjson.dumps(schema).decode()
    if len(shown) <= _MOST_SCHEMA:
        lines.append(f"It must be one JSON object that fits this JSON Schema: {shown}")
    lines.append("Answer again with that JSON object and nothing else.")
    return [{"role": "assistant", "content": text}, {"role": "user", "content": "\n".join(lines)}]
