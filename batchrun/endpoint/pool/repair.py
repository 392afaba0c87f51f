"""Does a completion fit the schema of its job, and what asks again where it does not? Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from batchrun.answers.chat import completion_of
from batchrun.answers.schema import AnswerSchema, Complaint
from batchrun.job.sections import Response
from batchrun.records import Request


class Repair:
    """What a job's schema makes of its answers."""

    def __init__(self, response: Response) -> None:
        """Compile the schema.

        Raises:
            JobError: it cannot be one of answers.
        """
        assert response.schema is not None
        self.attempts = response.repair_attempts
        """How often an answer may be asked for again."""
        self._schema = AnswerSchema(response.schema)

    def complaint(self, answer: Mapping[str, Any]) -> Complaint | None:
        """Return why the text of a parsed chat completion does not fit; None when it fits."""
        found = self._schema.read(completion_of(answer).response)
        return found if isinstance(found, Complaint) else None

    def asked_again(
        self, request: Request, first_body: bytes, answer: Mapping[str, Any], complaint: Complaint
    ) -> Request:
        """Return the request that asks again, with the last answer and what is wrong with it.

        Args:
            request: of the row.
            first_body: the row's first body: earlier repairs are not repeated, since every token is paid for.
            answer: the parsed chat completion that does not fit.
            complaint: what is wrong with it.
        """
        asked: dict[str, Any] = orjson.loads(first_body)
        text = completion_of(answer).response
        asked["messages"] = [*asked["messages"], *repair_messages(self._schema.schema, text, complaint)]
        return request._replace(body=orjson.dumps(asked))


_MOST_SCHEMA = 4_000

_MOST_ANSWER = 20_000
"""Characters of schema and answer that are sent again, at most: they are paid for."""


def repair_messages(schema: Mapping[str, Any], answer: str | None, complaint: Complaint) -> list[dict[str, Any]]:
    """Return what to append to a request's messages, to ask again for an answer that does not fit.

    One of the assistant and one of the user, for many chat templates insist that the two take turns. A schema of usual
    length is shown, for an endpoint may ignore `response_format`, and then the model has never seen it.
    """
    said = answer or "(no text)"  # some servers refuse an empty message
    if len(said) > _MOST_ANSWER:
        said = said[:_MOST_ANSWER] + " …"
    lines = [f"Your answer cannot be used: {complaint.text}."]
    shown = orjson.dumps(schema).decode()
    if len(shown) <= _MOST_SCHEMA:
        lines.append(f"It must be one JSON object that fits this JSON Schema: {shown}")
    lines.append("Answer again with that JSON object and nothing else.")
    return [{"role": "assistant", "content": said}, {"role": "user", "content": "\n".join(lines)}]
