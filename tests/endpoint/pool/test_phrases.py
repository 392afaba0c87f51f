"""What the errors of Anthropic and Google mean, as their OpenAI-compatible endpoints send them."""

import json
from typing import Any

import pytest

from batchrun.answers.stream import StreamAssembler
from batchrun.endpoint.pool.replies import judge
from batchrun.records import Reply, Usage

RATE = "This request would exceed your organization's rate limit of 50 requests per minute (org: x, model: claude)."
AGAIN = "Please reduce the prompt length or the maximum tokens requested, or try again later."

ANTHROPIC = [
    (529, "overloaded_error", "Overloaded", "overloaded"),
    (500, "api_error", "Internal server error", "server_error"),
    (504, "timeout_error", "Request timed out", "overloaded"),
    (401, "authentication_error", "invalid x-api-key", "unauthorized"),
    (403, "permission_error", "Your API key does not have permission to use the specified resource.", "forbidden"),
    (400, "invalid_request_error", "This organization has been disabled.", "forbidden"),
    (404, "not_found_error", "model: claude-9", "model_not_found"),
    (402, "billing_error", "There is an issue with your billing or payment information.", "quota_exhausted"),
    (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", "quota_exhausted"),
    (400, "invalid_request_error", "You have reached your specified workspace API usage limits.", "quota_exhausted"),
    (429, "rate_limit_error", "This request would exceed your account's monthly spend limit.", "quota_exhausted"),
    (429, "rate_limit_error", f"{RATE} {AGAIN}", "rate_limited"),
    (429, "rate_limit_error", f"Exceeds 30,000 input tokens per minute. {AGAIN}", "rate_limited"),
    (429, "rate_limit_error", f"Number of concurrent connections has exceeded your rate limit. {AGAIN}", "throttled"),
    (413, "request_too_large", "Request exceeds the maximum size", "too_large"),
    (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", "context_length"),
    (
        400,
        "invalid_request_error",
        "input length and `max_tokens` exceed context limit: 199211 + 20000 > 200000, decrease input length or "
        "`max_tokens` and try again",
        "context_length",
    ),
    (
        400,
        "invalid_request_error",
        "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for claude",
        "bad_request",
    ),
    (400, "invalid_request_error", "`temperature` is deprecated for this model.", "bad_request"),
    (400, "invalid_request_error", "Unable to download the file. Please verify the URL and try again.", "bad_request"),
    (400, "invalid_request_error", "Output blocked by content filtering policy", "content_filter"),
]
"""Status, type, message, kind. Source: its list of errors, and reports of users of its API, 2024–2026."""


@pytest.mark.parametrize("headers", [{}, {"retry-after": "300"}], ids=["", "retry-after"])
@pytest.mark.parametrize(("status", "code", "message", "kind"), ANTHROPIC)
def test_an_error_of_anthropic_means_the_same_in_its_own_shape_and_in_that_of_openai(
    status: int, code: str, message: str, kind: str, headers: dict[str, str]
) -> None:
    """Also where a gateway adds when to come again: a budget of a month is not a rate. A refusal becomes a bad draw."""
    own = {"type": "error", "error": {"type": code, "message": message}, "request_id": "req_011"}
    compatible = {"error": {"code": code, "message": message, "type": code, "param": None}}
    kinds = {judge(Reply(status, headers, json.dumps(body).encode(), 0.1)).kind for body in (own, compatible)}
    assert kinds == {"bad_draw" if headers and kind == "bad_request" and "verify" not in message else kind}


def about(kind: str, **values: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **values}


def quota(name: str) -> dict[str, Any]:
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    return about("QuotaFailure", violations=[{"quotaMetric": metric, "quotaId": name, "quotaValue": "10"}])


QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
REASON = about("ErrorInfo", reason="API_KEY_INVALID", domain="googleapis.com")

GOOGLE: list[tuple[int, str, str, list[Any], str]] = [
    (
        429,
        "RESOURCE_EXHAUSTED",
        f"{QUOTA}\nPlease retry in 33.2s.",
        [quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), about("RetryInfo", retryDelay="33s")],
        "rate_limited",
    ),
    (429, "RESOURCE_EXHAUSTED", QUOTA, [quota("GenerateContentInputTokensPerModelPerMinute")], "rate_limited"),
    (429, "RESOURCE_EXHAUSTED", QUOTA, [], "quota_exhausted"),
    (429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", [], "quota_exhausted"),
    (429, "RESOURCE_EXHAUSTED", "Your project has exceeded its monthly spending cap.", [], "quota_exhausted"),
    (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", [], "throttled"),
    (429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later.", [], "throttled"),
    (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", [], "overloaded"),
    (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", [], "overloaded"),
    (500, "INTERNAL", "An internal error has occurred. Please retry or report it.", [], "server_error"),
    (499, "CANCELLED", "The operation was cancelled.", [], "server_error"),
    (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [REASON], "unauthorized"),
    (400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.", [], "unauthorized"),
    (400, "INVALID_ARGUMENT", "Missing or invalid Authorization header.", [], "unauthorized"),
    (403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key.", [], "unauthorized"),
    (
        403,
        "PERMISSION_DENIED",
        "Generative Language API has not been used in project 1 before or it is disabled. Enable it, then retry. If "
        "you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
        [about("ErrorInfo", reason="SERVICE_DISABLED")],
        "forbidden",
    ),
    (400, "FAILED_PRECONDITION", "User location is not supported for the API use.", [], "forbidden"),
    (400, "FAILED_PRECONDITION", "Gemini API free tier is not available in your country.", [], "forbidden"),
    (404, "NOT_FOUND", "models/gemini-9 is not found for API version v1main.", [], "model_not_found"),
    (400, "INVALID_ARGUMENT", "* GenerateContentRequest.model: unexpected model name format", [], "model_not_found"),
    (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1234567) exceeds the maximum number of tokens allowed (1048576).",
        [],
        "context_length",
    ),
    (
        400,
        "INVALID_ARGUMENT",
        'Invalid JSON payload received. Unknown name "top_q": Cannot find field.',
        [about("BadRequest", fieldViolations=[{"description": 'Unknown name "top_q": Cannot find field.'}])],
        "bad_request",
    ),
    (400, "INVALID_ARGUMENT", "Request contains an invalid argument.", [], "bad_request"),
]
"""Status, its name, message, details, kind. Source: its list of errors, and reports of users of its API, 2023–2026."""


@pytest.mark.parametrize(("status", "name", "message", "details", "kind"), GOOGLE)
def test_an_error_of_google_means_the_same_in_a_list_as_alone(
    status: int, name: str, message: str, details: list[Any], kind: str
) -> None:
    """Its compatible endpoint sends a list with one error; gateways send the error, or its text inside another."""
    error = {"error": {"code": status, "message": message, "status": name, "details": details}}
    inside = {"error": {"message": json.dumps(error, indent=2), "code": status, "status": "Bad Request"}}
    bodies = [json.dumps(body, indent=2).encode() for body in ([error], error, inside)]
    assert {judge(Reply(status, {}, body, 0.1)).kind for body in bodies} == {kind}
    assert all(message.split("\n")[0] in judge(Reply(status, {}, body, 0.1)).message for body in bodies)


def test_an_answer_of_google_without_choices_is_asked_for_again_and_its_prompt_was_paid() -> None:
    """Seen where the model thought until its tokens were used up, and where the prompt was blocked."""
    usage = {"prompt_tokens": 1396, "completion_tokens": 0, "total_tokens": 1396}
    for answer in ({"choices": None}, {}):
        body = json.dumps({"object": "chat.completion", "model": "gemini", "usage": usage} | answer).encode()
        verdict = judge(Reply(200, {}, body, 0.1))
        assert (verdict.kind, verdict.usage) == ("bad_reply", Usage(1396, 0, 1396))


def test_an_answer_without_usage_is_an_answer_whose_tokens_are_not_known() -> None:
    """A count that is left out because it is 0 is not guessed either."""
    choices = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}]
    for usage, known in ((None, Usage()), ({}, Usage()), ({"prompt_tokens": 3, "total_tokens": 7}, Usage(3, 4, 7))):
        verdict = judge(Reply(200, {}, json.dumps({"choices": choices, "usage": usage}).encode(), 0.1))
        assert (verdict.kind, verdict.usage) == (None, known)


def test_an_error_in_the_middle_of_a_stream_of_anthropic_is_the_servers() -> None:
    """The status was 200 already; what came before it was let in, so it is not a rejection."""
    stream = StreamAssembler()
    piece = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Half"}}]}
    stream.feed(b"data: %s\n\n" % json.dumps(piece).encode())
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    stream.feed(b"event: error\ndata: %s\n\n" % json.dumps(error).encode())
    assert judge(Reply(200, {}, stream.result(), 0.1)).kind == "server_error"
