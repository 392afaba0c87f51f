"""`batchrun check`, and the preview that every run shows at its start."""

import json
import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_prompts, write_rows
from harness.serving import answering
from harness.stopped_calendar import stop_calendar

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
OTHER = "meta-llama/Llama-3.3-70B-Instruct"
GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "test.jsonl"


def job(endpoint: Any, usd_per_mtok: float = 1.0, *, user: str = "", more: str = "", path: str = "in.jsonl") -> str:
    """Write a job with a price; return its path."""
    prompt = f"[prompt]\nuser = '''{user}'''\n" if user else ""
    Path("job.toml").write_text(
        f'[input]\npath = "{path}"\n{prompt}[model]\nname = "{MODEL}"\n{more}'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\n[output]\ndir = "out"\n'
        f'[prices."{MODEL}"]\ninput_usd_per_mtok = {usd_per_mtok}\noutput_usd_per_mtok = {usd_per_mtok}\n'
    )
    return "job.toml"


@pytest.fixture
def check(batchrun: Any, endpoint: Any) -> Any:
    """Check a job for the endpoint that `run` would use."""

    def check(*arguments: Any, stdin: bytes = b"") -> Any:
        return batchrun("check", *arguments, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", stdin=stdin)

    return check


def test_the_whole_input_is_read_and_nothing_is_sent_or_written(check: Any, endpoint: Any) -> None:
    """Rows, rendered prompts and tokens are shown."""
    write_rows("in.jsonl", *({"id": f"r{number}", "text": f"number {number}"} for number in range(1_000)))
    done = check("in.jsonl", "-t", "Say {{ text }}.", "-s", "Be brief.", "--max-tokens", 5)
    assert done.code == 0, done.stderr
    assert "in.jsonl: 1,000 rows" in done.stdout
    for words in ("Be brief.", "Say number 0.", "Say number 2.", "1,000 to send"):
        assert words in done.stdout
    assert "Say number 3." not in done.stdout
    assert done.stderr == ""
    assert endpoint.stats.received == 0
    assert not Path("out").exists()


def test_scripts_get_the_findings(check: Any) -> None:
    """They are one line of JSON."""
    write_rows("in.jsonl", {"id": "a", "prompt": "one"}, {"id": "a", "prompt": "two"}, {"prompt": 3})
    found = check("in.jsonl", "--json").json
    assert (found["exit_code"], found["rows"], found["bad_rows"], found["requests"]) == (0, 3, 1, 2)
    assert found["repeated"] == {"ids": 1, "rows": 2, "example": [0, 1]}
    assert found["causes"][0]["example"] == "in.jsonl:3: prompt is a number; must be a string"
    assert found["prompts"][1]["messages"] == [{"role": "user", "content": "two"}]
    assert found["longest"][0]["row"] in (0, 1)
    low, likely, high = (found["ahead"]["prompt_tokens"][end] for end in ("low", "likely", "high"))
    assert 0 < low < likely < high
    assert found["ahead"]["seconds"] is None


def test_broken_rows_are_grouped_by_cause_with_an_example(check: Any) -> None:
    """With --strict they are an error."""
    Path("in.jsonl").write_text('{"prompt": "a"}\n' + "not json\n" * 3 + '{"prompt": null}\n')
    done = check("in.jsonl")
    assert done.code == 0
    assert "4 broken rows" in done.stdout
    assert "  3 × in.jsonl:2: " in done.stdout
    assert "  1 × in.jsonl:5: " in done.stdout
    done = check("in.jsonl", "--strict")
    assert done.code == 2
    assert "4 broken rows" in done.stderr


def test_repeated_ids_are_reported(check: Any) -> None:
    """They are not an error, because rows are identified by their numbers."""
    write_rows("in.jsonl", *({"id": str(number % 7), "prompt": "a"} for number in range(10)))
    done = check("in.jsonl")
    assert done.code == 0
    assert "3 ids more than once, for example in rows 0 and 7" in done.stdout


def test_an_empty_pipe_is_named(check: Any) -> None:
    assert "standard input: holds no rows" in check("-", stdin=b"").stderr


def test_a_pipe_can_be_checked_too(check: Any) -> None:
    """It is read once, and called what it is."""
    assert "standard input: 2 rows" in check("-", stdin=b'{"prompt": "a"}\n{"prompt": "b"}\n').stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("absent.jsonl",), "absent.jsonl"), (("in.jsonl", "-t", "{{ title }}"), "title"), (("empty.jsonl",), "no rows")],
)
def test_an_invalid_job_exits_2(check: Any, arguments: tuple[str, ...], words: str) -> None:
    """With --json, the message is in the JSON too."""
    write_prompts("a")
    Path("empty.jsonl").write_text("")
    done = check(*arguments, "--json")
    assert (done.code, done.json["exit_code"]) == (2, 2)
    assert words in done.stderr
    assert words in done.json["message"]


def test_retired_models_and_prompts_that_are_too_long_are_reported(
    batchrun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So are a model that is not in the catalogue, and a missing key."""
    stop_calendar(monkeypatch, date(2026, 11, 28))
    write_prompts("a", "word " * 150_000)
    models = ("ibm-granite/granite-4.1-8b", MODEL, "meta-llama/Lama")
    done = batchrun("check", "in.jsonl", *(word for model in models for word in ("-m", model)))
    assert done.code == 0
    assert "ibm-granite/granite-4.1-8b: was retired on 2026-10-05" in done.stdout
    assert f"{MODEL}: about 1 prompt with the longest answer would not fit into" in done.stdout
    assert "meta-llama/Lama: is not in the built-in catalogue" in done.stdout
    assert "export WANDB_API_KEY=" in done.stdout


def test_a_probe_sends_one_real_request_to_each_model(check: Any, endpoint: Any) -> None:
    """The answers are shown, and the estimate uses them."""
    write_prompts(*(f"number {number}" for number in range(50)))
    before = check("in.jsonl", "-m", OTHER, "--json").json
    found = check("in.jsonl", "-m", OTHER, "--probe", "--json").json
    assert endpoint.stats.received == 2
    assert [probed["model"] for probed in found["probes"]] == [OTHER, MODEL]
    assert all(probed["kind"] is None and probed["response"] for probed in found["probes"])
    assert sum(probed["prompt_tokens"] for probed in found["probes"]) == endpoint.stats.prompt_tokens
    assert found["ahead"]["completion_tokens"]["high"] < before["ahead"]["completion_tokens"]["high"]
    assert found["ahead"]["prompt_tokens"]["likely"] == pytest.approx(endpoint.stats.prompt_tokens * 50, rel=0.1)
    assert found["counted_by"] == "answers"
    assert not Path("out").exists()


def test_a_probe_finds_out_whether_samples_can_travel_together(check: Any, endpoint: Any) -> None:
    """By one request more for two samples of one token, whose cost is shown; only where the job has samples."""
    write_prompts("a")
    found = check(job(endpoint), "--num-samples", 8, "--probe", "--json").json
    assert (endpoint.stats.received, endpoint.stats.parts) == (2, 3)
    assert [probed["gives_samples"] for probed in found["probes"]] == [True]
    tokens = endpoint.stats.prompt_tokens + endpoint.stats.completion_tokens
    assert found["probes"][0]["usd"] == pytest.approx(tokens * 1e-6)
    shown = check("in.jsonl", "--num-samples", 8, "--probe").stdout
    assert "with --samples-per-request 8 their prompt is paid once" in shown
    assert check("in.jsonl", "--probe", "--json").json["probes"][0]["gives_samples"] is None
    assert endpoint.stats.received == 5


@pytest.mark.parametrize("refuses", [True, False])
def test_a_probe_reports_an_endpoint_that_does_not_know_n(batchrun: Any, refuses: bool) -> None:
    """One that refuses it, with its words, and one that answers once."""

    def answer(asked: dict[str, Any]) -> tuple[int, Any]:
        if refuses and "n" in asked:
            return 400, {"error": {"message": "n must be 1"}}
        choice = {"index": 0, "message": {"role": "assistant", "content": "OK"}, "finish_reason": "stop"}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}

    with answering(answer) as base_url:
        flags = ("-m", MODEL, "--base-url", base_url, "-o", "out", "--num-samples", 4)
        done = batchrun("check", write_prompts("a"), *flags, "--probe")
    assert done.code == 0, done.stderr
    words = " (n must be 1)" if refuses else ""
    assert f"does not give several samples to one request (n){words}: each is a request of its own" in done.stdout


@pytest.mark.parametrize(
    ("fault", "code", "cure"), [("401", 4, "check the key"), ("402", 5, "add credits"), ("400", 1, "")]
)
def test_a_refused_probe_reports_the_reason(check: Any, endpoint: Any, fault: str, code: int, cure: str) -> None:
    """The exit code is the one that a run would have."""
    endpoint.change(error_shares={fault: 1.0})
    done = check(write_prompts("a"), "--probe")
    assert done.code == code
    assert cure in done.stdout


def test_a_probe_can_be_simulated(batchrun: Any) -> None:
    """It needs no key and costs nothing."""
    done = batchrun("check", write_prompts("a"), "-m", MODEL, "--probe", "--simulate")
    assert done.code == 0
    assert f"{MODEL}: 4 tokens in" in done.stdout


def test_settled_rows_are_not_counted_as_remaining(check: Any, run: Any) -> None:
    """Rows that were edited since then are counted."""
    run(write_prompts("a", "b", "c", "d"), "--limit", 3)
    write_prompts("a", "edited", "c", "d")
    found = check("in.jsonl", "--json").json
    assert (found["requests"], found["settled"], found["ahead"]["requests"]) == (4, 2, 2)


def test_a_finished_run_has_nothing_left(batchrun: Any, endpoint: Any) -> None:
    """Only the past cost is shown, and no remaining tokens, cost or time."""
    write_prompts("a", "b")
    assert batchrun("run", job(endpoint)).code == 0
    done = batchrun("check", "job.toml")
    assert "requests  nothing to send: 2 of 2 requests settled\n" in done.stdout
    assert "cost      nothing more; spent so far: 0.0000" in done.stdout
    assert not {"tokens", "time"} & {line.partition(" ")[0] for line in done.stdout.splitlines()}


def reviews(count: int) -> None:
    """Write reviews of many lengths."""
    chance = random.Random(3)
    sentences = [
        "Boils two cups before I have found the tea bags.",
        "The handle gets so hot that I keep an oven glove next to it!",
        "After 14 months the lid broke; the replacement cost 12.50 euros and took three weeks.",
        "Pretty, quiet, and not a speck of rust.",
        "Support asked for a video, then for another video, then went quiet.",
        "Würde ich jederzeit wieder kaufen – schönes Gerät.",
    ]
    rows = (
        {
            "id": f"r{number}",
            "stars": chance.randint(1, 5),
            "text": " ".join(chance.choices(sentences, k=chance.randint(1, 12))),
        }
        for number in range(count)
    )
    write_rows("in.jsonl", *rows)


REVIEW = "You label product reviews: positive, negative or mixed.\n{{ stars }} of 5 stars: {{ text }}"


def assert_estimated(batchrun: Any, path: str) -> None:
    """Check that the past cost plus the estimate is within 10 % of the bill, and the bill in the range."""
    found = batchrun("check", path, "--json").json
    assert batchrun("run", path).code == 0
    cost_usd = json.loads(Path("out/run.json").read_text())["cost_usd"]
    ahead = found["ahead"]["usd"]
    assert found["spent_usd"] + ahead["likely"] == pytest.approx(cost_usd, rel=0.1)
    assert found["spent_usd"] + ahead["low"] <= cost_usd <= found["spent_usd"] + ahead["high"]


def test_the_cost_of_reviews_is_estimated_within_a_tenth_where_answers_are_bounded(
    batchrun: Any, endpoint: Any
) -> None:
    """Before any request is sent, for a thousand reviews with labels of eight tokens."""
    reviews(1_000)
    assert_estimated(batchrun, job(endpoint, user=REVIEW, more="max_tokens = 8\n"))


def test_the_cost_of_reviews_is_estimated_within_a_tenth_from_the_first_hundred(batchrun: Any, endpoint: Any) -> None:
    """For answers of any length."""
    reviews(1_000)
    path = job(endpoint, user=REVIEW)
    assert batchrun("run", path, "--limit", 100).code == 0
    assert_estimated(batchrun, path)


@pytest.mark.skipif(not GSM8K.exists(), reason="the data set is not part of the repository")
def test_the_cost_of_gsm8k_is_estimated_within_a_tenth(batchrun: Any, endpoint: Any) -> None:
    """From the first hundred of its 1,319 questions."""
    path = job(endpoint, user="{{ question }}", path=str(GSM8K))
    assert batchrun("run", path, "--limit", 100).code == 0
    assert_estimated(batchrun, path)


# The preview of a run.


def test_every_run_starts_with_an_estimate(run: Any) -> None:
    """It has one to three lines. A run with nothing to send and a quiet run do not print it."""
    done = run(write_prompts(*map(str, range(20))), "--max-tokens", 5)
    assert "20 requests, " in done.stderr
    assert "cost of these" not in done.stderr  # the prices of this endpoint are unknown
    assert "requests, " not in run("in.jsonl", "--max-tokens", 5).stderr
    assert run("in.jsonl", "--quiet", "--restart").stderr == ""


def test_the_estimate_of_a_resumed_run_has_only_the_remaining_requests(run: Any) -> None:
    """It also has the time, at the limit that earlier executions found."""
    run(write_prompts(*map(str, range(40))), "--limit", 10)
    done = run("in.jsonl")
    assert "30 requests, " in done.stderr
    assert "time for these " in done.stderr


def test_a_run_with_an_estimate_above_the_cap_is_refused(batchrun: Any, endpoint: Any) -> None:
    """With exit code 2, both numbers and the cure; nothing is sent. With --yes, the run stops at the cap."""
    write_prompts(*("word " * 200 for _ in range(100)))
    path = job(endpoint, 100, more="max_tokens = 20\n")  # at least 20,000 tokens, 0.0001 USD each
    done = batchrun("run", path, "--max-cost", 1)
    assert done.code == 2
    assert endpoint.stats.received == 0
    for words in ("the remaining requests will cost", "the cap is 1 USD", "--max-cost", "--limit", "--yes"):
        assert words in done.stderr
    assert batchrun("check", path, "--max-cost", 1).code == 2
    done = batchrun("run", path, "--max-cost", 1, "--yes", "--json")
    assert (done.code, done.json["state"]) == (5, "stopped")
    assert 0.5 < done.json["cost_usd"] <= 1
    assert batchrun("run", path, "--max-cost", 100).code == 0


def test_the_agreement_to_a_cap_is_remembered(batchrun: Any, endpoint: Any) -> None:
    """The same command resumes without --yes, and so does a higher cap. More rows or a lower cap are asked about."""
    write_prompts(*("word " * 200 for _ in range(100)))
    path = job(endpoint, 100, more="max_tokens = 20\n")
    assert batchrun("run", path, "--max-cost", 1, "--limit", 99, "--yes").code == 5
    sent = endpoint.stats.received
    assert batchrun("run", path, "--max-cost", 1, "--limit", 99).code == 5
    assert endpoint.stats.received == sent
    assert batchrun("run", path, "--max-cost", 1.5, "--limit", 99).code == 5
    assert endpoint.stats.received > sent
    assert batchrun("run", path, "--max-cost", 1.4, "--limit", 99).code == 2
    assert batchrun("run", path, "--max-cost", 1.5).code == 2


def test_a_run_that_may_end_within_its_cap_is_not_refused(batchrun: Any, endpoint: Any) -> None:
    """Only the certain cost counts, and the length of the answers is not certain."""
    write_prompts(*("word " * 200 for _ in range(100)))
    path = job(endpoint, 100)  # 2 USD for the prompts; answers of unknown length
    endpoint.change(answer_tokens=1)
    assert batchrun("run", path, "--max-cost", 25).code == 0


def test_a_cap_on_tokens_is_checked_in_the_same_way(run: Any, endpoint: Any) -> None:
    """The message has the number of tokens."""
    done = run(write_prompts(*("word " * 200 for _ in range(100))), "--max-tokens", 5, "--max-tokens-total", 5_000)
    assert done.code == 2
    assert "the cap is 5,000; raise it (--max-tokens-total)" in done.stderr
    assert endpoint.stats.received == 0


def test_with_dedupe_each_sample_is_counted_and_a_cap_refuses_too(batchrun: Any, endpoint: Any) -> None:
    """Each sample of a prompt is sent. Repeated prompts are known, because the whole input is read."""
    write_prompts(*(f"number {number % 50}" for number in range(100)))
    path = job(endpoint, 1000, more="max_tokens = 10\nnum_samples = 4\n")
    assert batchrun("check", path, "--json").json["requests"] == 400
    found = batchrun("check", path, "--dedupe", "--json").json
    dear = batchrun("check", path, "--json").json
    assert found["ahead"]["prompt_tokens"]["likely"] * 2 == pytest.approx(
        dear["ahead"]["prompt_tokens"]["likely"], rel=0.01
    )
    done = batchrun("run", path, "--dedupe", "--max-cost", 0.1)
    assert (done.code, endpoint.stats.received) == (2, 0), done.stderr
