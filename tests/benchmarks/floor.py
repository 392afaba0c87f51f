"""Two programs to compare batchrun with: a bare loop and the openai client. Prints CPU seconds as JSON.

Only the sending is measured, not the start. `python -m benchmarks.floor bare BASE_URL ROWS IN_FLIGHT`
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop
from benchmarks.answers import ANSWER, MODEL
from benchmarks.inputs import prompt

Send = Callable[[int], Awaitable[None]]


async def _spread(send: Send, rows: int, in_flight: int) -> float:
    """Send rows with a fixed number in flight; return the CPU seconds used."""
    numbers = iter(range(rows))

    async def work() -> None:
        for number in numbers:
            await send(number)

    began_s = time.process_time()
    await asyncio.gather(*[work() for _ in range(in_flight)])
    return time.process_time() - began_s


async def bare(base_url: str, rows: int, in_flight: int) -> float:
    """Send the same body each time and read the answer."""
    import aiohttp

    url = f"{base_url}/chat/completions"
    body = json.dumps({"messages": [{"role": "user", "content": prompt(0)}], "model": MODEL}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer benchmark"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def send(number: int) -> None:
            async with session.post(url, data=body) as response:
                answer = await response.read()
            assert len(answer) == len(ANSWER)

        return await _spread(send, rows, in_flight)


async def openai(base_url: str, rows: int, in_flight: int) -> float:
    """Send with the openai client and read the text of the answer."""
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=base_url, api_key="benchmark", max_retries=0) as client:

        async def send(number: int) -> None:
            messages = [{"role": "user", "content": prompt(number)}]
            completion = await client.chat.completions.create(model=MODEL, messages=messages)  # type: ignore[arg-type]
            assert completion.choices[0].message.content

        return await _spread(send, rows, in_flight)


def main() -> None:
    """Run one of the two."""
    name, base_url, rows, in_flight = sys.argv[1:]
    client = {"bare": bare, "openai": openai}[name]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        cpu_s = runner.run(client(base_url, int(rows), int(in_flight)))
    print(json.dumps({"cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
