"""Row → Prompt: which of the four forms it has, its label, its parameters. Pure."""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any, Literal

from batchrun.job.sections import Job
from batchrun.prompts.conversation import conversation_of
from batchrun.prompts.examples import Examples
from batchrun.prompts.kinds.table import SHAPES
from batchrun.prompts.messages import (
    NEXT_TO_MESSAGES,
    brought_messages,
    checked_messages,
    is_system,
    messages_column,
    next_to_messages,
    system_message,
    user_message,
)
from batchrun.prompts.row_body import batch_body, is_batch_line, kind_of_line, overrides, params_of
from batchrun.prompts.template import Template
from batchrun.prompts.values import RowProblem, kind_of, sound
from batchrun.records import Prompt, RequestKind, Row

Form = Literal["batch", "messages", "template", "prompt"]

COLUMNS = (
    *("custom_id", "method", "url", "body", "messages", "prompt", "conversations", "system", "params", "id"),
    *NEXT_TO_MESSAGES,
)
"""Columns that mean something whatever the job says."""

_PARAMETERS = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "stop", "seed", "n", "logit_bias"}
    | {"logprobs", "top_logprobs", "frequency_penalty", "presence_penalty", "repetition_penalty", "reasoning_effort"}
    | {"extra_body", "guided_json", "service_tier"}
)
"""Other keys of a body that people may take a column for. Source: OpenAI's reference, vLLM's extra parameters."""

_NONE: frozenset[str] = frozenset()

_new = tuple.__new__
"""Makes a record in half the time of its constructor: there are millions of prompts."""


class RowForms:
    """Makes prompts of rows, as the job asks."""

    def __init__(self, job: Job) -> None:
        """Compile the job's templates; raises `JobError`."""
        self.kind = job.model.kind
        """What the job asks, where a row does not name it."""
        self._shape = SHAPES[self.kind]
        self._has_messages = self._shape.has_messages
        self.asked = conversation_of(job.prompt)
        """What the job asks with each row; None where the rows bring it."""
        self.system = Template(job.prompt.system, "prompt.system") if job.prompt.system else None
        labels = (job.input.id, "custom_id", "id")
        self.labels = tuple(name for name in labels if name is not None)
        """Columns that may have the label of a row, the first one first."""
        self._attached = job.prompt.attached
        self.replaces_system = "prompt.system" in job.by_flag
        """Whether the system message is a flag's, which takes the place of the rows' own."""
        self._examples = Examples(job.prompt, self._example) if job.prompt.examples else None

    @property
    def absence(self) -> str:
        """What is wrong with a row that has no form."""
        if self._shape.has_messages:
            return "has no messages and no prompt"
        return "has " + " and ".join(f"no {key}" for key in self._shape.keys)

    def missing(self, columns: Mapping[str, Any]) -> list[str]:
        """Return what a row lacks that no template makes: all but the first of what its kind asks."""
        return [each.key for each in self._shape.asked[1:] if each.column(columns) is None]

    @property
    def templates(self) -> list[Template]:
        """The job's templates."""
        asked = [] if self.asked is None else self.asked.templates
        return asked if self.system is None else [self.system, *asked]

    @property
    def columns(self) -> frozenset[str] | None:
        """Every column that may be read; None when a template may read any."""
        read = [template.columns for template in self.templates]
        if None in read:
            return None
        own = (*COLUMNS, *self.labels, *self._attached, *self._shape.columns)
        return frozenset(own).union(*(columns for columns in read if columns is not None))

    def unsent(self, names: Iterable[str], forms: set[Form | None]) -> list[str]:
        """Return the columns that look like a part of the request, but are not sent with rows of these forms."""
        looks = _PARAMETERS if forms <= {"messages"} else _PARAMETERS | set(NEXT_TO_MESSAGES)
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
        if self.asked is not None:
            return "template"
        if self._has_messages:
            return _recognised(columns)
        if _is_batch(columns):
            return "batch"
        return "prompt" if self._shape.is_in(columns) else None

    def hides_messages(self, columns: dict[str, Any]) -> bool:
        """Return whether the template is used instead of messages that the row has and the template does not read."""
        if self.asked is None or _recognised(columns) not in ("batch", "messages"):
            return False
        return self.asked.columns is not None and not self.asked.columns & {"body", messages_column(columns)}

    def own_messages(self, columns: dict[str, Any]) -> list[Any]:
        """Return the messages that a row has and that are sent; empty where it has none, or they are not valid."""
        try:
            if (form := self.form(columns)) == "messages":
                return brought_messages(columns, Row(0, columns, ""))
            body = batch_body(columns, Row(0, columns, "")) if form == "batch" else {}
            return checked_messages(body.get("messages"), Row(0, columns, ""))
        except (RowProblem, RecursionError):
            return []

    def has_system(self, columns: dict[str, Any]) -> bool:
        """Return whether a row has a system message of its own."""
        if self.form(columns) in ("messages", "prompt") and columns.get("system"):
            return True
        return any(map(is_system, self.own_messages(columns)))

    def prompt(self, row: Row) -> Prompt:
        """Return what a row asks; raises `RowProblem` or `TemplateProblem`."""
        columns = row.columns
        if columns is None:
            raise RowProblem(row.problem or "is broken")
        form = self.form(columns)
        kind, brings_messages = self.kind, self._has_messages
        if form == "batch":
            kind = kind_of_line(columns) or kind
            brings_messages = kind == "chat"
        body = self._body(form, columns, row) if brings_messages else self._asked(kind, form, columns, row)
        if self._examples is not None and brings_messages:
            body["messages"] = self._with_examples(self._examples, body["messages"], row)
        label = self.label(columns) if row.problem is None else self.label_of(row)
        if form == "batch" or columns.get("params") is None:
            line = row.line if form == "batch" else b""
            return _new(Prompt, (row.number, label, body, (), _NONE, kind, line))
        params = params_of(columns["params"], row, SHAPES[kind].keys)
        without = frozenset(name for name, value in params.items() if value is None)
        if without:  # of a part that stands next to messages too
            body = {name: value for name, value in body.items() if name not in without}
            params = {name: value for name, value in params.items() if value is not None}
        return Prompt(row.number, label, body | params, without=without, kind=kind)

    def _body(self, form: Form | None, columns: dict[str, Any], row: Row) -> dict[str, Any]:
        """Return the body of a row without `params` and without examples."""
        if self.asked is not None:
            body: dict[str, Any] = {"messages": self._with_system(self.asked.messages(row, ()), columns)}
            return body | dict(next_to_messages(columns, row)) if self.asked.continues_rows else body
        if form == "batch":
            body = batch_body(columns, row)
            messages = checked_messages(body.pop("messages", None), row._replace(has_filled_nulls=False))
            return {"messages": self._with_system(messages, columns)} | overrides(body)
        if form == "messages":
            return {"messages": self._own_messages(columns, row)} | dict(next_to_messages(columns, row))
        if form == "prompt":
            return {"messages": self._own_prompt(columns)}
        raise RowProblem(f"{self.absence}, and the job has no template")

    def _asked(self, kind: RequestKind, form: Form | None, columns: dict[str, Any], row: Row) -> dict[str, Any]:
        """Return the body of a row of a kind without messages, without `params`."""
        shape = SHAPES[kind]
        if form == "batch":
            body = batch_body(columns, row)
            asked = shape.body(body, row._replace(has_filled_nulls=False))
            asked |= {name: value for name, value in overrides(body).items() if name not in asked}
            is_missing = shape.has_messages and (self.replaces_system or not asked.get("instructions"))
            return asked | {"instructions": self.system.render(columns)} if self.system and is_missing else asked
        if self.asked is not None:
            [message] = self.asked.messages(row, ())
            return shape.body(columns, row, message["content"])
        return shape.body(columns, row)

    def _example(self, row: Row) -> list[Any]:
        """Return what a row asks, as the turns of an example."""
        if self.asked is not None:
            return self.asked.asking(row)
        columns = row.columns or {}
        messages: list[Any] = self._body(self.form(columns), columns, row)["messages"]
        return messages

    def _with_examples(self, examples: Examples, own: list[Any], row: Row) -> list[Any]:
        """Return a row's messages with the examples: where the job's messages name them, else after the system's."""
        if self.asked is not None and self.asked.places_examples:
            turns = examples.before(self.asked.asking(row))
            return self._with_system(self.asked.messages(row, turns), row.columns or {})
        turns = examples.before(own)
        start = sum(1 for _ in takewhile(is_system, own))
        return [*own[:start], *turns, *own[start:]]

    def _with_system(self, messages: list[Any], columns: dict[str, Any]) -> list[Any]:
        """Return messages with the job's system message first; a flag's takes the place of the row's, no other does."""
        if self.system is None or (not self.replaces_system and any(map(is_system, messages))):
            return messages
        own = sum(1 for _ in takewhile(is_system, messages))
        return [system_message(self.system.render(columns)), *messages[own:]]

    def _own_messages(self, columns: dict[str, Any], row: Row) -> list[Any]:
        messages = brought_messages(columns, row)
        if (system := columns.get("system")) and not any(map(is_system, messages)):
            messages = [system_message(system), *messages]
        return self._with_system(messages, columns)

    def _own_prompt(self, columns: dict[str, Any]) -> list[Any]:
        prompt, system = columns["prompt"], columns.get("system")
        if not isinstance(prompt, str):
            raise RowProblem(f"prompt is {kind_of(prompt)}; must be a string")
        return self._with_system(
            [user_message(prompt)] if system is None else [system_message(system), user_message(prompt)], columns
        )


def _as_text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.hex()  # not a text, but perhaps the bytes of a UUID
    try:
        return str(value)
    except (RecursionError, ValueError):  # a list of lists of lists of …, or with bytes: the row's number is better
        return None


def _is_batch(columns: dict[str, Any]) -> bool:
    return "body" in columns and "custom_id" in columns and is_batch_line(columns)


def _recognised(columns: dict[str, Any]) -> Form | None:
    """Return the form of a row without regard to the job's template; None when it has none."""
    if _is_batch(columns):
        return "batch"
    if messages_column(columns) is not None:
        return "messages"
    return "prompt" if "prompt" in columns else None
