"""What an error reply says, wherever it stands in it."""

import json
from typing import Any

import pytest

from batchrun.endpoint.pool.reason import Reason, read_reason

SHAPES: list[Any] = [
    {"error": {"message": "WORDS"}},
    {"error": "WORDS"},
    {"detail": "WORDS"},
    {"message": "WORDS"},
    {"Message": "WORDS"},
    {"code": 7, "msg": "WORDS"},
    {"errors": [{"message": "WORDS"}]},
    {"errors": [{"code": 1}, {"title": "WORDS"}]},
    {"error": {"msg": "WORDS"}},
    {"reason": "WORDS"},
    {"error": {"error": {"description": "WORDS"}}},
    {"base_resp": {"status_code": 1, "status_msg": "WORDS"}},
    [{"error": {"message": "WORDS"}}],
    {"error": {"metadata": {"raw": '{"error": {"message": "WORDS"}}'}}},
    {"fault": {"description": "WORDS"}},
]


@pytest.mark.parametrize("shape", SHAPES, ids=json.dumps)
def test_the_message_is_found_under_every_name(shape: Any) -> None:
    """And nothing is added to it."""
    assert read_reason(json.dumps(shape).encode()).message == "WORDS"


def test_what_a_gateway_wraps_is_shown_too() -> None:
    """In the order of the body, each text once."""
    inner = json.dumps({"error": {"message": "the image is broken"}})
    error = {"error": {"message": "Provider returned error", "metadata": {"raw": inner}}}
    assert read_reason(json.dumps(error).encode()).message == "Provider returned error: the image is broken"
    named = {"statusCode": 400, "error": "Bad Request", "message": "no such field"}
    assert read_reason(json.dumps(named).encode()).message == "Bad Request: no such field"
    twice = {"message": "no", "error": {"message": "no"}}
    assert read_reason(json.dumps(twice).encode()).message == "no"


def test_codes_are_collected_at_every_depth_in_lower_case() -> None:
    """Not sentences."""
    error = {"error": {"code": 429, "type": "Tokens", "details": [{"reason": "API_KEY_INVALID"}, {"type": "a b"}]}}
    assert read_reason(json.dumps(error).encode()).codes == ("429", "tokens", "api_key_invalid")


def test_without_words_the_whole_body_is_the_message() -> None:
    """Nothing that a server wrote is lost."""
    body = {"error": {"code": "seed_out_of_range", "type": "invalid_request_error"}}
    assert json.loads(read_reason(json.dumps(body).encode()).message) == body
    assert read_reason(b'{"error": null}').message == ""


def test_all_words_are_read_but_only_their_beginning_is_shown() -> None:
    """What decides may stand behind a long preface."""
    preface = "the gateway got this from the server behind it " * 40
    for body in (json.dumps({"error": {"message": f"{preface} THE END"}}).encode(), f"{preface} THE END".encode()):
        reason = read_reason(body)
        assert len(reason.message) == 500
        assert reason.text.endswith("the end")


def test_ids_make_no_reason_another() -> None:
    """Under whatever key a server puts them."""
    one, other = (
        read_reason(json.dumps({"error": "no", "ref": ref, "code": "bad_seed"}).encode())
        for ref in ("r-81fa", "r-22ab")
    )
    assert one.is_like(other)


ADVICE: list[tuple[Any, float | None]] = [
    ({"error": {"details": [{"retryDelay": "2s"}]}}, 2.0),
    ({"error": {"details": [{"retryDelay": "2.5s"}]}}, 2.5),
    ({"retry_after": 3}, 3.0),
    ({"error": {"retry_after_ms": 1500}}, 1.5),
    ({"retry_after": "4"}, 4.0),
    ({"retry_after": -4}, None),
    ({"retry_after": True}, None),
    ({"retry_after": [1]}, None),
    ({"message": "Please try again in 6m0s."}, 360.0),
    ({"message": "Please retry in 2.5s."}, 2.5),
    ({"message": "retry after 12 seconds"}, 12.0),
    ({"message": "Please try again in 250ms"}, 0.25),
    ({"message": "wait for 1 minute"}, 60.0),
    ({"message": "try again in 1h2m3s"}, 3723.0),
    ({"message": "try again later; your limit is 5 models"}, None),
    ({"message": "12 seconds have passed"}, None),
    ({"message": "wait for 3 messages"}, None),
    ({"message": "retry with 2 schemas or 4 hints"}, None),
    ({"message": "retry after 3 sec."}, 3.0),
    ({"message": "retry in 1 hr 2 mins"}, 3720.0),
    ({"message": "please retry in 90 milliseconds"}, 0.09),
    ({"message": "请在 3 秒后重试"}, 3.0),
    ({"message": "请求过快，请在3秒之后再试"}, 3.0),
    ({"message": "重试前请等待 3 秒"}, 3.0),
]


@pytest.mark.parametrize(("body", "advice_s"), ADVICE, ids=str)
def test_advice_is_read_from_its_fields_or_from_words(body: Any, advice_s: float | None) -> None:
    """Other numbers and texts are not taken for advice."""
    assert read_reason(json.dumps(body).encode()).advice_s == advice_s


def test_the_same_reason_is_the_same_in_spite_of_numbers_ids_and_quotes() -> None:
    """And another reason is another."""
    one = Reason("Model 'a' rejects max_tokens 5 (request req-81fa)", ("unsupported",))
    assert one.is_like(Reason("Model 'b' rejects max_tokens 900 (request req-22ab)", ("unsupported",)))
    assert not one.is_like(Reason("Your prompt is longer than allowed", ("too_long",)))
    assert Reason().is_like(Reason())
    assert not one.is_like(Reason())


ODD = [
    b"\xef\xbb\xbf%s",
    b"data: %s\n\n",
    b": busy\n\nevent: error\ndata: %s\n\ndata: [DONE]\n\n",
    b"\n%s trailing",
]


@pytest.mark.parametrize("frame", ODD)
def test_an_error_that_is_not_strict_json_is_read_too(frame: bytes) -> None:
    """After a byte order mark, as the event of a stream, with something around it."""
    body = frame % b'{"error": {"message": "The seed is negative", "code": "bad_seed"}}'
    assert read_reason(body)[:2] == ("The seed is negative", ("bad_seed",))


def test_a_text_that_only_begins_like_json_is_a_text() -> None:
    """Whole, and not only the number or the list in front."""
    for text in ("[Errno 111] Connection refused", "5 requests too many", '"gone" it says'):
        assert read_reason(text.encode()).message == text


def test_the_same_error_says_something_else_to_a_request_whose_words_it_repeats() -> None:
    """Errors that come again are known; what a request has sent is looked for each time."""
    body = b'{"error": {"message": "Blocked: please try again in 7 seconds", "retry_after": 3}}'
    plain = b"Blocked: please try again in 7 seconds"
    sent = json.dumps({"messages": [{"content": "please try again in 7 seconds"}]}).encode()
    for _ in range(2):
        assert (read_reason(body).advice_s, read_reason(body, sent).advice_s) == (3, 3)
        assert (read_reason(plain).advice_s, read_reason(plain, sent).advice_s) == (7, None)
        assert read_reason(body).text == "blocked: please try again in 7 seconds"
        assert read_reason(body, sent).text.strip() == "blocked:"
