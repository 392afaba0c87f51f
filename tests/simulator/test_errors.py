import asyncio
from email.utils import parsedate_to_datetime

import orjson
import pytest

from batchrun.simulator.errors import SHAPES, Problem, check_retry_after, render, retry_headers

PROBLEM = Problem(429, "Slow <down>", "rate_limit_error", code="rate_limit_exceeded")


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        (
            "openai",
            {
                "error": {
                    "message": "Slow <down>",
                    "type": "rate_limit_error",
                    "param": None,
                    "code": "rate_limit_exceeded",
                }
            },
        ),
        ("string", {"error": "Slow <down>"}),
        ("detail", {"detail": "Slow <down>"}),
        ("message", {"message": "Slow <down>"}),
    ],
)
def test_an_error_takes_each_json_shape(shape, body):
    """The same problem has the form that is set."""
    rendered, content_type = render(PROBLEM, shape)
    assert orjson.loads(rendered) == body
    assert content_type == "application/json"


def test_an_error_is_plain_text_or_a_page():
    """These shapes have their own content type; the page escapes the message."""
    assert render(PROBLEM, "text") == (b"Slow <down>", "text/plain")
    page, content_type = render(PROBLEM, "html")
    assert b"<h1>429 Too Many Requests</h1>" in page
    assert b"Slow &lt;down&gt;" in page
    assert content_type == "text/html"


def test_a_gateway_keeps_its_own_shape():
    """A 502 is an HTML page for every shape of the endpoint's own errors."""
    page, _ = render(Problem(522, "", shape="html"), "openai")
    assert b"522 Connection timed out" in page


def test_a_server_uses_the_shape_that_is_set(connect):
    """The setting `error_shape` changes what is sent."""

    async def scenario():
        async with connect() as client:
            for shape in SHAPES:
                client.server.change(error_shape=shape)
                reply = await client.ask("[[simulate: 503]]")
                assert (reply.status, reply.body) == (503, render_503(shape))

    asyncio.run(scenario())


def render_503(shape):
    message = "The engine is currently overloaded, please try again later"
    return render(Problem(503, message, "overloaded_error"), shape)[0]


@pytest.mark.parametrize(
    ("text", "wait_s", "headers"),
    [
        ("2", None, {"Retry-After": "2"}),
        ("ms:1500", None, {"retry-after-ms": "1500"}),
        ("date:5", None, {"Retry-After": "Thu, 01 Jan 1970 00:00:15 GMT"}),
        ("auto", 1.2, {"Retry-After": "2"}),
        ("auto", None, {}),
    ],
)
def test_a_retry_after_takes_each_form(text, wait_s, headers):
    """Seconds, milliseconds, a date, or the wait that the limit computes."""
    assert retry_headers(check_retry_after(text), now_s=10.0, wait_s=wait_s) == headers


@pytest.mark.parametrize("text", ["", "soon", "-1", "1.5", "date:", "min:2", "²"])
def test_a_retry_after_of_unknown_form_is_refused(text):
    """A setting that cannot become a header is refused at the start."""
    with pytest.raises(ValueError, match="must be seconds"):
        check_retry_after(text)


def test_a_marker_overrides_the_setting_and_the_setting_the_default(connect):
    """A reply has one Retry-After: the most specific one."""

    async def scenario():
        waits = {"503": "7", "429_parallel": "ms:200", "500": "date:30"}
        async with connect(retry_after=waits) as client:

            async def headers(marker):
                return (await client.ask(f"[[simulate: {marker}]]")).headers

            assert (await headers("503"))["Retry-After"] == "7"
            assert (await headers("503_capacity"))["Retry-After"] == "7"
            assert (await headers("503 retry-after=1"))["Retry-After"] == "1"
            assert (await headers("429_parallel"))["retry-after-ms"] == "200"
            assert parsedate_to_datetime((await headers("500"))["Retry-After"])
            assert "Retry-After" not in await headers("429")
            client.server.change(retry_after={})
            assert (await headers("429_parallel"))["Retry-After"] == "60"
            assert (await headers("503_capacity"))["Retry-After"] == "1"

    asyncio.run(scenario())
