"""What a job asks with each row: its user template, or its list of messages as templates. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from batchrun.job.prompt import PromptTemplates
from batchrun.prompts.messages import brought_messages, checked_messages, user_message
from batchrun.prompts.template import Template
from batchrun.prompts.values import RowProblem
from batchrun.records import Row

EXAMPLES = "examples"
"""`{{ examples }}` in the place of a message stands for the examples of the job."""

_NAMES = ("role", "type")
"""Keys of a message and its parts whose values are names, not texts."""

Render = Callable[[dict[str, Any]], Any]


class Conversation:
    """The templates of a job that make the messages of a row."""

    def __init__(self, setting: str, templates: Sequence[Template], columns: Collection[str] = ()) -> None:
        """Take the templates; `columns` are read too. `conversation_of` makes one of a job."""
        self.setting = setting
        """What people know it by: `prompt.user` or `prompt.messages`."""
        self.templates = list(templates)
        self._columns = frozenset(columns)

    @property
    def columns(self) -> frozenset[str] | None:
        """Every column that may be read; None when a template may read any."""
        read = [template.columns for template in self.templates]
        return None if None in read else self._columns.union(*(each for each in read if each is not None))

    def missing(self, columns: Collection[str]) -> list[str]:
        """Return the columns that are needed and that are not among these, as far as the texts show."""
        needed = {name for template in self.templates for name in template.missing(columns)}
        return sorted(needed | {name for name in self._columns if name not in columns})

    def messages(self, row: Row, examples: Sequence[Any]) -> list[Any]:
        """Return the messages for a row; raises `RowProblem` or `TemplateProblem`.

        Args:
            row: with columns.
            examples: messages to put where the conversation names them.
        """
        raise NotImplementedError

    def asking(self, row: Row) -> list[Any]:
        """Return the messages that ask: without those before the place of the examples, if the conversation has one."""
        return self.messages(row, ())

    @property
    def places_examples(self) -> bool:
        """Whether the conversation says where examples go."""
        return False

    @property
    def continues_rows(self) -> bool:
        """Whether messages of the rows stand in it, with what may stand next to them."""
        return bool(self._columns)


class _UserMessage(Conversation):
    """One user's message."""

    def __init__(self, text: str) -> None:
        template = Template(text, "prompt.user")
        super().__init__(template.setting, [template])
        self._render = template.render

    def messages(self, row: Row, examples: Sequence[Any]) -> list[Any]:
        return [user_message(self._render(row.columns))]  # type: ignore[arg-type]  # the caller has looked


class _Messages(Conversation):
    """A list of messages. A string in it stands for several: a column's, or the examples."""

    def __init__(self, parts: Sequence[Any]) -> None:
        templates: list[Template] = []
        columns: list[str] = []
        self._parts: list[str | Render] = []
        for index, part in enumerate(parts):
            if isinstance(part, str):
                name = part.strip("{} ")
                self._parts.append(name)
                columns += [name] if name != EXAMPLES else []
            else:
                self._parts.append(_compiled(part, f"prompt.messages[{index}]", templates))
        super().__init__("prompt.messages", templates, columns)

    @property
    def places_examples(self) -> bool:
        return EXAMPLES in self._parts

    def asking(self, row: Row) -> list[Any]:
        return self._made(self._parts[self._parts.index(EXAMPLES) :] if self.places_examples else self._parts, row, ())

    def messages(self, row: Row, examples: Sequence[Any]) -> list[Any]:
        return self._made(self._parts, row, examples)

    @staticmethod
    def _made(parts: Sequence[str | Render], row: Row, examples: Sequence[Any]) -> list[Any]:
        columns = row.columns or {}
        made: list[Any] = []
        for part in parts:
            if not isinstance(part, str):
                made.append(part(columns))
            elif part == EXAMPLES:
                made += examples
            else:
                made += _inserted(part, columns, row)
        if not made:
            raise RowProblem("makes no messages of prompt.messages")
        return made


def conversation_of(prompt: PromptTemplates) -> Conversation | None:
    """Return what a job asks with each row; None where the rows bring it. Raises `JobError`."""
    if prompt.messages is not None:
        return _Messages(prompt.messages)
    return _UserMessage(prompt.user) if prompt.user else None


def _inserted(name: str, columns: dict[str, Any], row: Row) -> list[Any]:
    """Return the messages of a column; none where it is null or empty, or absent from this row."""
    value = columns.get(name)
    if value in (None, "", []):
        return []
    if name == "conversations":
        return brought_messages({name: value}, row)
    return checked_messages(value, row, name)


def _compiled(value: Any, setting: str, templates: list[Template]) -> Render:
    """Return what renders a value: each text in it is a template, which is added to `templates`."""
    if isinstance(value, str):
        template = Template(value, setting)
        templates.append(template)
        return template.render
    if isinstance(value, Mapping):
        parts = {
            key: _constant(each) if key in _NAMES else _compiled(each, setting, templates)
            for key, each in value.items()
        }
        return lambda columns: {key: render(columns) for key, render in parts.items()}
    if isinstance(value, list | tuple):
        renders = [_compiled(each, setting, templates) for each in value]
        return lambda columns: [render(columns) for render in renders]
    return _constant(value)


def _constant(value: Any) -> Render:
    return lambda _columns: value
