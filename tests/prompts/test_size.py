"""How many tokens a request uses."""

import json
from typing import Any

import orjson
import pytest

from batchrun.prompts.size import asked_tokens, attached_parts, expected_tokens, worst_usage

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
PHOTO = "data:image/png;base64," + "A" * 1_000_000
ELSEWHERE = "https://example.com/cat.png"


def body(*images: str, text: str = "data: what is it?", **more: Any) -> bytes:
    """Return a request with one text and images."""
    parts = [{"type": "text", "text": text}, *({"type": "image_url", "image_url": {"url": url}} for url in images)]
    return orjson.dumps({"messages": [{"role": "user", "content": parts}], **more})


def test_a_request_uses_at_most_a_token_per_byte_and_the_longest_answer() -> None:
    """A tokenizer makes at most one token of a byte; a chat template adds its markers."""
    plain = body(max_tokens=5)
    usage = worst_usage("m", plain)
    assert usage.completion_tokens == 5
    assert len(plain) < (usage.prompt_tokens or 0) < len(plain) + 1_000


@pytest.mark.parametrize("model", [LLAMA, "gpt-9"])
def test_an_answer_without_a_bound_may_fill_the_window(model: str) -> None:
    """The model's window where the catalogue knows it, else the longest common window."""
    assert worst_usage(model, body()).completion_tokens == {LLAMA: 128_000}.get(model, 131_072)


@pytest.mark.parametrize("urls", [(PHOTO,), (PHOTO, PHOTO), (ELSEWHERE,), (PHOTO, ELSEWHERE)])
def test_an_image_counts_as_an_image_wherever_it_is(urls: tuple[str, ...]) -> None:
    """Not as a million characters of base64, or as the few characters of a URL."""
    text = len(body())
    assert len(urls) * 1_600 < (worst_usage("m", body(*urls)).prompt_tokens or 0) < len(urls) * 1_700 + text + 200
    assert len(urls) * 700 < expected_tokens(body(*urls)) < len(urls) * 730 + text / 4


def test_a_text_counts_as_a_token_to_four_bytes() -> None:
    """The answers of a run correct this estimate."""
    assert expected_tokens(body(text="x" * 40_000)) == pytest.approx(10_000, rel=0.01)


def test_a_body_of_any_shape_has_a_size() -> None:
    """Messages may have any content: everything except images counts as text."""
    messages = [{"content": ["data:"]}, {"content": [{"image_url": "data:"}]}, {"content": None}, {}, "text", 5]
    odd = orjson.dumps({"messages": messages})
    assert list(attached_parts({"messages": messages})) == []
    assert expected_tokens(odd) == len(odd) / 4
    assert worst_usage("m", odd).prompt_tokens == len(odd) + 200


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, None),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 9),
        ({"max_tokens": -1}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": "7"}, None),
        ({"max_tokens": True}, None),
    ],
)
def test_a_bound_on_the_answer_is_read_from_the_body(fields: dict[str, Any], tokens: int | None) -> None:
    """Under its new or its old name; a value that is not a count is ignored."""
    assert asked_tokens(fields) == tokens


def with_file(part: dict[str, Any]) -> bytes:
    return orjson.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, part]}]})


def test_a_file_counts_by_its_size_and_at_most_as_the_context_window() -> None:
    """Of one that is elsewhere the size is not known."""
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 1_300_000, "format": "wav"}}
    pdf = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + "A" * 800_000}}
    video = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
    assert expected_tokens(with_file(sound)) == pytest.approx(1_000, rel=0.05)
    assert expected_tokens(with_file(pdf)) == pytest.approx(10_000, rel=0.05)
    assert expected_tokens(with_file(video)) == pytest.approx(5_000, rel=0.05)
    assert [worst_usage("m", with_file(part)).prompt_tokens for part in (sound, pdf, video)] == [131_072] * 3
    small = {"type": "input_audio", "input_audio": {"data": "A" * 1_000, "format": "wav"}}
    assert 1_000 < (worst_usage("m", with_file(small)).prompt_tokens or 0) < 1_500


def test_a_body_counts_the_same_however_its_json_is_spelled() -> None:
    """A batch line may have spaces, and escapes in the place of characters."""
    plain = body(PHOTO, text="天地玄黄" * 1_000, max_tokens=5)
    spelled = json.dumps(orjson.loads(plain), indent=1).encode()
    assert len(spelled) > len(plain) + 10_000
    assert worst_usage("m", spelled) == worst_usage("m", plain)
    assert expected_tokens(spelled) == pytest.approx(expected_tokens(plain), rel=0.02)
