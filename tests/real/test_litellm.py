"""Through a LiteLLM proxy: its limits, its error messages, and those of its upstream."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts, write_rows
from real.recorder import USAGE, Recorder, recording
from real.servers import free_port, serving

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
HERE = Path(__file__).parent


def started(installed: Any, folder: Path, **variables: str) -> Any:
    """Start a proxy with the configuration in a folder."""
    command = installed("litellm").command("litellm")

    def line(port: int) -> list[str]:
        return [command, "--config", "proxy.yaml", "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]

    # Without the first two it would fetch a list of prices at its start, and a tokenizer at the first error. Without
    # access to the internet, each of these blocks it for a minute.
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(folder)}
    return serving(line, up="/health/liveliness", folder=folder, **quiet, **variables)


@dataclass(frozen=True)
class Proxy:
    """A proxy, the address of its upstream, and the recorder behind the model `recorded`."""

    base_url: str
    upstream_port: int
    recorder: Recorder


@pytest.fixture(scope="module")
def proxy(installed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """One proxy for all tests, because it starts slowly."""
    folder, port = tmp_path_factory.mktemp("proxy"), free_port()
    for name in ("proxy.yaml", "keys.py"):
        shutil.copy(HERE / "litellm" / name, folder)
    with recording() as recorder:
        variables = {
            "UPSTREAM": f"http://127.0.0.1:{port}/v1",
            "RECORDER": recorder.base_url,
            "AWAY": f"http://127.0.0.1:{free_port()}/v1",
        }
        with started(installed, folder, **variables) as url:
            yield Proxy(f"{url}/v1", port, recorder)


@pytest.fixture
def run(batchrun: Any, proxy: Proxy) -> Any:
    """Run prompts through the proxy."""

    def run(prompts: list[str], *flags: str, model: str = MODEL, key: str = "sk-unlimited", **settings: Any) -> Any:
        to = ("-m", model, "--base-url", proxy.base_url, "--api-key-env", "LITELLM_KEY", "-o", "out", "--json")
        return batchrun("run", write_prompts(*prompts), *to, *flags, LITELLM_KEY=key, **settings)

    return run


def numbered(*, count: int) -> list[str]:
    """Return different prompts."""
    return [f"Say {number}." for number in range(count)]


def all_answered(done: Any, prompts: list[str]) -> dict[str, Any]:
    """Check that no row is lost; return the usage."""
    assert (done.code, done.json["completed"], done.json["failed"]) == (0, len(prompts), 0), done.stderr
    assert [row["prompt"] for row in results()] == prompts
    assert all(row["response"] for row in results())
    (usage,) = done.json["models"]
    return dict(usage)


@pytest.mark.parametrize("model", [MODEL, f"wandb/{MODEL}"])
@pytest.mark.parametrize("flags", [[], ["--stream"]], ids=["whole", "streamed"])
def test_no_row_fails_because_the_upstream_throttles_and_fails(
    run: Any, proxy: Proxy, upstream: Any, model: str, flags: list[str]
) -> None:
    """Its limit is found through the proxy, under both model names; the usage is what the upstream billed."""
    faults = ("--error", "500=0.03", "--error", "503=0.03", "--error", "502=0.02")
    prompts = numbered(count=150)
    with upstream("--concurrency-limit", "10", "--latency-s", "0.1", *faults, port=proxy.upstream_port) as server:
        usage = all_answered(run(prompts, "-c", "20", *flags, model=model), prompts)
        assert server.has_billed(usage)
        stats = server.stats()
    assert stats["answered"] == 150
    assert usage["throttled"] == stats["by_status"].get("429", 0)
    assert usage["throttled"] < 40


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("401", 4, "check the key"),
        ("402", 5, "add credits"),
        ("403", 4, "served in your region"),
        ("404", 4, "batchrun models"),
        ("429_quota", 5, "add credits"),
        ("429_personal", 4, "use another account"),
    ],
)
def test_a_refusal_of_the_upstream_stops_the_run(
    run: Any, proxy: Proxy, upstream: Any, fault: str, code: int, words: str
) -> None:
    """The message is the proxy's or the upstream's; no row fails."""
    with upstream("--error", f"{fault}=1", port=proxy.upstream_port) as server:
        done = run(numbered(count=20))
        assert (done.code, done.json["failed"], done.json["completed"]) == (code, 0, 0), done.stderr
        assert words in done.stderr
        assert server.stats()["answered"] == 0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("400", "bad_request"), ("422", "bad_request"), ("context_length", "context_length"),
     ("content_filter", "content_filter"), ("413", "too_large")],
)  # fmt: skip
def test_an_error_of_one_row_fails_that_row(run: Any, proxy: Proxy, upstream: Any, fault: str, kind: str) -> None:
    """Immediately, with the upstream's message."""
    with upstream("--latency-s", "0", port=proxy.upstream_port) as server:
        done = run(["one", f"two [[simulate: {fault}]]", "three"])
        assert server.stats()["received"] == 4  # three rows, and the canary that confirms the failure
    assert (done.code, done.json["completed"]) == (1, 2), done.stderr
    assert [row["error_kind"] for row in results()] == [None, kind, None]


def test_retry_after_of_the_upstream_is_honoured(run: Any, proxy: Proxy, upstream: Any) -> None:
    """The proxy sends `Retry-After` as `llm_provider-retry-after`."""
    prompts = ["one [[simulate: 503 retry-after=3 x1]]", "two"]
    with upstream("--latency-s", "0", port=proxy.upstream_port):
        all_answered(run(prompts), prompts)
    late, soon = results()
    assert (late["attempts"], soon["attempts"]) == (2, 1)
    assert 2.9 < (late["finished_at"] - soon["finished_at"]).total_seconds() < 20


def test_a_key_with_four_slots_does_not_wait_a_minute(run: Any) -> None:
    """The proxy sends `Retry-After: 60` although a slot is free half a second later."""
    prompts = numbered(count=60)
    usage = all_answered(run(prompts, model="half-a-second", key="sk-four-slots", timeout_s=55), prompts)
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (60 * 10, 60 * 20)
    assert 0 < usage["throttled"] < 40


def test_a_model_with_two_slots_is_answered(run: Any) -> None:
    """The proxy sends its own 429, without Retry-After."""
    prompts = numbered(count=60)
    usage = all_answered(run(prompts, model="two-slots"), prompts)
    assert 0 < usage["throttled"] < 40


def test_a_full_worker_is_waited_for(run: Any) -> None:
    """It accepts 24 requests, queues 4, and answers more with a 503: that is a limit like any other."""
    prompts = numbered(count=300)
    usage = all_answered(run(prompts, model="half-a-second"), prompts)
    assert 0 < usage["throttled"] < 200


def test_a_key_with_forty_requests_a_minute_waits_for_the_next_minute(run: Any) -> None:
    """No row is lost, and almost no request is rejected."""
    prompts = numbered(count=50)
    usage = all_answered(
        run(prompts, "-c", "4", model="half-a-second", key="sk-forty-a-minute", timeout_s=180), prompts
    )
    assert 0 < usage["throttled"] <= 12


def test_an_unknown_key_and_a_model_that_is_not_served_stop_the_run(run: Any) -> None:
    """401 and 400: the message says what to do, and no row fails."""
    for settings, words in (({"key": "sk-wrong"}, "check the key"), ({"model": "nope"}, "batchrun models")):
        done = run(numbered(count=20), **settings)
        assert (done.code, done.json["failed"], words in done.stderr) == (4, 0, True), done.stderr


PARAMETERS: dict[str, Any] = {
    "frequency_penalty": 0.5,
    "function_call": "auto",
    "functions": [{"name": "weather", "parameters": {"type": "object", "properties": {}}}],
    "logit_bias": {"50256": -100},
    "max_tokens": 17,
    "presence_penalty": -0.5,
    "response_format": {"type": "json_object"},
    "seed": 123,
    "stop": ["END", "STOP"],
    "temperature": 0.6,
    "top_p": 0.01,
}
"""LiteLLM's table for this provider, without `n` and `stream`, which the run sets."""

PASSED_THROUGH: dict[str, Any] = {
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "chat_template_kwargs": {"enable_thinking": False},
    "cache_salt": "salt",
}
"""More parameters that the service accepts."""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("parameters", [PARAMETERS, PASSED_THROUGH], ids=["table", "others"])
def test_every_parameter_reaches_the_endpoint_unchanged(
    proxy: Proxy, batchrun: Any, parameters: dict[str, Any], stream: bool
) -> None:
    """Set in a job for all rows; two samples are two requests instead of `n`."""
    job = {"model": {"name": "recorded", "num_samples": 2, "stream": stream} | parameters}
    row = {"prompt": "Say it.", "params": parameters}
    recorder, asked = proxy.recorder, len(proxy.recorder.bodies)
    to = ("--base-url", proxy.base_url, "--api-key-env", "LITELLM_KEY", "--json", "-o")
    for number, (settings, rows) in enumerate(
        [(job, {"prompt": "Say it."}), ({"model": {"name": "recorded", "stream": stream, "num_samples": 2}}, row)]
    ):
        write_rows("in.jsonl", rows)
        Path("job.toml").write_text('[input]\npath = "in.jsonl"\n' + toml(settings))
        done = batchrun("run", "job.toml", *to, f"out{number}", LITELLM_KEY="sk-unlimited")
        assert (done.code, done.json["completed"]) == (0, 2), done.stderr
        (usage,) = done.json["models"]
        assert {name: usage[name] for name in USAGE} == {name: 2 * tokens for name, tokens in USAGE.items()}
    received = recorder.bodies[asked:]
    seeds = sorted(body.pop("seed") for body in received) if "seed" in parameters else []
    assert seeds == ([123, 123, 124, 124] if "seed" in parameters else [])
    expected = {name: value for name, value in parameters.items() if name != "seed"}
    expected |= {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    messages = [{"role": "user", "content": "Say it."}]
    assert received == [{"model": MODEL, "messages": messages} | expected] * 4
    assert {headers["authorization"] for headers in recorder.headers} == {"Bearer sk-upstream"}


def toml(job: dict[str, Any]) -> str:
    """Return the sections of a job file."""
    return "".join(
        f"[{section}]\n" + "".join(f"{name} = {inline(value)}\n" for name, value in settings.items())
        for section, settings in job.items()
    )


def inline(value: Any) -> str:
    """Return a value as one line of TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {inline(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


def test_an_outage_of_the_upstream_is_waited_out(run: Any) -> None:
    """The proxy answers 500. That counts as an outage too, and no row fails."""
    done = run(numbered(count=20), "--patience", "3s", model="away")
    assert (done.code, done.json["failed"], done.json["completed"]) == (5, 0, 0), done.stderr
    assert "no request was answered for" in done.stderr


def test_without_a_database_a_wrong_key_is_400_and_a_missing_one_500(
    installed: Any, batchrun: Any, tmp_path: Path
) -> None:
    """No row fails in either case. The 500 cannot be distinguished from an outage."""
    shutil.copy(HERE / "litellm" / "bare.yaml", tmp_path / "proxy.yaml")
    with started(installed, tmp_path) as url:
        to = ("run", write_prompts("one", "two"), "-m", "mocked", "--base-url", f"{url}/v1", "-o", "out", "--json")
        wrong = batchrun(*to, OPENAI_API_KEY="sk-wrong")
        assert (wrong.code, wrong.json["failed"], "check the key" in wrong.stderr) == (4, 0, True), wrong.stderr
        missing = batchrun(*to, "--patience", "2s")
        assert (missing.code, missing.json["failed"]) == (5, 0), missing.stderr
        assert batchrun(*to, OPENAI_API_KEY="sk-master").json["completed"] == 2
        assert "mocked" in batchrun("models", "--base-url", f"{url}/v1", OPENAI_API_KEY="sk-master").stdout


@pytest.fixture(scope="module")
def passing(installed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that passes files and batches on."""
    folder, port = tmp_path_factory.mktemp("passing"), free_port()
    shutil.copy(HERE / "litellm" / "batches.yaml", folder / "proxy.yaml")
    open_to_all = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
    with recording() as recorder:
        upstream = f"http://127.0.0.1:{port}/v1"
        with started(installed, folder, UPSTREAM=upstream, **open_to_all) as url:
            yield Proxy(f"{url}/v1", port, recorder)


def by_batch(batchrun: Any, proxy: Proxy, prompts: list[str], *flags: str) -> Any:
    """Run prompts in batches through the proxy."""
    to = ("-m", MODEL, "--base-url", proxy.base_url, "-o", "out", "--json", "--via", "batch")
    return batchrun("run", write_prompts(*prompts), *to, *flags)


def test_batches_pass_through_it(batchrun: Any, passing: Proxy, upstream: Any) -> None:
    """Files and batches go to the upstream; refused lines have failed, others go into the next batch."""
    prompts = [*numbered(count=40), "Now this. [[simulate: 500 x1]]", "Not this. [[simulate: 400]]"]
    flags = ("--latency-s", "0", "--batch-lines-per-s", "100")
    with upstream(*flags, port=passing.upstream_port) as server:
        done = by_batch(batchrun, passing, prompts, "--batch-requests", "25")
        assert (done.code, done.json["completed"], done.json["failed"]) == (1, 41, 1), done.stderr
        books = server.stats()["batches"]
        assert (books["created"], books["answered"]) == (3, 41)
    assert [row["prompt"] for row in results()] == prompts
    assert {row["endpoint"].endswith(" (batch)") for row in results()} == {True}


def test_a_batch_whose_creation_got_no_reply_is_found_through_it(batchrun: Any, passing: Proxy, upstream: Any) -> None:
    """The upstream answers the creation so late that the client has given up: the list has the batch."""
    flags = ("--latency-s", "0", "--batch-lines-per-s", "100", "--batch-reply-s", "8")
    with upstream(*flags, port=passing.upstream_port) as server:
        prompts = numbered(count=20)
        all_answered(by_batch(batchrun, passing, prompts, "--timeout-s", "5"), prompts)
        assert server.stats()["batches"]["created"] == 1
