"""Which kind each error of a real server is."""

import json
from typing import Any

import pytest
from harness.error_messages import OTHERS, WANDB

from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS, ROW_KINDS
from batchrun.records import Reply, Usage

HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"


def openai(message: str, code: Any = None, kind: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, 0.1)


@pytest.mark.parametrize(("status", "message", "kind"), WANDB + OTHERS)
def test_a_message_means_the_same_in_every_shape(status: int, message: str, kind: str) -> None:
    """Whatever the JSON around it, in upper or lower case, or as plain text: the phrase decides."""
    shapes = [
        openai(message),
        openai(message.upper(), str(status), "throttling_error"),
        json.dumps({"error": message}).encode(),
        json.dumps({"detail": message}).encode(),
        json.dumps({"message": message, "code": status, "object": "error"}).encode(),
        json.dumps({"error": {"detail": message}}).encode(),
        message.encode(),
    ]
    assert {judge(reply(status, shape)).kind for shape in shapes} == {kind}


BY_STATUS = [
    *((status, "model_not_found") for status in (404, 405, 410)),
    *((status, "forbidden") for status in (301, 302, 307, 308, 403, 407, 451)),
    *((status, "bad_request") for status in (400, 406, 415, 418, 422)),
    *((status, "too_large") for status in (413, 414, 431)),
    *((status, "overloaded") for status in (423, 425, 498, 502, 503, 504, *range(520, 528), 529)),
    *((status, "server_error") for status in (409, 421, 424, 449, 460, 499, 500, 501, 508, 599)),
    *((status, "bad_reply") for status in (100, 201, 202, 204, 206, 304)),
    (401, "unauthorized"),
    (402, "quota_exhausted"),
    (408, "timeout"),
    (429, "throttled"),
]


@pytest.mark.parametrize(("status", "kind"), BY_STATUS)
def test_without_a_telling_body_the_status_decides(status: int, kind: str) -> None:
    """A gateway's HTML, an empty body, JSON of any shape: the status decides, and there is a message."""
    for body in (b"", HTML, b"null", b"[]", b"{}", b'"no"', b'{"error": null}', b"\xff\xfe"):
        verdict = judge(reply(status, body))
        assert (verdict.kind, bool(verdict.message)) == (kind, True), body


def test_a_litellm_header_names_the_limit() -> None:
    """`rate_limit_type` names the limit where the message does not."""
    for value, kind in (
        ("max_parallel_requests", "throttled"),
        ("requests", "rate_limited"),
        ("tokens", "rate_limited"),
    ):
        assert judge(Reply(429, {"rate_limit_type": value}, openai("Rate limit exceeded"), 0.1)).kind == kind


def test_a_code_or_type_decides_as_well_as_the_message() -> None:
    """As in llama.cpp's errors, whose code says context length."""
    assert judge(reply(400, openai("no", "context_length_exceeded"))).kind == "context_length"
    assert judge(reply(429, openai("no", "insufficient_quota"))).kind == "quota_exhausted"
    assert judge(reply(401, b'{"detail": "Invalid API key"}'))[:3] == ("unauthorized", "Invalid API key", Usage())


BY_CODE = [
    (400, "context_length_exceeded", "context_length"),
    (413, "exceed_context_size_error", "context_length"),
    (400, "model_max_prompt_tokens_exceeded", "context_length"),
    (413, "tokens_limit_reached", "context_length"),
    (400, "string_above_max_length", "context_length"),
    (400, "input_too_long", "context_length"),
    (400, "content_filter", "content_filter"),
    (422, "data_inspection_failed", "content_filter"),
    (400, "SensitiveContentDetected", "content_filter"),
    (403, "NOT_ENOUGH_BALANCE", "quota_exhausted"),
    (403, "AllocationQuota.FreeTierOnly", "quota_exhausted"),
    (400, "invalid_api_key", "unauthorized"),
    (400, "API_KEY_INVALID", "unauthorized"),
    (422, "model_not_found", "model_not_found"),
    (400, "DeploymentNotFound", "model_not_found"),
    (400, "json_validate_failed", "bad_draw"),
    (429, "billing_not_active", "quota_exhausted"),
    (429, "1113", "quota_exhausted"),
    (429, 1113, "quota_exhausted"),
    (404, "insufficient_balance", "quota_exhausted"),
    (429, "requests", "rate_limited"),
    (429, "GenerateRequestsPerMinutePerProject", "rate_limited"),
]


@pytest.mark.parametrize("status", [400, 406, 408, 409, 424, 425, 500, 501, 502, 503, 529])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("billing_hard_limit_reached", "quota_exhausted"),
        ("insufficient_funds", "quota_exhausted"),
        ("incorrect_api_key", "unauthorized"),
        ("unknown_model", "model_not_found"),
        ("context_window_exceeded", "context_length"),
        ("moderation_blocked", "content_filter"),
        ("missing_required_parameter", "bad_request"),
    ],
)
def test_a_code_that_names_a_refusal_counts_under_every_status_of_an_error(status: int, code: str, kind: str) -> None:
    """Servers behind a gateway lose their status, not their code."""
    assert judge(reply(status, openai("no", code))).kind == kind


@pytest.mark.parametrize(("status", "code", "kind"), BY_CODE)
@pytest.mark.parametrize("words", ["no", "Rate limit exceeded", "Unsupported parameter: model"])
def test_a_code_decides_before_any_words(status: int, code: Any, kind: str, words: str) -> None:
    """Wherever it stands: in the error, in its details, or in the error of the server behind a gateway."""
    bodies = [
        {"error": {"message": words, "code": code}},
        {"error": {"message": words, "type": code}},
        [{"error": {"message": words, "details": [{"reason": code}]}}],
        {"error": {"message": words, "code": status, "innererror": {"code": code}}},
    ]
    assert {judge(reply(status, json.dumps(body).encode())).kind for body in bodies} == {kind}


PARAMETERS = [
    (400, "Unknown parameter: 'safety_identifier'.", "unknown_parameter", "bad_request"),
    (400, "'safety_identifier' must be a string", None, "bad_request"),
    (400, "Request rejected: safety identifier must be at most 64 characters", None, "bad_request"),
    (400, "Invalid value for content_filter_level", None, "bad_request"),
    (400, "Unsupported parameter: 'content_policy'", None, "bad_request"),
    (422, "unknown field `context_window`", None, "bad_request"),
    (400, "Unrecognized request argument supplied: content_filter", None, "bad_request"),
    (400, "Unsupported parameter: 'model' is not found here", "unsupported_parameter", "bad_request"),
    (400, "Unrecognized argument supplied: model_not_found", "unknown_parameter", "bad_request"),
]
REFUSED_CONTENT = [
    (400, "Your request was rejected as a result of our safety system.", None, "content_filter"),
    (400, "The prompt was blocked due to: SAFETY", None, "content_filter"),
    (400, "litellm.ContentPolicyViolationError: no", None, "content_filter"),
    (400, "The response was filtered", "content_filter", "content_filter"),
    (400, "no", "content_policy_violation", "content_filter"),
    (400, "This violates our content policies", None, "content_filter"),
]


@pytest.mark.parametrize(("status", "message", "code", "kind"), PARAMETERS + REFUSED_CONTENT)
def test_a_word_in_the_name_of_a_parameter_is_not_a_reason(status: int, message: str, code: str, kind: str) -> None:
    """The code decides first, then whole phrases: `safety_identifier` does not mean that content was refused."""
    assert judge(reply(status, openai(message, code, "invalid_request_error"))).kind == kind


def test_every_kind_of_the_table_occurs() -> None:
    """No row of the table is unused."""
    kinds = {kind for _, _, kind in WANDB + OTHERS} | {kind for _, kind in BY_STATUS}
    kinds |= {"connection", "invalid_response", "refused"}  # no reply has them: see test_client and test_repair
    assert kinds == set(EFFECTS)
    assert not kinds & set(ROW_KINDS)
