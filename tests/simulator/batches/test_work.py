"""How batches end."""

import asyncio


def test_an_expired_batch_keeps_what_it_answered_and_names_the_rest(batches, line):
    async def scenario():
        async with batches(batch_lines_per_s=100, batch_window_s=0.3) as api:
            batch = await api.ended(await api.create(*(line(str(number)) for number in range(100))))
            assert batch.status == "expired"
            answered, rest = await api.lines(batch.output_file_id), await api.lines(batch.error_file_id)
            assert answered
            assert rest
            assert len({each["custom_id"] for each in (*answered, *rest)}) == 100
            assert {(each["response"], each["error"]["code"]) for each in rest} == {(None, "batch_expired")}
            assert batch.request_counts.completed == len(answered) == api.server.stats.answered

    asyncio.run(scenario())


def test_a_cancelled_batch_keeps_what_it_answered(batches, line):
    async def scenario():
        async with batches(batch_lines_per_s=100) as api:
            batch = await api.create(*(line(str(number)) for number in range(100)))
            await asyncio.sleep(0.2)
            assert (await api.client.batches.cancel(batch.id)).status == "cancelling"
            batch = await api.ended(batch)
            assert batch.status == "cancelled"
            assert 0 < len(await api.lines(batch.output_file_id)) == batch.request_counts.completed < 100

    asyncio.run(scenario())


def test_a_batch_over_the_limit_of_enqueued_tokens_fails(batches, line):
    async def scenario():
        async with batches(batch_tokens=60, batch_lines_per_s=1) as api:
            first = await api.create(line("a", "x" * 100))
            await asyncio.sleep(0.1)
            second = await api.ended(await api.create(line("a", "x" * 100)))
            assert (second.status, second.errors.data[0].code) == ("failed", "token_limit_exceeded")
            await api.ended(first)
            assert (await api.ended(await api.create(line("a", "x" * 100)))).status == "completed"

    asyncio.run(scenario())


def test_a_batch_whose_file_was_deleted_fails(batches, line):
    async def scenario():
        async with batches(batch_validation_s=1.0) as api:
            batch = await api.create(line("a"))
            await api.client.files.delete(batch.input_file_id)
            batch = await api.ended(batch)
            assert (batch.status, batch.errors.data[0].code) == ("failed", "invalid_input_file")

    asyncio.run(scenario())
