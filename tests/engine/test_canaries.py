"""The requests that are not rows."""

import base64
import json
from typing import Any

from batchrun.engine.canaries import Canaries
from batchrun.job.prompt import PromptTemplates
from batchrun.job.sections import Input, Job, Model, Response
from batchrun.prompts.media import media_type


def asked(model: Model, *, is_bare: bool, name: str = "m", **sections: Any) -> dict[str, Any]:
    job = Job(input=Input(path=("-",)), model=model, **sections)
    body: dict[str, Any] = json.loads(Canaries(job).request(name, is_bare=is_bare).body)
    return body


def test_a_canary_has_the_parameters_that_every_row_of_the_job_has() -> None:
    """The job's max_tokens too, and only if the job sets one; a refusal of a parameter is the job's."""
    model = Model(names=("m", "other"), temperature=0.5, max_tokens=7, stream=True, extra_body={"top_k": 3})
    body = asked(model, is_bare=False, name="other")
    assert body["messages"] == [{"role": "user", "content": "Say OK."}]
    assert (body["model"], body["temperature"], body["max_tokens"], body["top_k"]) == ("other", 0.5, 7, 3)
    assert body["stream"] is True
    assert "max_tokens" not in asked(Model(names=("m",)), is_bare=False)


def test_a_canary_of_a_fallback_asks_the_fallback() -> None:
    """With the parameters of the job: it finds out whether these are what the fallback refuses."""
    body = asked(Model(names=("m",), fallback="large", temperature=0.5), is_bare=False, name="large")
    assert (body["model"], body["temperature"]) == ("large", 0.5)


def test_a_canary_of_a_job_with_a_response_format_names_json() -> None:
    """OpenAI refuses a JSON format unless the messages name JSON."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    body = asked(Model(names=("m",)), is_bare=False, response=Response(schema=schema))
    assert body["response_format"]
    assert "JSON" in body["messages"][0]["content"]


def test_a_bare_canary_is_a_request_for_one_token() -> None:
    """Whatever the job says. So is that of a model that only rows name."""
    body = {"messages": [{"role": "user", "content": "Say OK."}], "max_tokens": 1}
    assert asked(Model(names=("m",), temperature=0.5), is_bare=True) == {"model": "m", **body}
    assert asked(Model(), is_bare=False, name="own")["model"] == "own"


def test_a_canary_has_the_system_message_that_every_row_has() -> None:
    """Some models take no system message at all. A bare canary has none."""
    prompt = PromptTemplates(system="Answer in {{ 'French' }}.")
    first, last = asked(Model(names=("m",)), is_bare=False, prompt=prompt)["messages"]
    assert first == {"role": "system", "content": "Answer in French."}
    assert last == {"role": "user", "content": "Say OK."}
    assert len(asked(Model(names=("m",)), is_bare=True, prompt=prompt)["messages"]) == 1
    prompt = PromptTemplates(system="Answer as {{ persona }}.")
    first, _ = asked(Model(names=("m",)), is_bare=False, prompt=prompt)["messages"]
    assert first["role"] == "system"
    assert "persona" not in first["content"]


def test_a_canary_of_a_job_with_images_has_an_image() -> None:
    """A model that takes none refuses it as it refuses the rows. A bare canary has none."""
    prompt = PromptTemplates(user="{{ q }}", images="img")
    text, image = asked(Model(names=("m",)), is_bare=False, prompt=prompt)["messages"][0]["content"]
    assert text == {"type": "text", "text": "Say OK."}
    data = image["image_url"]["url"].removeprefix("data:image/png;base64,")
    assert media_type(base64.b64decode(data)[:32]) == "image/png"
    assert isinstance(asked(Model(names=("m",)), is_bare=True, prompt=prompt)["messages"][0]["content"], str)
