"""Against aimock, which cuts connections, breaks the JSON under a 200, and throttles."""

import json
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts
from real.servers import CANARY, serving

KEY = "sk-of-the-test"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
PROMPTS = [f"Say {number}." for number in range(300)]


class Aimock:
    """A server and its journal."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.base_url = f"{url}/v1"

    def journal(self) -> tuple[Counter[str], int]:
        """Return the number of each fault by its name, of each answer by its status, and of answered probes."""
        request = urllib.request.Request(f"{self._url}/__aimock/journal", headers={"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            entries = [entry for entry in json.load(answer) if entry["path"].endswith("/chat/completions")]
        done = [entry["response"].get("chaosAction") or str(entry["response"]["status"]) for entry in entries]
        asked = [(entry["body"] or {"messages": [{"content": None}]})["messages"][-1]["content"] for entry in entries]
        return Counter(done), list(zip(asked, done, strict=True)).count((CANARY, "200"))


@pytest.fixture
def aimock(installed: Any, tmp_path: Path) -> Callable[..., AbstractContextManager[Aimock]]:
    """Start aimock with some faults."""
    command = installed("aimock").command("llmock")  # its older name, with flags
    fixture = {"match": {}, "response": {"content": "Yes.", "usage": USAGE}}
    (tmp_path / "fixtures.json").write_text(json.dumps({"fixtures": [fixture]}))

    @contextmanager
    def aimock(*flags: str) -> Iterator[Aimock]:
        def line(port: int) -> list[str]:
            return [command, "-p", str(port), "-f", str(tmp_path / "fixtures.json"), "--journal-max", "0", *flags]

        with serving(line, folder=tmp_path, AIMOCK_API_KEYS=KEY) as url:
            yield Aimock(url)

    return aimock


def run(batchrun: Any, server: Aimock, *flags: str, key: str = KEY) -> Any:
    """Run 300 prompts."""
    prompts = write_prompts(*PROMPTS)
    to = ("-m", "mock", "--base-url", server.base_url, "-o", "out", "--json")
    return batchrun("run", prompts, *to, *flags, OPENAI_API_KEY=key)


@pytest.mark.parametrize("flags", [[], ["--stream"]], ids=["whole", "streamed"])
def test_no_row_fails_because_of_cut_connections_broken_json_and_throttling(
    aimock: Any, batchrun: Any, flags: list[str]
) -> None:
    """A third of the attempts fail; every row is answered once, and the usage is the one that the server states.

    With five attempts per row, a row would fail by chance in every second run or so.
    """
    rates = {"disconnect": 0.1, "malformed": 0.1, "ratelimit": 0.1, "drop": 0.05}
    with aimock(*(f"--chaos-{fault}={rate}" for fault, rate in rates.items())) as server:
        done = run(batchrun, server, "--max-attempts", "10", *flags)
        journal, canaries = server.journal()
    assert (done.code, done.json["completed"]) == (0, 300), done.stderr
    assert [(row["prompt"], row["response"]) for row in results()] == [(each, "Yes.") for each in PROMPTS]
    (usage,) = done.json["models"]
    assert journal["200"] - canaries == 300
    assert min(journal[fault] for fault in ("disconnect", "malformed", "rateLimit", "drop")) > 3, journal
    assert (usage["attempts"], usage["throttled"]) == (journal.total(), journal["rateLimit"])
    assert {name: usage[name] for name in USAGE} == {name: journal["200"] * tokens for name, tokens in USAGE.items()}


def test_a_wrong_key_stops_the_run_before_it_costs_anything(aimock: Any, batchrun: Any) -> None:
    """Exit code 4; no row is settled, and the same command with the right key answers them."""
    with aimock() as server:
        done = run(batchrun, server, key="sk-wrong")
        assert (done.code, done.json["completed"], done.json["failed"]) == (4, 0, 0), done.stderr
        assert "check the key" in done.stderr
        assert server.journal()[0]["200"] == 0
        assert run(batchrun, server).json["completed"] == 300
