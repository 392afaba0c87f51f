"""The requests that are not rows: they find out whether a model answers, and whether the job itself is refused."""

import orjson

from batchrun.job.sections import Job
from batchrun.prompts.request import RequestMaker
from batchrun.records import Prompt, Request

_TEXT = "Say OK."
_JSON = "Say OK as JSON."
"""OpenAI refuses a JSON response format unless the messages name JSON."""


class Canaries:
    """Makes canaries for a job."""

    def __init__(self, job: Job) -> None:
        self._maker = RequestMaker(job)
        self.strict_forms = self._maker.strict_forms
        """The JSON of the schema as it is sent, and without `strict`; None where `strict` is not sent."""

    def request(self, model: str, *, is_bare: bool) -> Request:
        """Return a canary: for one token, or, unless it is bare, with the parameters that every row of the job has."""
        if is_bare:
            body = orjson.dumps({"model": model, "messages": _messages(_TEXT), "max_tokens": 1})
        else:
            made = self._made(model, _TEXT)
            body = self._made(model, _JSON) if b'"response_format":' in made else made
        return Request(row=-1, model=model, sample=0, key=b"", body=body, custom_id=None)

    def _made(self, model: str, text: str) -> bytes:
        """Return the body that a row with this text would have."""
        prompt = Prompt(row=-1, custom_id=None, body={"messages": _messages(text), "model": model})
        made = self._maker.requests(prompt)
        return next((each.body for each in made if each.model == model), made[0].body)


def _messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
