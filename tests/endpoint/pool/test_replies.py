"""Which kind each reply of a real server is."""

import json
from typing import Any

import pytest
from harness.endpoints import ANSWER
from hypothesis import given
from hypothesis import strategies as st

from batchrun.endpoint.pool.reason import read_reason
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.records import Fault, Reply, Usage

QUOTA = "You exceeded your current quota, please check your plan and billing details"
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"


def openai(message: str, code: Any = None, kind: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, 0.1)


UNDER_200 = [
    (ANSWER, None),
    (b"", "bad_reply"),
    (HTML, "bad_reply"),
    (b'{"choices": [', "bad_reply"),
    (b"[]", "bad_reply"),
    (b"{}", "bad_reply"),
    (b'{"choices": []}', "bad_reply"),
    (b'{"choices": [{}]}', "bad_reply"),
    (openai("broken"), "bad_reply"),
    (openai("broken", "9" * 5000), "bad_reply"),
    (openai("Concurrency limit reached for requests", 429), "throttled"),
    (openai("The engine is currently overloaded", "503"), "overloaded"),
    (openai("provider disconnected", 502), "server_error"),
    (openai("prompt is too long", 400), "context_length"),
    (openai("broken", 200), "bad_reply"),
    (
        b'{"choices": null, "base_resp": {"status_code": 1002, "status_msg": "rate limit exceeded(RPM)"}}',
        "rate_limited",
    ),
    (b'{"code": 429, "msg": "slow down", "data": null}', "throttled"),
    (b'{"status": 401, "title": "no"}', "unauthorized"),
    (b'{"code": 503, "choices": [{"message": {"content": "ok"}}]}', None),
]


@pytest.mark.parametrize(("body", "kind"), UNDER_200)
def test_a_200_is_a_completion_only_when_it_is_one(body: bytes, kind: str | None) -> None:
    """An error that a gateway puts under a 200 counts as the error whose code it carries."""
    assert judge(reply(200, body)).kind == kind


@pytest.mark.parametrize("what", ["-requests", "-tokens", ""])
def test_headers_alone_make_no_rate_that_holds_back_all(what: str) -> None:
    """Some servers say that nothing is left of a rate to one request in ten, and serve the others."""
    headers = {f"x-ratelimit-remaining{what}": "0", f"x-ratelimit-reset{what}": "2s"}
    assert judge(Reply(429, headers, b"Rate limit exceeded", 0.1)).kind == "throttled"
    assert judge(Reply(429, headers, b"20 requests per minute", 0.1)).kind == "rate_limited"


@pytest.mark.parametrize(
    ("headers", "details"),
    [
        ({"retry_after": "7"}, {}),
        ({"retry_after_ms": "700"}, {}),
        ({}, {"retryDelay": "2s"}),
        ({}, {"retry_after": 3}),
    ],
)
def test_a_quota_that_says_when_to_come_again_is_a_rate_and_not_an_empty_account(
    headers: dict[str, str], details: dict[str, Any]
) -> None:
    """Google's limit per minute begins in the words of OpenAI's empty account. A code for the account still decides."""
    body = json.dumps([{"error": {"code": 429, "message": QUOTA, "details": [details]}}]).encode()
    assert judge(reply(429, body, **headers)).kind == "rate_limited"
    empty = json.dumps({"error": {"message": QUOTA, "code": "insufficient_quota", **details}}).encode()
    assert judge(reply(429, empty, **headers)).kind == "quota_exhausted"


FILTERED: list[Any] = [
    {"choices": [{"finish_reason": "content_filter"}]},
    {"choices": [{"index": 0, "finish_reason": "content_filter", "message": None}], "usage": {"prompt_tokens": 3}},
    {"base_resp": {"status_code": 1027, "status_msg": "output is sensitive"}, "choices": None},
]


@pytest.mark.parametrize("answer", FILTERED)
def test_a_filter_that_withholds_an_answer_under_200_has_given_its_verdict(answer: Any) -> None:
    """Another attempt would buy the same."""
    assert judge(reply(200, json.dumps(answer).encode())).kind == "content_filter"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"data": "Your credit balance is too low"}, "quota_exhausted"),
        (400, {"error": {"message": "Rejected", "why": ["the prompt is too long"]}}, "context_length"),
        (400, {"error": "no " * 400, "more": "the prompt is too long"}, "context_length"),
        (400, {"failure": "invalid_api_key"}, "unauthorized"),
        (422, {"detail": [{"loc": ["body"], "msg": "not a text", "input": "the prompt is too long"}]}, "bad_request"),
        (422, {"detail": [{"loc": ["body", "content_filter"], "msg": "not permitted"}]}, "bad_request"),
        (400, {"message": "no", "tokens": 1301}, "bad_request"),
    ],
)
def test_the_verdict_is_read_from_all_words_and_codes_under_any_key(status: int, body: Any, kind: str) -> None:
    """But not from what the row itself sent, and not from numbers that count something."""
    assert judge(reply(status, json.dumps(body).encode())).kind == kind


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_that_says_when_to_come_again_is_not_final(status: int) -> None:
    """Without any words. Where it names what is wrong, it is."""
    assert judge(reply(status, openai("no"), retry_after="3")).kind == "bad_draw"
    assert judge(reply(status, b'{"message": "no", "retry_after": 3}')).kind == "bad_draw"
    assert judge(reply(status, openai("no", "context_length_exceeded"), retry_after="3")).kind == "context_length"


def test_an_answer_that_is_none_shows_the_words_in_it() -> None:
    """Wherever they stand, and a page is called a page."""
    answer = {"choices": None, "base_resp": {"status_code": 9999, "status_msg": "the words"}}
    assert "the words" in judge(reply(200, json.dumps(answer).encode())).message
    assert "is a web page" in judge(reply(200, HTML)).message


@pytest.mark.parametrize("kind", ["connection", "timeout", "too_large", "bad_reply"])
def test_a_fault_keeps_its_kind_and_message(kind: Any) -> None:
    """An answer that could not be received is judged by what went wrong."""
    assert judge(Fault(kind, "why", 0.1))[:4] == (kind, "why", Usage(), None)


def test_a_completion_comes_with_its_usage_and_so_does_a_bad_reply() -> None:
    """The tokens of every answer that states them count, even if the answer is useless."""
    assert judge(reply(200, ANSWER)).usage == Usage(10, 5, 15)
    assert judge(reply(200, b'{"usage": {"prompt_tokens": 3}}')).usage == Usage(3)


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("https://login.example/x?key=1", "login.example"),
        ("/v2/?key=1", "/v2/"),
        ("http://[", "another address"),
        ("https://a:b@api.example:8443/v1/chat/completions/?key=1", "api.example"),
    ],
)
def test_a_redirect_is_a_refusal_that_names_the_host_only(location: str, where: str) -> None:
    """Redirects are not followed; the message repeats nothing else of the address."""
    verdict = judge(reply(307, location=location))
    assert verdict.kind == "forbidden"
    assert f"redirects to {where};" in verdict.message
    assert "key=1" not in verdict.message


def test_a_redirect_that_keeps_the_path_of_the_api_names_the_base_url_there() -> None:
    """From http to https, or to another host. Where the host stays the same, the key would stay there too."""
    moved = judge(reply(308, location="https://a:b@api.example:8443/v1/chat/completions/?key=1")).message
    assert moved.endswith("its base URL is https://api.example:8443/v1")
    assert "base URL" not in judge(reply(307, location="https://login.example/x")).message
    assert "key" not in judge(reply(307, location="/v1/chat/completions/")).message


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_reply_is_called_empty(body: bytes) -> None:
    """With the status of success."""
    assert judge(reply(200, body)).message == "the answer is empty"


def test_a_message_is_short_and_readable() -> None:
    """The text of HTML, the JSON itself where it holds no message, the beginning of anything long."""
    assert judge(reply(502, HTML)).message == "502 Bad Gateway nginx"
    assert read_reason(b'{"detail": [{"loc": ["body"]}]}').message == '{"detail":[{"loc":["body"]}]}'
    for body in (openai("x" * 10_000), b"x" * 10_000, b"<" * 1_000_000, json.dumps({"error": "x" * 10_000}).encode()):
        assert all(0 < len(judge(reply(status, body)).message) <= 500 for status in (200, 400, 500))


@pytest.mark.parametrize("status", [400, 503])
def test_a_message_is_one_line_without_control_characters(status: int) -> None:
    """In every shape they become spaces, because the message is printed and a terminal would obey them."""
    text = "\x1b[2Jone\r\ntwo\x07\u202e\x9b three\0"
    for body in (openai(text), json.dumps({"detail": [text]}).encode(), text.encode(), f"<p>{text}</p>".encode()):
        message = judge(reply(status, body)).message
        assert message.isprintable(), message
        assert "three" in message


@pytest.mark.parametrize("depth", [200, 500, 1_000, 100_000])
def test_nesting_that_no_writer_can_write_is_judged_too(depth: int) -> None:
    """A body that is nested too deeply for Python or orjson raises nothing."""
    deep = b"[" * depth + b"]" * depth
    bodies = (deep, *(b'{"%s": %s}' % (key, deep) for key in (b"error", b"detail", b"choices")))
    for body in (*bodies, b'{"error": {"message": %s, "code": %s}}' % (deep, deep)):
        assert [judge(reply(status, body)).kind for status in (200, 422, 500)] == [
            "bad_reply",
            "bad_request",
            "server_error",
        ]


KEYS = ["error", "message", "detail", "code", "type", "choices", "usage", "status"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner),
    max_leaves=12,
)


@given(
    status=st.integers(100, 999),
    body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()),
    location=st.text(),
)
def test_any_reply_has_a_verdict(status: int, body: bytes, location: str) -> None:
    """No status and no bytes make it raise, and every kind is one of the table."""
    verdict = judge(Reply(status, {"location": location, "rate_limit_type": location}, body, 0.1))
    assert verdict.kind is None or verdict.kind in EFFECTS
    assert isinstance(verdict.message, str)
    assert (verdict.kind is None) == (not verdict.message)


def test_a_completion_comes_with_its_parsed_body() -> None:
    """So that it is parsed once; a reply that is not a completion has none."""
    assert judge(reply(200, ANSWER)).answer == json.loads(ANSWER)
    assert judge(reply(200, b'{"choices": []}')).answer is None
    assert judge(reply(500)).answer is None


def in_a_choice(finish_reason: str, error: Any = None, **message: Any) -> bytes:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    choice = {"message": message, "finish_reason": finish_reason, "error": error}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (in_a_choice("error", {"code": 502, "message": "gone"}, content="Half of"), "server_error", "gone"),
        (in_a_choice("error", {"code": "503", "message": "gone"}, content=""), "server_error", "gone"),
        (b'{"error": {"code": 504, "message": "gone"}, "usage": {"prompt_tokens": 7}}', "server_error", "gone"),
        (
            b'{"error": {"type": "overloaded_error", "info": "gone"}, "choices": [{}], "usage": {"prompt_tokens": 7}}',
            "server_error",
            "gone",
        ),
        (in_a_choice("error", {"code": "429", "message": "concurrency limit"}, content=""), "throttled", "concurrency"),
        (in_a_choice("error", {"code": 400, "message": "content filter"}), "content_filter", "content filter"),
        (in_a_choice("stop", "the provider broke off", content="Half of"), "server_error", "broke off"),
        (in_a_choice("error", content="Half of"), "server_error", "finish_reason error"),
        (b'{"choices": [{"finish_reason": "SAFETY"}], "usage": {"prompt_tokens": 7}}', "content_filter", "withheld"),
    ],
)
def test_an_error_inside_a_choice_is_judged_like_an_error_and_its_tokens_count(
    body: bytes, kind: str, words: str
) -> None:
    """Half an answer is not an answer, but it was paid for."""
    verdict = judge(reply(200, body))
    assert verdict.kind == kind
    assert words in verdict.message
    assert verdict.usage.prompt_tokens
    assert verdict.answer is None


def test_a_text_that_a_filter_cut_is_a_completion() -> None:
    """Only a schema makes a failure of it, as the table says."""
    assert judge(reply(200, in_a_choice("content_filter", content="Half of"))).kind is None
    assert "if it has no message or must fit a schema" in EFFECTS["content_filter"].when


@pytest.mark.parametrize("status", [200, 201, 203])
def test_every_status_of_success_may_bring_an_answer(status: int) -> None:
    """An answer that came is paid for."""
    assert judge(reply(status, ANSWER)).kind is None


def test_the_tokens_that_an_error_states_are_counted() -> None:
    """Some servers bill the part of an answer that came before the error."""
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert judge(reply(500, json.dumps({"error": "gone", "usage": usage}).encode())).usage == Usage(3, 4, 7)
