"""The texts of the outlook."""

import dataclasses
from dataclasses import replace
from typing import Any

import pytest

from batchrun.endpoint.pool.budget import NOTHING_USED, Amount, Used
from batchrun.engine.preflight.estimate import Asked, Forecast, Known
from batchrun.engine.preflight.outlook import Outlook, ahead_lines, excess, look_ahead
from batchrun.engine.preflight.prompt_fit import PromptFit
from batchrun.engine.preflight.ranges import Range
from batchrun.job.sections import Input, Job, Limits, Model


def job(**limits: Any) -> Job:
    return Job(input=Input(path=("in.jsonl",)), limits=Limits(**limits))


def outlook(usd: Range | None = None) -> Outlook:
    tokens = Range(900, 1_000, 1_200)
    part = Forecast("m", 10, 10, tokens, tokens, usd, tokens)
    return Outlook(
        requests=10,
        bundles=10,
        prompt_tokens=tokens,
        completion_tokens=tokens,
        usd=usd,
        seconds=None,
        slots=None,
        answers=0,
        models=[part],
    )


@pytest.mark.parametrize(
    ("limits", "spent", "words"),
    [
        ({"max_cost_usd": 0.5}, (0.0, 0), "will cost 0.6 – 0.9 USD; the cap is 0.5 USD"),
        ({"max_cost_usd": 0.6}, (0.0, 0), None),
        ({"max_cost_usd": 0.6}, (0.1, 0), "will cost 0.6 – 0.9 USD (spent so far: 0.1000 USD); the cap"),
        ({"max_tokens_total": 1_799}, (0.0, 0), "will use 1.80k – 2.40k tokens; the cap is 1,799"),
        ({"max_tokens_total": 1_800}, (0.0, 0), None),
        ({"max_tokens_total": 1_800}, (0.0, 1), "tokens (used so far: 1 token); the cap"),
        ({}, (1e9, 10**9), None),
    ],
)
def test_a_cap_refuses_only_what_certainly_exceeds_it(
    limits: dict[str, Any], spent: tuple[float, int], words: str | None
) -> None:
    """The low end of the estimate plus what was spent is compared."""
    refusal = excess(job(**limits), outlook(Range(0.6, 0.7, 0.9)), Used(Amount(*spent)))
    assert refusal is None if words is None else refusal is not None and words in refusal.text


def test_a_starting_run_prints_only_what_is_known() -> None:
    """No cost without a price, no time without a limit."""
    assert ahead_lines(outlook()) == ["10 requests, 900 – 1.20k tokens in, 900 – 1.20k out (answers of unknown length)"]
    lines = ahead_lines(
        dataclasses.replace(outlook(Range(1, 2, 3)), seconds=Range(60, 90, 120), pace="with 7 in flight", answers=3), 5
    )
    assert lines[1:] == [
        "cost of these  1.00 – 3.00 USD; the cap is 5 USD",
        "time for these 1 min 00 s – 2 min 00 s, with 7 in flight",
    ]


@pytest.mark.parametrize(
    ("limits", "pace"),
    [
        ({}, "with 10 in flight"),
        ({"requests_per_minute": 60_000}, "with 10 in flight"),
        ({"requests_per_minute": 60}, "at 60 requests per minute"),
        ({"requests_per_minute": 600}, "with up to 10 in flight and at most 600 requests per minute"),
        ({"tokens_per_minute": 60}, "at 60 tokens per minute"),
        (
            {"requests_per_minute": 60, "tokens_per_minute": 9_000},
            "at 60 requests per minute and 9,000 tokens per minute",
        ),
    ],
)
def test_a_time_names_what_it_depends_on(limits: dict[str, Any], pace: str) -> None:
    """A rate allows fewer requests in flight than the endpoint takes."""
    asked = Asked(requests=100, tokens=1_000, images=0, bounded=0, bound_tokens=0)
    known = Known(answers=1_000, answer_tokens=10, latency_s=1.0)
    assert look_ahead(job(**limits), {"m": asked}, {"m": known}, slots={"": 10}).pace == pace


def test_a_model_without_a_price_does_not_refuse_a_run_here() -> None:
    """Simulated runs need no price; for real runs the cap itself is refused elsewhere."""
    assert excess(job(max_cost_usd=1), outlook(), NOTHING_USED) is None


@pytest.mark.parametrize(("cap_usd", "text"), [(1e-6, "0.000001"), (50.0, "50"), (1_234_567.5, "1234567.5")])
def test_a_cap_is_printed_in_full(cap_usd: float, text: str) -> None:
    """Without exponents."""
    assert ahead_lines(outlook(Range(1, 2, 3)), cap_usd)[1].endswith(f"; the cap is {text} USD")


@pytest.mark.parametrize("known", [{}, {"m": Known()}])
def test_a_time_is_called_assumed_until_an_answer_has_shown_how_long_one_takes(known: dict[str, Known]) -> None:
    """Before that, only what servers commonly do is known."""
    asked = Asked(requests=100, tokens=1_000, images=0, bounded=0, bound_tokens=0)
    ahead = look_ahead(job(), {"m": asked}, known, slots={"": 10})
    assert "assumed" in ahead_lines(ahead)[-1]


def test_bundles_are_what_takes_slots_and_time() -> None:
    """64 rows of embeddings are one request for the endpoint; their tokens are the same as alone."""
    known = {"m": Known(answers=100, answer_tokens=0.0, latency_s=2.0)}
    asked = {"m": Asked(100_000, 1_000_000, 0, 0, 0)}
    plain = Job(input=Input(path=("in.jsonl",)), model=Model(kind="embeddings"), limits=Limits(requests_per_minute=600))
    bundled = replace(plain, model=Model(kind="embeddings", rows_per_request=64))
    alone, together = (look_ahead(each, asked, known, slots={"": 50}) for each in (plain, bundled))
    assert (together.requests, together.bundles, alone.bundles) == (100_000, 1_563, 100_000)
    assert together.seconds is not None
    assert alone.seconds is not None
    assert together.seconds.likely == pytest.approx(60 * 1_563 / 600)
    assert alone.seconds.likely == pytest.approx(60 * 100_000 / 600)
    assert together.prompt_tokens == alone.prompt_tokens
    assert "100,000 requests, together in about 1,563 bundles" in ahead_lines(together)[0]
    assert "bundle" not in ahead_lines(alone)[0]


def test_long_texts_fill_a_bundle_sooner() -> None:
    """A body has at most 1 MiB."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(kind="embeddings", rows_per_request=64))
    assert look_ahead(job, {"m": Asked(640, 640 * 2**16, 0, 0, 0)}, {}, slots=None).bundles == 160


def test_the_prompt_of_several_samples_is_paid_once() -> None:
    """As far as they travel together; answers of this job have stated their shares of it already."""
    job = Job(input=Input(path=("in.jsonl",)), model=Model(num_samples=8, samples_per_request=3))
    asked = {"m": Asked(800, 8_000, 0, 0, 0)}
    ahead = look_ahead(job, asked, {}, slots=None)
    assert (ahead.requests, ahead.bundles) == (800, 300)
    assert ahead.prompt_tokens.likely == pytest.approx(3_000)
    seen = Known(answers=80, prompts=PromptFit.of([(10.0, 4)] * 80), prompts_are_shares=True)
    assert look_ahead(job, asked, {"m": seen}, slots=None).prompt_tokens.likely == pytest.approx(3_200)
