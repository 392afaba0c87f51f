"""Files and batches as OpenAI's own client sees them."""

import asyncio

import pytest
from harness.later import Later

openai = Later("openai")


def test_a_batch_is_validated_answered_and_its_output_has_every_line_in_another_order(batches, line):
    async def scenario():
        async with batches() as api:
            labels = [f"row-{number}" for number in range(20)]
            batch = await api.create(*(line(label, f"Prompt {label}") for label in labels), metadata={"run": "x"})
            assert (batch.status, batch.metadata) == ("validating", {"run": "x"})
            batch = await api.ended(batch)
            assert batch.status == "completed"
            assert (batch.request_counts.completed, batch.request_counts.failed, batch.request_counts.total) == (
                20,
                0,
                20,
            )
            output = await api.lines(batch.output_file_id)
            assert batch.error_file_id is None
            assert sorted(each["custom_id"] for each in output) == sorted(labels)
            assert [each["custom_id"] for each in output] != labels
            assert {each["response"]["status_code"] for each in output} == {200}
            assert all(each["response"]["body"]["choices"] and each["error"] is None for each in output)
            tokens = sum(each["response"]["body"]["usage"]["completion_tokens"] for each in output)
            assert batch.usage.output_tokens == tokens == api.server.stats.completion_tokens

    asyncio.run(scenario())


def test_refused_lines_stand_in_the_error_file_with_their_status_and_no_error(batches, line):
    async def scenario():
        async with batches() as api:
            batch = await api.ended(await api.create(line("good"), line("bad", "[[simulate: 400]]")))
            assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)
            [bad] = await api.lines(batch.error_file_id)
            assert (bad["custom_id"], bad["response"]["status_code"], bad["error"]) == ("bad", 400, None)
            assert bad["response"]["body"]["error"]["message"] == "Invalid request"

    asyncio.run(scenario())


def test_lists_are_paged_newest_first(batches, line):
    async def scenario():
        async with batches() as api:
            ids = [(await api.create(line("a"), metadata={"n": str(number)})).id for number in range(5)]
            page = await api.client.batches.list(limit=2)
            assert [each.id for each in page.data] == ids[:2:-1]
            assert page.has_more
            assert [each.id async for each in api.client.batches.list(limit=2)] == ids[::-1]
            assert len([each async for each in api.client.files.list(purpose="batch")]) == 5

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"input_file_id": "file-none"}, 404),
        ({"endpoint": "/v1/none"}, 400),
        ({"completion_window": "1h"}, 400),
        ({"metadata": {"k": 5}}, 400),
    ],
)
def test_a_batch_that_cannot_be_created_is_refused(batches, line, asked, status):
    async def scenario():
        async with batches() as api:
            sound = {
                "input_file_id": await api.upload(line("a")),
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
            }
            with pytest.raises(openai.APIStatusError) as refused:
                await api.client.batches.create(**sound | asked)
            assert refused.value.status_code == status

    asyncio.run(scenario())


def test_deleted_files_are_gone_and_a_key_is_needed(batches, line):
    async def scenario():
        async with batches(keys=("KEY",)) as api:
            file_id = await api.upload(line("a"))
            assert (await api.client.files.retrieve(file_id)).bytes == len(line("a"))
            assert (await api.client.files.delete(file_id)).deleted
            with pytest.raises(openai.NotFoundError):
                await api.client.files.content(file_id)
            with pytest.raises(openai.AuthenticationError):
                await api.client.with_options(api_key="other").batches.list()

    asyncio.run(scenario())


def test_files_over_the_limit_are_refused(batches, line):
    async def scenario():
        async with batches(batch_bytes=100) as api:
            with pytest.raises(openai.APIStatusError) as refused:
                await api.upload(line("a"), line("b"))
            assert refused.value.status_code == 413

    asyncio.run(scenario())
