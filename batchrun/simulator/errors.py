"""Errors of the simulated endpoint, in each of the shapes that real servers use."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

import orjson

SHAPES = ("openai", "string", "detail", "message", "text", "html")

# Statuses that Cloudflare added, with its titles; http.HTTPStatus does not have them.
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
    """An error reply before it has a shape: status, message and details.

    `shape` is set for replies of a gateway; for others the setting `error_shape` decides.
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
    """Raised when a request gets a `Problem` instead of an answer."""

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
        self.retry_after = retry_after  # for this reply only; overrides all settings
        self.wait_s = wait_s  # the wait that the exceeded limit computed


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> RejectedError:
    """Return a 400 in OpenAI's form, to be raised."""
    return RejectedError(Problem(400, message, param=param, code=code))


def status_title(status: int) -> str:
    """Return the name of a status as gateways show it on their pages."""
    return _GATEWAY_TITLES.get(status) or HTTPStatus(status).phrase


def render(problem: Problem, shape: str) -> tuple[bytes, str]:
    """Return the body and the content type of an error in one of `SHAPES`."""
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
    """Return the text of a retry-after setting if it is valid: `2`, `date:2`, `ms:1500` or `auto`.

    Raises:
        ValueError: it is not valid.
    """
    kind, _, amount = text.rpartition(":")
    if text == "auto" or (kind in ("", "date", "ms") and amount.isascii() and amount.isdigit()):
        return text
    raise ValueError(f"must be seconds, date:SECONDS, ms:MILLISECONDS or auto, not {text!r}")


def retry_headers(text: str, *, now_s: float, wait_s: float | None = None) -> dict[str, str]:
    """Return the header that a retry-after setting asks for.

    Args:
        text: as `check_retry_after` accepts it.
        now_s: wall clock time, for dates.
        wait_s: the wait that the limit computed, for `auto`; None if it has none.
    """
    if text == "auto":
        return {} if wait_s is None else {"Retry-After": str(math.ceil(wait_s))}
    kind, _, amount = text.rpartition(":")
    if kind == "ms":
        return {"retry-after-ms": amount}
    if kind == "date":
        return {"Retry-After": formatdate(now_s + int(amount), usegmt=True)}
    return {"Retry-After": amount}
