"""Row → Prompt: which of the four forms it has, its label, its parameters. Pure."""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any, Literal

from batchrun.job.sections import Job
from batchrun.prompts.template import Template
from batchrun.prompts.values import RowProblem, from_json, kind_of, plain, sound
from batchrun.records import Prompt, Row

Form = Literal["batch", "messages", "template", "prompt"]

_NEXT_TO_MESSAGES: dict[str, tuple[type, ...]] = {
    "tools": (list,),
    "tool_choice": (str, dict),
    "parallel_tool_calls": (bool,),
    "response_format": (dict,),
    "functions": (list,),
    "function_call": (str, dict),
}
"""Keys of a body that rows have as columns next to `messages`, and their types. Source: OpenAI's format of files for
fine-tuning, and its reference of chat completions."""

COLUMNS = ("custom_id", "method", "url", "body", "messages", "prompt", "system", "params", "id", *_NEXT_TO_MESSAGES)
"""Columns that mean something whatever the job says."""

_PARAMETERS = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "stop", "seed", "n", "logit_bias"}
    | {"logprobs", "top_logprobs", "frequency_penalty", "presence_penalty", "repetition_penalty", "reasoning_effort"}
    | {"extra_body", "guided_json", "service_tier"}
)
"""Other keys of a body that people may take a column for. Source: OpenAI's reference, vLLM's extra parameters."""

_BATCH_URL = "/chat/completions"


class RowForms:
    """Makes prompts of rows, as the job asks."""

    def __init__(self, job: Job) -> None:
        """Compile the job's templates; raises `JobError`."""
        self.user = Template(job.prompt.user, "prompt.user") if job.prompt.user else None
        self.system = Template(job.prompt.system, "prompt.system") if job.prompt.system else None
        labels = (job.input.id, "custom_id", "id")
        self.labels = tuple(name for name in labels if name is not None)
        """Columns that may have the label of a row, the first one first."""
        self._images = job.prompt.images
        self.replaces_system = "prompt.system" in job.by_flag
        """Whether the system message is a flag's, which takes the place of the rows' own."""

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
        own = (*COLUMNS, *self.labels, *filter(None, [self._images]))
        return frozenset(own).union(*(columns for columns in read if columns is not None))

    def unsent(self, names: Iterable[str], forms: set[Form | None]) -> list[str]:
        """Return the columns that look like a part of the request, but are not sent with rows of these forms."""
        looks = _PARAMETERS if forms <= {"messages"} else _PARAMETERS | set(_NEXT_TO_MESSAGES)
        looks |= {"model"} if not forms <= {"template"} else {"system"}
        read = [template.columns for template in self.templates]
        if forms <= {"batch"} or None in read:
            return []
        return [name for name in names if name in looks and not any(name in (columns or ()) for columns in read)]

    def label(self, columns: dict[str, Any]) -> str | None:
        """Return the row's label for people; None stands for its number."""
        for name in self.labels:
            value = columns.get(name)
            if value is not None and value != "":
                return value if value.__class__ is str else _as_text(value)
        return None

    def label_of(self, row: Row) -> str | None:
        """Return the label of a row, also of one whose values are not all UTF-8."""
        columns = row.columns or {}
        if row.problem is None:
            return self.label(columns)
        try:
            return self.label({name: sound(columns.get(name)) for name in self.labels})
        except RecursionError:
            return None

    def form(self, columns: dict[str, Any]) -> Form | None:
        """Return the form of a row; None when it has none. The first that fits, in this order.

        A template is stated by the user, the other forms are recognised: so a template is used for every row.
        """
        return "template" if self.user is not None else _recognised(columns)

    def hides_messages(self, columns: dict[str, Any]) -> bool:
        """Return whether the template is used instead of messages that the row has and the template does not read."""
        if self.user is None or _recognised(columns) not in ("batch", "messages"):
            return False
        return self.user.columns is not None and not self.user.columns & {"messages", "body"}

    def own_messages(self, columns: dict[str, Any]) -> list[Any]:
        """Return the messages that a row has and that are sent; empty where it has none, or they are not valid."""
        try:
            if (form := self.form(columns)) == "messages":
                return _checked_messages(columns["messages"], Row(0, columns, ""))
            body = _object(columns["body"], "body", Row(0, columns, "")) if form == "batch" else {}
            return _checked_messages(body.get("messages"), Row(0, columns, ""))
        except (RowProblem, RecursionError):
            return []

    def has_system(self, columns: dict[str, Any]) -> bool:
        """Return whether a row has a system message of its own."""
        if self.form(columns) in ("messages", "prompt") and columns.get("system"):
            return True
        return any(map(_is_system, self.own_messages(columns)))

    def prompt(self, row: Row) -> Prompt:
        """Return what a row asks; raises `RowProblem` or `TemplateProblem`."""
        columns = row.columns
        if columns is None:
            raise RowProblem(row.problem or "is broken")
        form = self.form(columns)
        if form == "template":
            user = self.user.render(columns)  # type: ignore[union-attr]  # the form says so
            body: dict[str, Any] = {"messages": self._with_system([_user(user)], columns)}
        elif form == "batch":
            body = _batch_body(columns, row)
            body["messages"] = self._with_system(body["messages"], columns)
        elif form == "messages":
            body = {"messages": self._own_messages(columns, row)} | dict(_next_to_messages(columns, row))
        elif form == "prompt":
            body = {"messages": self._own_prompt(columns)}
        else:
            raise RowProblem("has no messages and no prompt, and the job has no template")
        if form == "batch" or columns.get("params") is None:
            return Prompt(row.number, self.label_of(row), body)
        params = _params(columns["params"], row)
        without = frozenset(name for name, value in params.items() if value is None)
        if without:  # of a part that stands next to messages too
            body = {name: value for name, value in body.items() if name not in without}
            params = {name: value for name, value in params.items() if value is not None}
        return Prompt(row.number, self.label_of(row), body | params, without=without)

    def _with_system(self, messages: list[Any], columns: dict[str, Any]) -> list[Any]:
        """Return messages with the job's system message first; a flag's takes the place of the row's, no other does."""
        if self.system is None or (not self.replaces_system and any(map(_is_system, messages))):
            return messages
        own = sum(1 for _ in takewhile(_is_system, messages))
        return [{"role": "system", "content": self.system.render(columns)}, *messages[own:]]

    def _own_messages(self, columns: dict[str, Any], row: Row) -> list[Any]:
        messages = _checked_messages(columns["messages"], row)
        if (system := columns.get("system")) and not any(map(_is_system, messages)):
            messages = [_system(system), *messages]
        return self._with_system(messages, columns)

    def _own_prompt(self, columns: dict[str, Any]) -> list[Any]:
        prompt, system = columns["prompt"], columns.get("system")
        if not isinstance(prompt, str):
            raise RowProblem(f"prompt is {kind_of(prompt)}; must be a string")
        return self._with_system([_user(prompt)] if system is None else [_system(system), _user(prompt)], columns)


def _as_text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.hex()  # not a text, but perhaps the bytes of a UUID
    try:
        return str(value)
    except RecursionError:  # a list of lists of lists of …: its row's number is the better label
        return None


def _system(content: Any) -> dict[str, str]:
    if not isinstance(content, str):
        raise RowProblem(f"system is {kind_of(content)}; must be a string")
    return {"role": "system", "content": content}


def _is_system(message: Any) -> bool:
    return message["role"] in ("system", "developer")


def _user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def _recognised(columns: dict[str, Any]) -> Form | None:
    """Return the form of a row without regard to the job's template; None when it has none."""
    if "body" in columns and "custom_id" in columns and _is_batch_line(columns):
        return "batch"
    if columns.get("messages") is not None:
        return "messages"
    return "prompt" if "prompt" in columns else None


def _is_batch_line(columns: dict[str, Any]) -> bool:
    # A table may well have a column `body`, of mails say: only an object is a request, or what has all four keys.
    return isinstance(columns["body"], dict) or ("method" in columns and "url" in columns)


def _batch_body(columns: dict[str, Any], row: Row) -> dict[str, Any]:
    body, method, url = columns["body"], columns.get("method"), columns.get("url")
    if method is not None and str(method).upper() != "POST":
        raise RowProblem(f"method is {method}; must be POST")
    if url is not None and not str(url).rstrip("/").endswith(_BATCH_URL):
        raise RowProblem(f"url is {url}; only …{_BATCH_URL} can be run")
    body = _object(body, "body", row)
    messages = body.pop("messages", None)
    return {"messages": _checked_messages(messages, row._replace(has_filled_nulls=False))} | _overrides(body)


def _next_to_messages(columns: dict[str, Any], row: Row) -> Iterator[tuple[str, Any]]:
    """Yield the parts of the body that a row has next to its messages. Null and what is empty are not sent."""
    for name, kinds in _NEXT_TO_MESSAGES.items():
        value = columns.get(name)
        if value is None or value == "":
            continue
        has_filled_nulls = row.has_filled_nulls and not isinstance(value, str)
        if isinstance(value, str) and (str not in kinds or value.lstrip().startswith("{")):
            value = from_json(value, name)
        if not isinstance(value, kinds):
            known = " or ".join(kind_of(kind()) for kind in kinds)
            raise RowProblem(
                f"{name} is {kind_of(value)}; must be {known}. If it is not a part of the request, rename it"
            )
        if isinstance(value, list) and not all(isinstance(each, dict) for each in value):
            raise RowProblem(f"{name} must be a list of objects. If it is not a part of the request, rename it")
        if value not in ([], {}):
            yield name, plain(value, has_filled_nulls=has_filled_nulls)


def _params(value: Any, row: Row) -> dict[str, Any]:
    if value == "":
        return {}  # an empty field of CSV
    params = _object(value, "params", row)
    for key in ("model", "messages"):
        if key in params:
            raise RowProblem(f"params has {key}, which params cannot set")
    return _overrides(params)


def _object(value: Any, name: str, row: Row) -> dict[str, Any]:
    """Return a copy of an object, which CSV and Parquet may hold as JSON text."""
    has_filled_nulls = row.has_filled_nulls and not isinstance(value, str)
    if isinstance(value, str):
        value = from_json(value, name)
    if not isinstance(value, dict):
        raise RowProblem(f"{name} is {kind_of(value)}; must be an object")
    copy: dict[str, Any] = plain(value, has_filled_nulls=has_filled_nulls)
    return copy


def _overrides(body: dict[str, Any]) -> dict[str, Any]:
    """Return what a row says of the body, without what is the run's to say: how often, and how it travels."""
    if body.pop("n", 1) not in (1, None):
        raise RowProblem("asks for n answers; use num_samples, each gets an output row")
    body.pop("stream", None)
    body.pop("stream_options", None)
    return body


def _checked_messages(value: Any, row: Row) -> list[Any]:
    has_filled_nulls = row.has_filled_nulls and not isinstance(value, str)
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = from_json(value, "messages")
    if not isinstance(value, list):
        raise RowProblem(f"messages is {kind_of(value)}; must be a list of objects, each with a role")
    if not value:
        raise RowProblem("messages is empty")
    for index, message in enumerate(value):
        if not isinstance(message, dict):
            raise RowProblem(f"messages[{index}] is {kind_of(message)}; must be an object with a role")
        if not isinstance(message.get("role"), str):
            raise RowProblem(f"messages[{index}] has no role")
    checked: list[Any] = plain(value, has_filled_nulls=has_filled_nulls)
    return checked
