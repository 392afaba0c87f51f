"""Errors as the simulated endpoint words them, in each of the shapes that servers are known to use."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

import orjson

SHAPES = ("openai", "string", "detail", "message", "text", "html")

# Cloudflare's own statuses, with its titles; http.HTTPStatus does not know them.
_GATEWAY_TITLES = {
    520: "Web server is returning an unknown error",
    521: "Web server is down",
    522: "Connection timed out",
    523: "Origin is unreachable",
    524: "A timeout occurred",
    525: "SSL handshake failed",
    526: "Invalid SSL certificate",
    527: "Railgun error",
    528: "Unknown gateway error",
    529: "The site is overloaded",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error reply before it has a shape: what is wrong, and the status that says so.

    `shape` is set for what a gateway answers in its own way; otherwise the setting `error_shape` decides.
    """

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    shape: str | None = None

    def payload(self) -> dict[str, object]:
        """Return the error object in OpenAI's shape."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class RejectedError(Exception):
    """Raised anywhere below the server when a request gets a `Problem` instead of an answer."""

    def __init__(
        self,
        problem: Problem,
        *,
        fault: str = "",
        retry_after: str | None = None,
        wait_s: float | None = None,
    ) -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.fault = fault
        self.retry_after = retry_after  # what this one reply is to say, above all settings
        self.wait_s = wait_s  # how long the limit that refused it knows to wait


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> RejectedError:
    """Return a 400 in OpenAI's wording, ready to be raised."""
    return RejectedError(Problem(400, message, param=param, code=code))


def status_title(status: int) -> str:
    """Return a status' name as gateways write it on their pages."""
    return _GATEWAY_TITLES.get(status) or HTTPStatus(status).phrase


def render(problem: Problem, shape: str) -> tuple[bytes, str]:
    """Return an error's body and content type in one of `SHAPES`."""
    shape = problem.shape or shape
    if shape == "text":
        return problem.message.encode(), "text/plain"
    if shape == "html":
        return _page(problem), "text/html"
    if shape == "string":
        return orjson.dumps({"error": problem.message}), "application/json"
    if shape in ("detail", "message"):
        return orjson.dumps({shape: problem.message}), "application/json"
    return orjson.dumps(problem.payload()), "application/json"


def _page(problem: Problem) -> bytes:
    title = f"{problem.status} {status_title(problem.status)}"
    text = f"<p>{html.escape(problem.message)}</p>\n" if problem.message else ""
    return (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n"
        f"<center><h1>{title}</h1></center>\n{text}<hr><center>nginx</center>\n</body>\n</html>\n"
    ).encode()


def check_retry_after(text: str) -> str:
    """Return the text of a retry-after setting if it is well formed: `2`, `date:2`, `ms:1500` or `auto`.

    Raises:
        ValueError: it is none of these.
    """
    kind, _, amount = text.rpartition(":")
    if text == "auto" or (kind in ("", "date", "ms") and amount.isascii() and amount.isdigit()):
        return text
    raise ValueError(f"must be seconds, date:SECONDS, ms:MILLISECONDS or auto, not {text!r}")


def retry_headers(text: str, *, now_s: float, wait_s: float | None = None) -> dict[str, str]:
    """Return the header that a retry-after setting stands for.

    Args:
        text: as `check_retry_after` accepts it.
        now_s: the wall clock, for dates.
        wait_s: how long the limit itself says to wait, for `auto`; None when it does not know.
    """
    if text == "auto":
        return {} if wait_s is None else {"Retry-After": str(math.ceil(wait_s))}
    kind, _, amount = text.rpartition(":")
    if kind == "ms":
        return {"retry-after-ms": amount}
    if kind == "date":
        return {"Retry-After": formatdate(now_s + int(amount), usegmt=True)}
    return {"Retry-After": amount}
