"""Row → Prompt: which of the four forms it has, its label, its parameters. Pure."""

import math
from typing import Any, Literal, NamedTuple

import orjson

from batchrun.job.sections import Job
from batchrun.prompts.input.digits import exact
from batchrun.prompts.template import Template
from batchrun.records import Prompt, Row

Form = Literal["batch", "messages", "template", "prompt"]

COLUMNS = ("custom_id", "method", "url", "body", "messages", "prompt", "system", "params", "id")
"""Columns that mean something whatever the job says."""

_BATCH_URL = "/chat/completions"


class RowProblem(ValueError):
    """One row cannot be used; the message says why. It ends as a failed row, never as a stopped run."""


class RowForms:
    """Makes prompts of rows, as the job asks."""

    def __init__(self, job: Job) -> None:
        """Compile the job's templates; raises `JobError`."""
        self.user = Template(job.prompt.user, "prompt.user") if job.prompt.user else None
        self.system = Template(job.prompt.system, "prompt.system") if job.prompt.system else None
        labels = (job.input.id, "custom_id", "id")
        self._labels = tuple(name for name in labels if name is not None)
        self._images = job.prompt.images

    @property
    def templates(self) -> list[Template]:
        """The job's templates."""
        return [template for template in (self.system, self.user) if template is not None]

    @property
    def columns(self) -> frozenset[str] | None:
        """Every column that may be read; None when a template may read any."""
        read = [template.columns for template in self.templates]
        if None in read:
            return None
        own = (*COLUMNS, *self._labels, *filter(None, [self._images]))
        return frozenset(own).union(*(columns for columns in read if columns is not None))

    def label(self, columns: dict[str, Any]) -> str | None:
        """Return the row's label for people; None stands for its number."""
        for name in self._labels:
            value = columns.get(name)
            if value is not None and value != "":
                return value if value.__class__ is str else _as_text(value)
        return None

    def form(self, columns: dict[str, Any]) -> Form | None:
        """Return the form of a row; None when it has none. The first that fits, in this order."""
        if "body" in columns and "custom_id" in columns and _is_batch_line(columns):
            return "batch"
        messages = columns.get("messages")
        if messages is not None and (self.user is None or _messages_in(messages) is not None):
            return "messages"
        if self.user is not None:
            return "template"
        return "prompt" if "prompt" in columns else None

    def prompt(self, row: Row) -> Prompt:
        """Return what a row asks; raises `RowProblem` or `TemplateProblem`."""
        columns = row.columns
        if columns is None:
            raise RowProblem(row.problem or "is broken")
        form = self.form(columns)
        if form == "template":
            body = {"messages": self._with_system([_user(self.user.render(columns))], columns)}  # type: ignore[union-attr]  # the form says so
        elif form == "batch":
            body = _batch_body(columns)
        elif form == "messages":
            body = {"messages": self._own_messages(columns)}
        elif form == "prompt":
            body = {"messages": self._own_prompt(columns)}
        else:
            raise RowProblem("has no messages and no prompt, and the job has no template")
        if form != "batch" and columns.get("params") is not None:
            body |= _params(columns["params"])
        return Prompt(row.number, self.label(columns), body)

    def _with_system(self, messages: list[Any], columns: dict[str, Any]) -> list[Any]:
        if self.system is None:
            return messages
        return [{"role": "system", "content": self.system.render(columns)}, *messages]

    def _own_messages(self, columns: dict[str, Any]) -> list[Any]:
        messages = _checked_messages(_messages_in(columns["messages"]), columns["messages"])
        if any(message["role"] in ("system", "developer") for message in messages):
            return messages
        return self._with_system(messages, columns)

    def _own_prompt(self, columns: dict[str, Any]) -> list[Any]:
        prompt, system = columns["prompt"], columns.get("system")
        if not isinstance(prompt, str):
            raise RowProblem(f"prompt is {kind_of(prompt)}; must be a string")
        if system is None:
            return self._with_system([_user(prompt)], columns)
        if not isinstance(system, str):
            raise RowProblem(f"system is {kind_of(system)}; must be a string")
        return [{"role": "system", "content": system}, _user(prompt)]


class _Kind(NamedTuple):
    is_a: tuple[type, ...]
    name: str


_KINDS = (
    _Kind((type(None),), "null"),
    _Kind((bool,), "true or false"),
    _Kind((int, float), "a number"),
    _Kind((str,), "a string"),
    _Kind((list, tuple), "a list"),
    _Kind((dict,), "an object"),
)


def kind_of(value: Any) -> str:
    """Return what people call a value's type."""
    return next((kind.name for kind in _KINDS if isinstance(value, kind.is_a)), f"a {type(value).__name__}")


def plain(value: Any) -> Any:
    """Return a value as it may be sent: without null-valued keys, which Parquet makes of absent ones.

    `content` stays: a null there says that the message is a tool call.

    Raises:
        RowProblem: a number is NaN or infinite, which JSON cannot express.
    """
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if each is not None or key == "content"}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise RowProblem(f"has a parameter that is {value}, which JSON cannot express")
    return value


def _as_text(value: Any) -> str | None:
    try:
        return str(value)
    except RecursionError:  # a list of lists of lists of …: its row's number is the better label
        return None


def _user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def _is_batch_line(columns: dict[str, Any]) -> bool:
    # A table may well have a column `body`, of mails say: only an object is a request, or what has all four keys.
    return isinstance(columns["body"], dict) or ("method" in columns and "url" in columns)


def _batch_body(columns: dict[str, Any]) -> dict[str, Any]:
    body, method, url = columns["body"], columns.get("method"), columns.get("url")
    if method is not None and str(method).upper() != "POST":
        raise RowProblem(f"method is {method}; must be POST")
    if url is not None and not str(url).rstrip("/").endswith(_BATCH_URL):
        raise RowProblem(f"url is {url}; only …{_BATCH_URL} can be run")
    body = _object(body, "body")
    messages = body.pop("messages", None)
    return {"messages": _checked_messages(messages if isinstance(messages, list) else None, messages)} | _overrides(
        body
    )


def _params(value: Any) -> dict[str, Any]:
    if value == "":
        return {}  # an empty field of CSV
    params = _object(value, "params")
    for key in ("model", "messages"):
        if key in params:
            raise RowProblem(f"params has {key}, which params cannot set")
    return _overrides(params)


def _object(value: Any, name: str) -> dict[str, Any]:
    """Return a copy of an object, which CSV and Parquet may hold as JSON text."""
    if isinstance(value, str):
        try:
            value = exact(value)
        except orjson.JSONDecodeError as problem:
            raise RowProblem(f"{name} is not JSON: {problem.msg}") from None
    if not isinstance(value, dict):
        raise RowProblem(f"{name} is {kind_of(value)}; must be an object")
    copy: dict[str, Any] = plain(value)
    return copy


def _overrides(body: dict[str, Any]) -> dict[str, Any]:
    """Return what a row says of the body, without what is the run's to say: how often, and how it travels."""
    if body.pop("n", 1) != 1:
        raise RowProblem("asks for n answers; use num_samples, each gets an output row")
    body.pop("stream", None)
    body.pop("stream_options", None)
    return body


def _messages_in(value: Any) -> list[Any] | None:
    """Return the messages in a column, which CSV holds as JSON text; None when there are none."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = exact(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, list) else None


def _checked_messages(messages: list[Any] | None, value: Any) -> list[Any]:
    if messages is None:
        raise RowProblem(f"messages is {kind_of(value)}; must be a list of objects, each with a role")
    if not messages:
        raise RowProblem("messages is empty")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise RowProblem(f"messages[{index}] is {kind_of(message)}; must be an object with a role")
        if not isinstance(message.get("role"), str):
            raise RowProblem(f"messages[{index}] has no role")
    checked: list[Any] = plain(messages)
    return checked
