"""Estimates of what a job will use: tokens, answers, money, time."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.engine.preflight.estimate import Asked, Known, answer_range, forecast, latency_range, total
from batchrun.engine.preflight.prompt_fit import PromptFit
from batchrun.engine.preflight.ranges import ALIKE, Range
from batchrun.engine.preflight.tokens import count_request, text_tokens
from batchrun.job.sections import Price

PRICE = Price(input_usd_per_mtok=1, output_usd_per_mtok=10)
CACHED = Price(input_usd_per_mtok=1, output_usd_per_mtok=10, cached_input_usd_per_mtok=0.1)

TEXTS = {
    "English": (
        "The kettle boils two cups before I have found the tea bags, and a year in there is no rust.",
        4.0,
        5.0,
    ),
    "numbers": ("In 2024 it cost 1,250.50 euros, 17 % more than in 2023, and 300 less than in 2019.", 2.0, 4.2),
    "German": (
        "Der Griff wird so heiß, dass ich immer einen Topflappen daneben liegen habe, ärgerlich für dreißig Euro.",
        3.3,
        4.8,
    ),
    "Russian": ("Ручка становится такой горячей, что рядом всегда лежит прихватка.", 2.2, 3.5),
    "Chinese": ("手柄太烫了，我旁边总是放着一块隔热垫，而且水壶第三天就开始漏水。", 1.2, 1.8),
    "Japanese": ("取っ手がとても熱くなるので、いつもそばに鍋つかみを置いています。", 1.2, 1.8),
    "Korean": ("손잡이가 너무 뜨거워서 항상 옆에 냄비 장갑을 둡니다.", 1.3, 2.4),
    "Arabic": ("المقبض يصبح ساخنا جدا لدرجة أنني أحتفظ بقفاز بجانبه دائما.", 1.8, 3.6),
    "code": ('def boil(cups: int) -> float:\n    return {"two": 2.5}.get(str(cups), 0.0) * 60  # seconds\n', 2.3, 3.7),
    "emoji": ("🫖🔥☕", 0.4, 1.0),
}
"""A text, and the lowest and highest number of characters per token in common vocabularies for its kind."""


@pytest.mark.parametrize("kind", TEXTS)
def test_the_number_of_characters_per_token_depends_on_the_script(kind: str) -> None:
    """Within the range that vendors state for their vocabularies."""
    text, fewest, most = TEXTS[kind]
    assert fewest <= len(text) / text_tokens(text) <= most


@given(st.text(), st.text())
def test_texts_add_up(one: str, two: str) -> None:
    """No text has a negative count, and a part never has more tokens than the whole."""
    assert text_tokens(one + two) == pytest.approx(text_tokens(one) + text_tokens(two))
    assert (text_tokens(one) > 0) == bool(one)


def test_half_a_character_is_counted_too() -> None:
    """JSON may hold lone surrogates."""
    assert text_tokens("\ud83d") > 0


def test_a_long_text_takes_milliseconds() -> None:
    """Ten million characters in less than a second: every row of an input is counted."""
    began_s = time.perf_counter()
    text_tokens("It boils fast, 2 cups. " * 430_000)
    assert time.perf_counter() - began_s < 1


def test_everything_that_the_model_reads_is_counted() -> None:
    """All messages, the texts among their parts, tool calls and tools; images are counted apart."""
    user = {"role": "user", "content": "word " * 100}
    one = count_request({"messages": [user], "max_tokens": 7})
    assert (one.images, one.bound) == (0, 7)
    assert 95 <= one.tokens <= 130
    parts = [{"type": "text", "text": "word " * 100}, {"type": "image_url", "image_url": {"url": "x" * 10_000}}]
    seen = count_request({"messages": [{"role": "user", "content": parts}]})
    assert (seen.images, seen.bound) == (1, None)
    assert seen.tokens == one.tokens
    called = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "x" * 400}}]}
    assert count_request({"messages": [user, called]}).tokens > one.tokens + 100
    assert count_request({"messages": [user], "tools": [{"name": "f" * 400}]}).tokens > one.tokens + 90


@pytest.mark.parametrize(
    ("body", "bound"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 6, "max_tokens": 5}, 6),
        ({"max_tokens": -1}, None),
        ({"max_tokens": "5"}, None),
        ({"max_tokens": True}, None),
        ({}, None),
    ],
)
def test_the_bound_of_an_answer_is_the_one_that_the_server_uses(body: dict[str, object], bound: int | None) -> None:
    """Other keys and other values bound nothing."""
    assert count_request({"messages": [], **body}).bound == bound


# Answers.


def test_the_length_of_answers_is_known_better_with_each() -> None:
    """Assumed before the first answer, a wide range after one, within a tenth after a few hundred."""
    assert answer_range(Known(), None).high > 100 * answer_range(Known(), None).low
    widths = []
    for answers in (1, 10, 100, 1_000, 1_000_000):
        low, likely, high = answer_range(Known(answers=answers, answer_tokens=50.0), None)
        assert (low < 50 < high, likely) == (True, 50)
        widths.append((high - low) / 50)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 1
    assert widths[-2] < 0.1
    assert widths[-1] >= 0.05  # no estimate is exact


def test_no_answer_is_longer_than_the_request_allows() -> None:
    """Also for reasoning models."""
    for known in (Known(), Known(reasons=True), Known(answers=1, answer_tokens=90.0)):
        assert answer_range(known, 8).high == 8
    assert answer_range(Known(reasons=True), None).likely > answer_range(Known(), None).likely


def test_bounded_answers_are_estimated_apart_from_others() -> None:
    """Half of the requests allow 10 tokens, half have no bound."""
    part = forecast("m", Asked(100, 1_000, 0, 50, 500), Known(), ())
    assert part.completion_tokens.high == 50 * 10 + 50 * 1_000
    assert part.usd is None


# Money and time.


def test_a_forecast_is_tokens_times_price() -> None:
    """Cached tokens at their own price, images one by one; the ends of the range add up to its ends."""
    known = Known(answers=10_000, answer_tokens=20.0, prompts=PromptFit(10_000, 50.0, 100.0, Range(2, 2, 2), 0, 99))
    part = forecast("m", Asked(1_000, 50_000, 0, 0, 0), known, (PRICE,))
    assert part.prompt_tokens.likely == 100_000
    assert part.completion_tokens.likely == 20_000
    assert part.usd is not None
    assert part.usd.likely == pytest.approx(0.1 + 0.2)
    assert 0.9 * part.usd.likely < part.usd.low < part.usd.likely < part.usd.high < 1.1 * part.usd.likely
    known.cached_share = 0.5
    cheaper = forecast("m", Asked(1_000, 50_000, 0, 0, 0), known, (CACHED,))
    assert cheaper.usd is not None
    assert cheaper.usd.likely == pytest.approx(0.055 + 0.2)
    either = forecast("m", Asked(1_000, 50_000, 0, 0, 0), known, (PRICE, CACHED)).usd
    assert either is not None
    assert (either.low, either.high) == (cheaper.usd.low, part.usd.high)
    assert cheaper.usd.likely < either.likely < part.usd.likely
    seen = forecast("m", Asked(1_000, 50_000, 1_000, 0, 0), known, (PRICE,))
    assert seen.prompt_tokens.low > part.prompt_tokens.low + 50_000


def test_rows_that_were_not_read_widen_the_range() -> None:
    """Counted rows narrow it."""

    def width(known: Known, lengths: Range = ALIKE) -> float:
        tokens = forecast("m", Asked(10, 1_000, 0, 0, 0), known, (), lengths).prompt_tokens
        return (tokens.high - tokens.low) / tokens.likely

    assert width(Known(prompts=PromptFit.of([(100, 100)] * 9))) < width(Known()) < width(Known(), Range(0.9, 1, 1.1))


def test_a_measured_latency_is_used() -> None:
    """Otherwise it is estimated from the length of the answer."""
    assert latency_range(Known(latency_s=3.0, answers=10_000), Range(1, 1, 1)).likely == 3
    short, long = latency_range(Known(), Range(1, 10, 20)), latency_range(Known(), Range(100, 1_000, 2_000))
    assert short.low < short.likely < short.high
    assert long.likely > 10 * short.likely


def test_ranges_add_up() -> None:
    """The low ends, and the high ends."""
    assert total([Range(1, 2, 3), Range(10, 20, 30)]) == (11, 22, 33)
    assert total([]) == (0, 0, 0)


GSM8K = Path(__file__).parents[2] / "shared" / "data" / "gsm8k" / "test.jsonl"


@pytest.mark.skipif(not GSM8K.exists(), reason="the data set is not part of the repository")
def test_questions_of_gsm8k_have_four_characters_per_token_as_vendors_state() -> None:
    """Within a twentieth."""
    questions = [json.loads(line)["question"] for line in GSM8K.read_text(encoding="utf-8").splitlines()]
    assert sum(map(text_tokens, questions)) == pytest.approx(sum(map(len, questions)) / 4, rel=0.05)
