"""A line gets the answer that the same request gets alone."""

import asyncio

import pytest


def test_a_line_is_answered_as_the_same_request_alone(batches, line):
    async def scenario():
        async with batches() as api:
            alone = await api.client.chat.completions.create(
                model="meta-llama/Llama-3.1-8B-Instruct", messages=[{"role": "user", "content": "Label this."}]
            )
            batch = await api.ended(await api.create(line("a")))
            [answered] = await api.lines(batch.output_file_id)
            body = answered["response"]["body"]
            assert body["choices"][0]["message"]["content"] == alone.choices[0].message.content
            assert body["usage"]["total_tokens"] == alone.usage.total_tokens

    asyncio.run(scenario())


@pytest.mark.parametrize(("fault", "status"), [("429", 429), ("500", 500), ("cut", 500), ("silence", 500)])
def test_faults_become_errors_of_their_line(batches, line, fault, status):
    async def scenario():
        async with batches() as api:
            batch = await api.ended(await api.create(line("a", f"[[simulate: {fault}]]")))
            [refused] = await api.lines(batch.error_file_id)
            assert refused["response"]["status_code"] == status

    asyncio.run(scenario())
