"""What a reply carries inside about a server that was full or away counts more than a status that is final."""

import json
from typing import Any

import pytest

from batchrun.endpoint.pool.inner_status import passing_in_words
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Reply

WRAPPED = json.dumps({"error": {"code": 503, "message": "Overloaded. Please try again later."}})


def error(message: str, **more: Any) -> Any:
    return {"error": {"message": message, **more}}


def kind_of(status: int, body: Any, **headers: str) -> str | None:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return judge(Reply(status, names, json.dumps(body).encode(), 0.1)).kind


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (error("Provider returned error", code=400, metadata={"raw": WRAPPED}), "overloaded"),
        (error("no", code=400, type="rate_limit_exceeded"), "throttled"),
        (error("no", errors=[{"reason": "userRateLimitExceeded"}]), "throttled"),
        (error("no", status="RESOURCE_EXHAUSTED"), "throttled"),
        (error("no", status="UNAVAILABLE"), "overloaded"),
        (error("no", code="server_busy"), "throttled"),
        (error("no", type="internal_error", code="internal_server_error"), "server_error"),
        (error("Error in upstream: 429 Too Many Requests"), "throttled"),
        (error("VertexAIException - Server disconnected without sending a response."), "overloaded"),
        (error("Connection aborted: upstream request timeout"), "overloaded"),
    ],
    ids=str,
)
def test_a_limit_or_an_outage_inside_a_refusal_is_judged_as_what_it_is(status: int, body: Any, kind: str) -> None:
    """By numbers and names of codes wherever they stand, and by its words."""
    assert kind_of(status, body) == kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (
            {"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit exceeded(RPM)"}},
            "rate_limited",
        ),
        ({"code": 429, "msg": "Too many requests, please slow down", "data": None}, "throttled"),
        ({"detail": "Too many requests", "status_code": 429}, "throttled"),
        ({"code": 401, "msg": "token expired", "data": None}, "unauthorized"),
        ({"code": 0, "error": {"message": "gone", "status": 502}}, "server_error"),
        (error("Rate limit reached", type="rate_limit_error"), "throttled"),
        (error("Overloaded", type="overloaded_error"), "overloaded"),
        (error("no", type="authentication_error"), "unauthorized"),
        ({"status": "error", "message": "Service Unavailable"}, "overloaded"),
        ({"status": "error", "message": "no such thing"}, "bad_reply"),
        ({"output_text": "too many requests " * 30}, "bad_reply"),
    ],
    ids=str,
)
def test_an_error_with_status_200_is_judged_by_the_status_that_it_states(body: Any, kind: str) -> None:
    """Wherever its code stands, and also where it is a word. A long text may be an answer in another form."""
    assert kind_of(200, body) == kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("no", code="context_length_exceeded", type="server_error"), "context_length"),
        (402, error("no", code=429), "quota_exhausted"),
        (413, error("Request too large for this model", code="rate_limit_exceeded"), "too_large"),
        (400, error("Unknown parameter: too many requests"), "bad_request"),
        (400, error("Connection refused while downloading the image"), "bad_request"),
        (400, error("upstream returned 503 Service Unavailable", code="invalid_image_url"), "bad_request"),
        (400, error("Failed to fetch https://x.example/y.png: 429 Too Many Requests"), "bad_request"),
        (400, error("the tier is unavailable in your region"), "bad_request"),
        (400, error("no", code=404), "bad_request"),
        (400, error("no", source="server", scope="internal"), "bad_request"),
        (403, {"error": "Gone", "status": "locked"}, "forbidden"),
        (500, error("no", code=503), "server_error"),
        (500, error("no", code=429), "throttled"),
    ],
    ids=str,
)
def test_what_is_named_for_the_row_or_the_account_stays_final(status: int, body: Any, kind: str) -> None:
    """And a final status inside changes nothing."""
    assert kind_of(status, body) == kind


@pytest.mark.parametrize("text", ["connection ", "server timed ", "too many ", "rate limit ", "[ "])
def test_a_long_text_is_read_in_a_moment(text: str) -> None:
    """All other rows wait meanwhile. A search that is quadratic in the length took 17 s."""
    assert passing_in_words(400, text * (20_000 // len(text))) == 400


@pytest.mark.parametrize("word", ["Provider", "checkpoint", "fixture", "corrections", "changelog"])
def test_a_word_that_begins_like_an_order_is_none(word: str) -> None:
    """Only who must change something before another attempt makes a refusal final."""
    assert kind_of(400, error(f"{word}: no. Please try again")) == "bad_draw"
    assert kind_of(400, error("Provide a prompt and try again")) == "bad_request"
