"""Does a completion fit the schema of its job, and what asks again where it does not? Pure."""

from typing import Any

import orjson

from batchrun.completions import completion_of
from batchrun.job import Response
from batchrun.records import Request
from batchrun.schema.answers import AnswerSchema, Complaint
from batchrun.schema.asking import repair_messages


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

    def complaint(self, body: bytes) -> Complaint | None:
        """Return why the answer in a chat completion does not fit; None when it does."""
        found = self._schema.read(completion_of(orjson.loads(body)).response)
        return found if isinstance(found, Complaint) else None

    def asked_again(self, request: Request, first_body: bytes, body: bytes, complaint: Complaint) -> Request:
        """Return the request that asks again, with the last answer and what is wrong with it.

        Args:
            request: of the row.
            first_body: what it asked at first: earlier repairs are not told again, for all of it is paid for.
            body: the chat completion that does not fit.
            complaint: what is wrong with it.
        """
        asked: dict[str, Any] = orjson.loads(first_body)
        answer = completion_of(orjson.loads(body)).response
        asked["messages"] = [*asked["messages"], *repair_messages(self._schema.schema, answer, complaint)]
        return request._replace(body=orjson.dumps(asked))
