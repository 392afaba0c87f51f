"""Against llmock, which breaks its answers and then judges the client's reaction."""

import json
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from harness.prompts import results, write_prompts
from real.servers import CANARY, serving

TO = ("-m", "mock", "-o", "out", "--json", "--base-url")

Llmock = Callable[..., AbstractContextManager["Judge"]]


class Judge:
    """What llmock reports about its client."""

    def __init__(self, command: str, url: str) -> None:
        self._command, self._url = command, url
        self.base_url = f"{url}/v1"

    def report(self, *flags: str) -> tuple[int, str]:
        """Return the exit code and the text of `llmock report`."""
        done = subprocess.run(
            [self._command, "report", "--url", self._url, *flags], capture_output=True, text=True, timeout=60
        )
        return done.returncode, done.stdout + done.stderr

    def findings_about_rows(self) -> list[dict[str, Any]]:
        """Return what it objects to, warnings included, except a canary that was sent once."""
        canaries = {each["seq"] for each in self.attempts() if each["body"]["messages"][-1]["content"] == CANARY}
        findings = json.loads(self.report("--json")[1])["findings"]
        return [each for each in findings if each["code"] != "gave_up" or not canaries.issuperset(each["requests"])]

    def attempts(self) -> list[dict[str, Any]]:
        """Return every attempt that it saw."""
        with urllib.request.urlopen(f"{self._url}/_llmock/requests", timeout=30) as answer:
            return list(json.load(answer)["requests"])


@pytest.fixture
def llmock(installed: Any, tmp_path: Any) -> Llmock:
    """Start llmock with some flags and an empty journal."""
    command = installed("llmock").command("llmock")

    @contextmanager
    def llmock(*flags: str) -> Iterator[Judge]:
        def line(port: int) -> list[str]:
            return [command, "serve", "--host", "127.0.0.1", "--port", str(port), "--response-style", "echo", *flags]

        with serving(line, up="/openapi.json", folder=tmp_path) as url:
            yield Judge(command, url)

    return llmock


def echo(prompt: str) -> str:
    """Return the answer of llmock to a prompt."""
    return f"Hello! You said: {prompt}"


def audit(done: Any, attempts: list[dict[str, Any]], prompts: list[str]) -> Counter[int]:
    """Check that no row is lost or bought twice and that the usage is the server's; return its statuses."""
    assert (done.code, done.json["completed"], done.json["failed"]) == (0, len(prompts), 0), done.stderr
    assert [(row["prompt"], row["response"]) for row in results()] == [(each, echo(each)) for each in prompts]
    by_status = Counter(attempt["status"] for attempt in attempts)
    answered = Counter(attempt["body"]["messages"][-1]["content"] for attempt in attempts if attempt["status"] == 200)
    assert answered - Counter({CANARY: answered[CANARY]}) == Counter(prompts)
    (usage,) = done.json["models"]
    assert (usage["attempts"], usage["throttled"]) == (len(attempts), by_status[429])
    return by_status


def test_the_strictest_rules_of_llmock_accept_the_retries(llmock: Llmock, batchrun: Any) -> None:
    """Three of ten answers are errors with a Retry-After: each is honoured, and no row fails.

    A canary is not sent again for its own sake. When only one row is left and fails twice, a canary asks; if it fails
    and the row is then answered, llmock warns that the canary was given up.
    """
    prompts = [f"Say {number}." for number in range(400)]
    with llmock("--latency-ms", "10", "--error-rate=429=0.1", "--error-rate=503=0.1", "--error-rate=529=0.1") as judge:
        done = batchrun("run", write_prompts(*prompts), *TO, judge.base_url)
        code, report = judge.report()
        by_status = audit(done, judge.attempts(), prompts)
        findings = judge.findings_about_rows()
    assert min(by_status[status] for status in (429, 503, 529)) > 5, by_status
    assert (code, findings) == (0, []), report


def test_errors_without_retry_after_get_a_backoff(llmock: Llmock, batchrun: Any) -> None:
    """The only possible warning is a wait shorter than the one before, because jitter covers the whole range.

    "Exponential Backoff And Jitter" explains why.
    """
    prompts = [f"Say {number}." for number in range(300)]
    with llmock("--latency-ms", "10", "--error-rate=500=0.1", "--error-rate=502=0.1") as judge:
        done = batchrun("run", write_prompts(*prompts), *TO, judge.base_url)
        code, report = judge.report()
        by_status = audit(done, judge.attempts(), prompts)
        verdict = json.loads(judge.report("--json")[1])
    assert min(by_status[status] for status in (500, 502)) > 5, by_status
    assert (code, "no delay" in report) == (0, False), report
    assert {finding["code"] for finding in verdict["findings"]} <= {"no_backoff"}, report


def test_a_rate_is_kept_once_it_is_known(llmock: Llmock, batchrun: Any) -> None:
    """600 requests per minute: after the first 600 the requests are sent at that rate."""
    prompts = [f"Say {number}." for number in range(650)]
    with llmock("--rpm", "600", "--latency-ms", "50") as judge:
        done = batchrun("run", write_prompts(*prompts), *TO, judge.base_url)
        code, report = judge.report("--strict")
        by_status = audit(done, judge.attempts(), prompts)
    assert by_status[429] > 0, by_status
    assert (code, "PASS" in report) == (0, True), report


def test_only_a_prompt_that_is_too_long_fails_and_without_a_retry(llmock: Llmock, batchrun: Any) -> None:
    """It has the server's message; llmock would report a retry."""
    with llmock("--context-window", "200") as judge:
        done = batchrun("run", write_prompts("short", "word " * 400, "short too"), *TO, judge.base_url)
        code, report = judge.report("--strict")
        attempts = judge.attempts()
    assert (done.code, len(attempts)) == (1, 4)  # three rows, and the canary that confirms the failure
    assert [row["error_kind"] for row in results()] == [None, "context_length", None]
    assert "context" in results()[1]["error"]
    assert (code, "PASS" in report) == (0, True), report


def test_broken_streams_are_requested_again(llmock: Llmock, batchrun: Any) -> None:
    """Cut, ended early without a reason, or broken in the middle: half an answer is never accepted."""
    prompts = [f"Say {number}." for number in range(200)]
    faults = ("disconnect=0.05", "truncate=0.05", "malformed=0.05")
    with llmock(*(f"--stream-fault={fault}" for fault in faults)) as judge:
        done = batchrun("run", write_prompts(*prompts), "--stream", *TO, judge.base_url)
        code, report = judge.report()
        attempts = judge.attempts()
    assert (done.code, done.json["completed"]) == (0, 200), done.stderr
    assert [row["response"] for row in results()] == [echo(each) for each in prompts]
    assert all(row["finish_reason"] == "stop" for row in results())
    of_rows = [each for each in attempts if each["body"]["messages"][-1]["content"] != CANARY]
    broken = sum(attempt["fault"] is not None for attempt in of_rows)
    assert (len(of_rows), broken > 5) == (200 + broken, True)
    assert code == 0, report
