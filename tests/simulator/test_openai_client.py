"""The official OpenAI client as an independent check of the simulator's replies."""

import asyncio
from contextlib import asynccontextmanager

import orjson
import pytest
from harness.later import Later

from batchrun.simulator import Settings, serve

openai = Later("openai")


MODEL = "meta-llama/Llama-3.1-8B-Instruct"
SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["good", "bad"]}, "sure": {"type": "boolean"}},
    "required": ["label", "sure"],
    "additionalProperties": False,
}


@asynccontextmanager
async def client(**settings):
    async with (
        serve(Settings(latency_s=0, **settings)) as server,
        openai.AsyncOpenAI(
            base_url=server.base_url, api_key="KEY", project="team/project", max_retries=0
        ) as asynchronous,
    ):
        yield asynchronous


def ask(asynchronous, prompt="Label this.", **body):
    messages = [{"role": "user", "content": prompt}]
    return asynchronous.chat.completions.create(**({"model": MODEL, "messages": messages} | body))


def test_it_reads_a_plain_answer():
    """Text, finish_reason and usage are in their fields."""

    async def scenario():
        async with client() as asynchronous:
            answer = await ask(asynchronous, n=2)
            assert len(answer.choices) == 2
            assert answer.choices[0].message.content
            assert answer.choices[0].finish_reason == "stop"
            assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

    asyncio.run(scenario())


def test_the_blocking_client_reads_it_too():
    """The synchronous client gets the same answer in a thread."""

    async def scenario():
        async with client() as asynchronous:

            def blocking():
                with openai.OpenAI(base_url=asynchronous.base_url, api_key="KEY", max_retries=0) as synchronous:
                    return ask(synchronous).choices[0].message.content

            expected = (await ask(asynchronous)).choices[0].message.content
            assert await asyncio.to_thread(blocking) == expected

    asyncio.run(scenario())


def test_it_reads_a_stream_with_usage():
    """The pieces add up to the plain answer, and the last chunk has the usage."""

    async def scenario():
        async with client() as asynchronous:
            stream = await ask(asynchronous, stream=True, stream_options={"include_usage": True})
            chunks = [chunk async for chunk in stream]
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            plain = await ask(asynchronous)
            assert text == plain.choices[0].message.content
            assert chunks[-1].choices == []
            assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens

    asyncio.run(scenario())


def test_it_reads_reasoning_and_its_tokens():
    """The thoughts of a reasoning model are an extra field of the message."""

    async def scenario():
        async with client() as asynchronous:
            answer = await ask(asynchronous, model="openai/gpt-oss-20b")
            assert answer.choices[0].message.reasoning
            assert answer.usage.completion_tokens_details.reasoning_tokens > 0

    asyncio.run(scenario())


def test_it_reads_reasoning_details_whole_and_in_a_stream():
    """The pieces of a stream add up to the whole."""

    async def scenario():
        async with client(reasoning_field="reasoning_details") as asynchronous:
            answer = await ask(asynchronous, model="openai/gpt-oss-20b")
            [detail] = answer.choices[0].message.reasoning_details
            stream = await ask(asynchronous, model="openai/gpt-oss-20b", stream=True)
            deltas = [chunk.choices[0].delta async for chunk in stream]
            pieces = [each for delta in deltas for each in getattr(delta, "reasoning_details", None) or ()]
            assert len(pieces) > 1
            assert "".join(each["text"] for each in pieces) == detail["text"]

    asyncio.run(scenario())


def test_it_reads_tool_calls():
    """A required tool is called with valid JSON as arguments."""

    async def scenario():
        async with client() as asynchronous:
            tool = {"type": "function", "function": {"name": "label", "parameters": SCHEMA}}
            answer = await ask(asynchronous, tools=[tool], tool_choice="required")
            [call] = answer.choices[0].message.tool_calls
            assert call.function.name == "label"
            assert orjson.loads(call.function.arguments)["label"] in ("good", "bad")

    asyncio.run(scenario())


def test_it_reads_structured_output():
    """The answer fits the requested schema."""

    async def scenario():
        async with client() as asynchronous:
            response_format = {
                "type": "json_schema",
                "json_schema": {"name": "label", "schema": SCHEMA, "strict": True},
            }
            answer = await ask(asynchronous, response_format=response_format)
            assert orjson.loads(answer.choices[0].message.content).keys() == {"label", "sure"}

    asyncio.run(scenario())


def test_it_lists_the_models():
    """`models.list` has the served models."""

    async def scenario():
        async with client() as asynchronous:
            assert MODEL in [model.id for model in (await asynchronous.models.list()).data]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fault", "error", "status", "message"),
    [
        ("400", "BadRequestError", 400, "Invalid request"),
        ("401", "AuthenticationError", 401, "Authentication failed"),
        (
            "402",
            "APIStatusError",
            402,
            "You exceeded your current quota, please check your plan and billing details",
        ),
        ("403", "PermissionDeniedError", 403, "Country, region, or territory not supported"),
        ("404", "NotFoundError", 404, "model not found"),
        ("429", "RateLimitError", 429, "Concurrency limit reached for requests"),
        ("500", "InternalServerError", 500, "The server had an error while processing your request"),
        ("503", "InternalServerError", 503, "The engine is currently overloaded, please try again later"),
    ],
)
def test_it_raises_the_matching_error(fault, error, status, message):
    """Each status becomes the client's exception for it, with the exact message."""

    async def scenario():
        async with client() as asynchronous:
            with pytest.raises(getattr(openai, error)) as raised:
                await ask(asynchronous, f"[[simulate: {fault}]]")
            assert raised.value.status_code == status
            assert raised.value.body["message"] == message

    asyncio.run(scenario())


def test_it_raises_for_a_real_refusal_too():
    """A wrong key and an unknown model raise the same exceptions without a marker."""

    async def scenario():
        async with client(keys=("OTHER",)) as asynchronous:
            with pytest.raises(openai.AuthenticationError):
                await ask(asynchronous)
        async with client() as asynchronous:
            with pytest.raises(openai.NotFoundError, match="model not found"):
                await ask(asynchronous, model="no/such-model")

    asyncio.run(scenario())


def test_it_retries_temporary_errors():
    """With its default retries the client succeeds after two errors."""

    async def scenario():
        async with client() as asynchronous:
            patient = asynchronous.with_options(max_retries=2)
            answer = await ask(patient, "[[simulate: 503 x2 retry-after=ms:1]]")
            assert answer.choices[0].message.content

    asyncio.run(scenario())


def test_it_reads_completions_responses_and_embeddings():
    """Whole and streamed, where the kind has a stream."""

    async def scenario():
        async with client() as asynchronous:
            ended = await asynchronous.completions.create(model=MODEL, prompt="Once", logprobs=2, max_tokens=5)
            assert "".join(ended.choices[0].logprobs.tokens) == ended.choices[0].text
            pieces = await asynchronous.completions.create(model=MODEL, prompt="Once", max_tokens=5, stream=True)
            assert "".join([each.choices[0].text async for each in pieces]) == ended.choices[0].text
            answer = await asynchronous.responses.create(model=MODEL, input="Once", max_output_tokens=5)
            assert answer.status == "incomplete"
            events = await asynchronous.responses.create(model=MODEL, input="Once", max_output_tokens=5, stream=True)
            deltas = [each.delta async for each in events if each.type == "response.output_text.delta"]
            assert "".join(deltas) == answer.output_text
            for form in ("float", "base64"):
                found = await asynchronous.embeddings.create(model=MODEL, input=["a", "b"], encoding_format=form)
                assert [each.index for each in found.data] == [0, 1]
            assert found.usage.total_tokens == found.usage.prompt_tokens > 0

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("completions", {"prompt": ["a", "b"]}),
        ("completions", {}),
        ("responses", {"input": []}),
        ("embeddings", {"input": "a", "dimensions": 0}),
        ("embeddings", {"input": [""]}),
    ],
)
def test_bodies_of_no_use_are_bad_requests_for_each_kind(kind, body):
    async def scenario():
        async with client() as asynchronous:
            with pytest.raises(openai.BadRequestError):
                await asynchronous.post(f"/{kind}", body={"model": MODEL} | body, cast_to=object)

    asyncio.run(scenario())
