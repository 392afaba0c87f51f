"""Which kind each error of a real server is."""

import json
from typing import Any

import pytest

from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS, ROW_KINDS
from batchrun.records import Reply, Usage

QUOTA = "You exceeded your current quota, please check your plan and billing details"
PERSONAL = "W&B Inference isn't available for personal accounts. Please switch to a non-personal account"
OPENAI_RPM = (
    "Rate limit reached for gpt-5 in organization org-x on requests per min (RPM): Limit 3, Used 3. Please try again "
    "in 20s. Visit https://platform.openai.com/account/rate-limits to learn more. You can increase your rate limit by "
    "adding a payment method to your account at https://platform.openai.com/account/billing."
)
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"


def openai(message: str, code: Any = None, kind: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, 0.1)


WANDB = [
    (401, "Authentication failed", "unauthorized"),
    (401, "Invalid Authentication", "unauthorized"),
    (402, QUOTA, "quota_exhausted"),
    (403, "Country, region, or territory not supported", "forbidden"),
    (403, "inference gateway is not enabled for your organization", "forbidden"),
    (404, "model not found", "model_not_found"),
    (429, "Concurrency limit reached for requests", "throttled"),
    (429, QUOTA, "quota_exhausted"),
    (429, PERSONAL, "account_unsupported"),
    (500, "The server had an error while processing your request", "server_error"),
    (503, "The engine is currently overloaded, please try again later", "overloaded"),
]
"""The errors that W&B documents: both generations."""

OTHERS = [
    (429, OPENAI_RPM, "rate_limited"),
    (429, "Rate limit reached for gpt-5 on tokens per min (TPM): Limit 30000, Requested 40000", "too_large"),
    (429, "Rate limit reached on tokens per min (TPM): Limit 30000, Used 29000, Requested 4000", "rate_limited"),
    (429, "At most 6 parallel calls: limit: 6, requested: 7 tokens of work", "throttled"),
    (429, "limit 50, requested 51 in this hour", "throttled"),
    (429, "5 calls per minute: limit 5, requested 6", "rate_limited"),
    (429, "input size: limit 500, requested 600", "too_large"),
    (429, "litellm.RateLimitError: Model rate limit exceeded. RPM limit=5, current usage=7", "rate_limited"),
    (429, "Rate limit exceeded for api_key: 88. Limit type: requests. Current limit: 5, Remaining: 0", "rate_limited"),
    (429, "Rate limit exceeded for api_key: 88. Limit type: tokens. Current limit: 5", "rate_limited"),
    (429, "Rate limit exceeded for api_key: 88. Limit type: max_parallel_requests", "throttled"),
    (429, "Deployment has all max_parallel_requests slots in use", "throttled"),
    (429, "Too many requests in flight", "throttled"),
    (429, "Too many simultaneous requests", "throttled"),
    (429, "slow down", "throttled"),
    (429, "Rate limit exceeded for free tier: 20 per minute, upgrade for more", "rate_limited"),
    (429, "Your account has been temporarily suspended for 10 seconds: too many requests", "rate_limited"),
    (400, "parallel_tool_calls must be false. Please fix and try again", "bad_request"),
    (409, "parallel tool calls conflict", "server_error"),
    (403, "parallel tool calls are not allowed for your plan", "forbidden"),
    (403, "Rate limits of your organization do not include this model", "forbidden"),
    (429, "Rate limit exceeded", "throttled"),
    (429, "Rate limit exceeded, please retry after 12 seconds", "throttled"),  # this row waits 12 s
    (429, "Quota exceeded, please retry after 12 seconds", "rate_limited"),
    (429, "Rate limit exceeded for concurrent requests, retry after 60 seconds", "throttled"),
    (429, f"{QUOTA}. Quota exceeded for requests. Please retry in 2.5s.", "rate_limited"),
    (429, "Too Many Requests, come back and try again in 6m0s", "throttled"),
    (429, "Your account is in arrears", "quota_exhausted"),
    (429, "Monthly spend limit reached", "quota_exhausted"),
    (429, "您的账户已欠费，请充值后重试", "quota_exhausted"),
    (400, "Your credit balance is too low to access the API", "quota_exhausted"),
    (403, "Insufficient account balance", "quota_exhausted"),
    (400, "Incorrect API key provided: sk-x", "unauthorized"),
    (400, "API key not valid. Please pass a valid API key.", "unauthorized"),
    (400, "Model Not Exist", "model_not_found"),
    (400, "acme/foo-1 is not a valid model ID", "model_not_found"),
    (400, "The model `foo` has been decommissioned", "model_not_found"),
    (400, "Failed to generate JSON. Please try again.", "bad_draw"),
    (400, "The prompt is bad; please try again with a better prompt", "bad_request"),
    (400, "The backend hiccuped. Try again in a moment.", "bad_draw"),
    (400, "no worker took the request, retry later", "bad_draw"),
    (422, "The tool is temporarily out of order", "bad_draw"),
    (400, "a transient fault of the parser", "bad_draw"),
    (400, "Shorten the list of tools and try again.", "bad_request"),
    (400, "this cannot work; do not retry", "bad_request"),
    (400, "retry once the file is uploaded", "bad_request"),
    (400, "this deployment takes at most 4096 tokens and got 5000", "context_length"),
    (400, "the sequence has 9000 elements, which is more than n_ctx = 4096", "context_length"),
    (422, "input length 70000 is larger than the window of 65536", "context_length"),
    (400, "a prompt of 40000 tokens is above the limit: 32768", "context_length"),
    (400, "Please reduce the length of your conversation", "context_length"),
    (400, "输入的长度超过了 4096", "context_length"),
    (400, "max_tokens = 9000 is more than the maximum of 4096 tokens", "bad_request"),
    (400, "at most 4096 completion tokens can be written, not 9000", "bad_request"),
    (400, "logprobs must be at most 20, not 100 tokens", "bad_request"),
    (400, "The guardrail of this project refused the text", "content_filter"),
    (400, "this text violates the terms of use", "content_filter"),
    (400, "content exists risk", "content_filter"),
    (400, "内容违规", "content_filter"),
    (400, "Range of input length should be [1, 6000]", "context_length"),
    (400, "prompt exceeds max length", "context_length"),
    (400, "requested tokens exceed the maximum of 4096", "context_length"),
    (403, "Your prompt was flagged by moderation", "content_filter"),
    (429, "Crossed TPM / RPM / Max Parallel Request Limit. Hit RPM Limit. current rpm: 6", "rate_limited"),
    (429, "ExceededBudget: User=u over budget. Spend=2, Budget=1", "quota_exhausted"),
    (422, "Budget has been exceeded! Current cost: 2.0, Max budget: 1.0", "quota_exhausted"),
    (400, "Budget has been exceeded! Current cost: 2.0, Max budget: 1.0", "quota_exhausted"),
    (400, "thinking.budget_tokens must be less than max_tokens", "bad_request"),
    (400, "litellm.BadRequestError: LLM Provider NOT provided. Pass in the LLM provider", "model_not_found"),
    (400, "Authentication Error, Invalid proxy server token passed", "unauthorized"),
    (400, "/chat/completions: Invalid model name passed in model=nope.", "model_not_found"),
    (400, "litellm.BadRequestError: You passed in model=nope. There are no healthy deployments", "model_not_found"),
    (400, "The model `nope` does not exist", "model_not_found"),
    (400, "Server is pinned to tiny", "model_not_found"),
    (400, "No connected db.", "unauthorized"),
    (400, "/chat/completions: Missing required parameter: 'messages'.", "bad_request"),
    (400, "This model's maximum context length is 4096 tokens", "context_length"),
    (400, "litellm.ContextWindowExceededError: too long", "context_length"),
    (413, "the prompt is too long", "context_length"),
    (400, "The response was filtered due to the content management policy", "content_filter"),
    (422, "Unexpected fields in the request: {'foo'}", "bad_request"),
    (500, "No api key passed in.", "unauthorized"),
    (500, "temperature must be a number", "server_error"),
    (500, "1 validation error:\n  {'type': 'float_parsing', 'loc': ('body', 'temperature'), 'msg': …}", "bad_request"),
    (500, "1 validation error for Answer", "server_error"),
    (500, "request (5000 tokens) exceeds the available context size (4096 tokens)", "context_length"),
    (500, "context shift is disabled", "context_length"),
    (500, "the request took too long", "server_error"),
    (400, "You have reached your specified API usage limits. You will regain access on 2026-12-01", "quota_exhausted"),
    (403, "Key limit exceeded (monthly limit)", "quota_exhausted"),
    (412, "Account x is suspended, possibly due to reaching the monthly spending limit", "quota_exhausted"),
    (403, "Sorry, your account balance is insufficient", "quota_exhausted"),
    (403, "not enough balance", "quota_exhausted"),
    (403, "The free tier of the model has been exhausted", "quota_exhausted"),
    (403, "Your team has run out of prepaid credits", "quota_exhausted"),
    (429, "Your account has exceeded its monthly quota.", "quota_exhausted"),
    (429, "You are using a Trial key, which is limited to 1000 API calls / month", "quota_exhausted"),
    (429, "you have used up your daily free allocation of 10,000 neurons, please upgrade", "quota_exhausted"),
    (429, "You are being rate limited", "rate_limited"),
    (412, "The file has changed", "bad_request"),
    (400, "Server is busy, please retry later", "throttled"),
    (400, "the shop in your text is too busy", "bad_request"),
    (400, "rate_limit must be a number", "bad_request"),
    (403, "API rate limit exceeded. Please wait a few minutes before you try again.", "throttled"),
    (403, "Rate limit exceeded: 20 requests per minute", "rate_limited"),
    (409, "too many requests in queue", "throttled"),
    (424, "too many concurrent requests", "throttled"),
    (423, "Model m is currently loading", "overloaded"),
    (498, "Flex tier capacity exceeded. Please try again later.", "overloaded"),
    (499, "The operation was cancelled.", "server_error"),
    (421, "Misdirected Request", "server_error"),
    (456, "try again later", "overloaded"),
    (456, "no such thing", "bad_request"),
    (417, "try again later", "bad_request"),
    (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, try again", "context_length"),
    (500, "the input length exceeds the context length", "context_length"),
    (422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000", "context_length"),
    (400, "Length of prompt_ids (9000) exceeds max_seq_len (8192)", "context_length"),
    (422, "prompt of 9000 tokens does not fit in 8192", "context_length"),
    (400, "Total tokens of image and text exceed max message tokens", "context_length"),
    (400, "输入的 Prompt 过长，请缩短后重试", "context_length"),
    (400, "Decrease the number of images and try again", "bad_request"),
    (400, "The request failed because the input text may contain sensitive information", "content_filter"),
    (400, "Prompt rejected by Llama Guard: unsafe S1", "content_filter"),
    (503, "Worker at capacity: 5 in-flight, 1 queued requests. Retry later.", "throttled"),
    (503, "Service at capacity", "overloaded"),
]
"""Messages that other servers were seen to send."""


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
