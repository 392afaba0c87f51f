"""What an error repeats of the request does not name its kind."""

import json

import pytest

from batchrun.endpoint.pool.echo import without_echo
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Reply

PROMPT = "Why does my account say: insufficient quota,\n try again in 20s?"


def request(content: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


@pytest.mark.parametrize("content", [PROMPT, [{"type": "text", "text": PROMPT}]])
@pytest.mark.parametrize("echo", [PROMPT, PROMPT[:50]])
def test_words_of_the_prompt_do_not_name_the_kind_of_an_error(content: object, echo: str) -> None:
    """Also if the echo is cut short: the rest of the message decides."""
    body = json.dumps({"error": {"message": f"cannot parse '{echo}' as an image"}}).encode()
    assert judge(Reply(400, {}, body, 0.1)).kind == "quota_exhausted"
    verdict = judge(Reply(400, {}, body, 0.1), sent=request(content))
    assert (verdict.kind, verdict.reason.advice_s) == ("bad_request", None)
    assert "cannot parse" in verdict.message


def test_the_words_of_the_error_itself_count() -> None:
    """Around an echo, and all words where nothing can be read of the request."""
    words = "cannot read 'describe the picture': insufficient quota"
    assert without_echo(words, request("Describe the picture")) == "cannot read ' ': insufficient quota"
    assert without_echo(words, request("insufficient")) == words.replace("insufficient", " ")
    assert without_echo(words, request("quota")) == words
    assert without_echo(words, b"row") == words
