"""From a row to its request."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

RequestKind = Literal["chat", "completions", "responses", "embeddings", "rerank", "score"]
"""What a request asks for: each kind has its own path at an endpoint, and its own shapes of body and reply."""

PATHS: Mapping[RequestKind, str] = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
    "rerank": "/rerank",
    "score": "/score",
}
"""The path of each kind that can be asked, after the base URL. Source: OpenAI's reference; of the last two, vLLM's."""


class Row(NamedTuple):
    """One input row as it was read: its columns, or why it has none."""

    number: int
    """Number of the row in the whole input, from 0."""
    columns: dict[str, Any] | None
    """Column name to value; None when the row is broken."""
    source: str
    """File and line, for people: `prompts.jsonl:17`."""
    problem: str | None = None
    """What is wrong with the row; None when nothing is. With columns: a value in one of them is not JSON or not UTF-8,
    so the row can be used only as far as that value is not."""
    folder: str = ""
    """Folder of the input file. Relative paths in the row start there; empty: the current directory."""
    has_filled_nulls: bool = False
    """Whether a null in an object may stand for a key that is absent, as in Parquet; in JSON it is a null."""
    line: bytes = b""
    """The line of JSON that the row was read from, if it may be a batch line; else empty. UTF-8."""


class Attachment(NamedTuple):
    """One image or file of a prompt, sent as data. It enters the body last: no other step has to look through it."""

    name: str
    """A hash of the file. It takes the file's place in `messages` and in the input of the `request_key`."""
    data: bytes
    """What is sent: a data URL, or base64."""


class Prompt(NamedTuple):
    """One input row after recognition: what to ask, its label, and its own parameters."""

    row: int
    custom_id: str | None
    """The row's label; None: the row number is the label."""
    body: dict[str, Any]
    """What the row asks, such as `messages`, and the parts of the request body that the row itself sets."""
    attachments: tuple[Attachment, ...] = ()
    without: frozenset[str] = frozenset()
    """Parameters of the job that the row takes away: those that are null in its `params`."""
    kind: RequestKind = "chat"
    """What is asked for."""
    line: bytes = b""
    """The batch line that the row is, as it was read; else empty. Its body is sent as it stands there where it asks
    just what the request asks."""


class Request(NamedTuple):
    """One prompt rendered to one body, for one model and sample. Ends in exactly one outcome."""

    row: int
    model: str
    sample: int
    """From 0."""
    key: bytes
    """`request_key`: 16 bytes, the hash of what is sent."""
    body: bytes
    """The JSON that is sent. Its first key is `model`, unless it stands so in a batch line."""
    custom_id: str | None
    kind: RequestKind = "chat"
    """What is asked for."""
    members: "tuple[Request, ...]" = ()
    """Of a bundle, the requests that travel in it, two at least. Each ends in its own outcome, the bundle in none."""

    @property
    def rows(self) -> "tuple[Request, ...]":
        """The requests that its reply is for: itself, unless it is a bundle."""
        return self.members or (self,)


class PackedRow(NamedTuple):
    """An input row on its way to the worker that makes its request for a model and sample."""

    row: int
    model: str
    sample: int
    """From 0."""
    packed: bytes
    """The row as it was read, and maybe some that were read with it: these have the same bytes."""
    size: int
    """Its part of them."""

    @property
    def rows(self) -> "tuple[PackedRow]":
        """What its reply is for; see `Request.rows`."""
        return (self,)


class BadRow(NamedTuple):
    """An input row that cannot become a request, once per model and sample. Ends as a failure; nothing is sent."""

    row: int
    model: str
    """Empty when neither job nor row names one."""
    sample: int
    """From 0."""
    key: bytes
    """16 bytes, the hash of label and message: a row that changes is read again."""
    custom_id: str | None
    message: str
    """File, line and what is wrong there."""
