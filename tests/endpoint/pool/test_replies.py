"""Which kind each reply of a real server is."""

import json
from typing import Any

import pytest
from harness.endpoints import ANSWER
from hypothesis import given
from hypothesis import strategies as st

from batchrun.endpoint.pool.reason import read_reason
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.verdicts import EFFECTS, ROW_KINDS
from batchrun.records import Fault, Reply, Usage

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
    (429, "Rate limit exceeded", "throttled"),
    (429, "Rate limit exceeded, please retry after 12 seconds", "throttled"),  # this row waits 12 s
    (429, "Quota exceeded, please retry after 12 seconds", "rate_limited"),
    (429, "Rate limit exceeded for concurrent requests, retry after 60 seconds", "throttled"),
    (429, f"{QUOTA}. Quota exceeded for requests. Please retry in 2.5s.", "rate_limited"),
    (429, "Too Many Requests, come back and try again in 6m0s", "throttled"),
    (429, "Your account is in arrears", "quota_exhausted"),
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
    *((status, "overloaded") for status in (425, 502, 503, 504, *range(520, 528), 529)),
    *((status, "server_error") for status in (409, 424, 500, 501, 508, 599)),
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
    (openai("prompt is too long", 400), "context_length"),
    (openai("broken", 200), "bad_reply"),
]


@pytest.mark.parametrize(("body", "kind"), UNDER_200)
def test_a_200_is_a_completion_only_when_it_is_one(body: bytes, kind: str | None) -> None:
    """An error that a gateway puts under a 200 counts as the error whose code it carries."""
    assert judge(reply(200, body)).kind == kind


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
    [("https://login.example/x?key=1", "login.example"), ("/v2", "another address"), ("http://[", "another address")],
)
def test_a_redirect_is_a_refusal_that_names_the_host_only(location: str, where: str) -> None:
    """Redirects are not followed; the message repeats nothing else of the address."""
    verdict = judge(reply(307, location=location))
    assert verdict.kind == "forbidden"
    assert f"redirects to {where};" in verdict.message
    assert "key=1" not in verdict.message


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


def test_a_completion_comes_with_its_parsed_body() -> None:
    """So that it is parsed once; a reply that is not a completion has none."""
    assert judge(reply(200, ANSWER)).answer == json.loads(ANSWER)
    assert judge(reply(200, b'{"choices": []}')).answer is None
    assert judge(reply(500)).answer is None


def test_every_kind_of_the_table_occurs() -> None:
    """No row of the table is unused."""
    kinds = {kind for _, _, kind in WANDB + OTHERS} | {kind for _, kind in BY_STATUS}
    kinds |= {"connection", "invalid_response", "refused"}  # no reply has them: see test_client and test_repair
    assert kinds == set(EFFECTS)
    assert not kinds & set(ROW_KINDS)


def in_a_choice(finish_reason: str, error: Any = None, **message: Any) -> bytes:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    choice = {"message": message, "finish_reason": finish_reason, "error": error}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (in_a_choice("error", {"code": 502, "message": "gone"}, content="Half of"), "overloaded", "gone"),
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
