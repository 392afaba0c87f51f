"""`[prompt]`: what the job asks with each row."""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchrun.job.field_types import OptionalTables, OptionalTurns
from batchrun.job.settings import Section, SettingError, refuse_path, setting, text, whole

_COLUMN = re.compile(r"\{\{\s*[^\W\d]\w*\s*\}\}")
"""A string in the place of a message: the column, or `examples`, that it stands for."""

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
"""Source: OpenAI's reference of chat completions. Templates of open models know others."""

_TYPO = 0.6
"""How similar a role must be to one of these to count as misspelt: `usr` is (0.86); `model` and `ipython` are not."""

_MOST_EXAMPLES = 10_000
"""They are kept with the job: a training set of today's benchmarks fits."""


def _conversation(value: Any) -> tuple[Any, ...]:
    """Accept a list of messages, with `{{ column }}` for several."""
    if not isinstance(value, list | tuple) or not value:
        raise ValueError('must be a list of messages such as {role = "user", content = "{{ question }}"}')
    for number, each in enumerate(value):
        if isinstance(each, str):
            if not _COLUMN.fullmatch(each.strip()):
                raise ValueError(f'must have {{role = "user", content = …}}, or "{{{{ messages }}}}", at [{number}]')
        elif not isinstance(each, Mapping) or not isinstance(each.get("role"), str) or not each["role"]:
            raise ValueError(f"must have a role in the message at [{number}]")
        elif meant := meant_role(each["role"]):
            raise ValueError(f'must have another role than "{each["role"]}" in the message at [{number}]: {meant}?')
    return tuple(each.strip() if isinstance(each, str) else dict(each) for each in value)


def meant_role(role: str) -> str | None:
    """Return the role that a misspelt one was meant to be; None for a right one, and for one of a kind of its own."""
    close = difflib.get_close_matches(role.lower(), _ROLES, n=1, cutoff=_TYPO)
    return close[0] if close and role not in _ROLES else None


def _examples(value: Any) -> tuple[dict[str, Any], ...]:
    """Accept a list of rows."""
    refuse_path(value)
    if not isinstance(value, list | tuple) or not value or not all(isinstance(each, Mapping) for each in value):
        raise ValueError("must be a file of JSON Lines, or a list of tables with the columns of the rows and an answer")
    if len(value) > _MOST_EXAMPLES:
        raise ValueError(f"must be at most {_MOST_EXAMPLES:,} examples; these are {len(value):,}")
    return tuple(dict(each) for each in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplates(Section):
    """`[prompt]`: Jinja2 templates, filled with the columns of a row."""

    system: str | None = setting(None, "template of the system message", text)
    user: str | None = setting(None, "template of the user message", text)
    messages: OptionalTurns = setting(
        None,
        "templates of all messages, instead of `user`; the string `{{ messages }}` stands for the row's own",
        _conversation,
    )
    examples: OptionalTables = setting(
        None, "solved rows that are sent before each row as earlier turns: a file of JSON Lines, or tables", _examples
    )
    num_examples: int | None = setting(None, "how many of them are sent with a row", whole(1), shown="all")
    example_seed: int | None = setting(
        None, "draw them at random for each row, with this seed", whole(0), shown="the first ones, for every row"
    )
    example_answer: str | None = setting(None, "template of the answer of an example", text, shown="`{{ answer }}`")
    images: str | None = setting(
        None, "column of images to send with the text: a URL, a path or bytes, or a list of these", text
    )
    files: str | None = setting(
        None, "column of PDF files, sounds, videos or images to send with the text, in the same ways", text
    )

    def texts(self) -> dict[str, str]:
        """Return the templates for people: what each makes → its text."""
        several = {"Messages": self.messages, "Examples": self.examples}
        made = {"System message": self.system, "User message": self.user}
        return {name: text for name, text in made.items() if text} | {
            name: json.dumps(each, indent=2, ensure_ascii=False) for name, each in several.items() if each
        }

    @property
    def attached(self) -> tuple[str, ...]:
        """The columns whose images and files are sent."""
        return tuple(filter(None, (self.images, self.files)))

    @property
    def system_message(self) -> str | None:
        """The template of the system message: the setting of its own, else the first of `messages`."""
        first = (self.messages or ("",))[0]
        is_system = isinstance(first, dict) and first["role"] == "system" and isinstance(first.get("content"), str)
        return self.system or (first["content"] if is_system else None)

    def __post_init__(self) -> None:
        super(PromptTemplates, self).__post_init__()
        if self.messages is not None and self.user is not None:
            raise SettingError("messages", "…", "and user are both set; keep one of them")
        alone = ("num_examples", "example_seed", "example_answer")
        if stray := next((name for name in alone if not self.examples and getattr(self, name) is not None), None):
            raise SettingError(stray, getattr(self, stray), "needs examples, which are not set")
        if self.examples and (self.num_examples or 0) > len(self.examples):
            must = f"must be at most the number of examples, {len(self.examples):,}"
            raise SettingError("num_examples", self.num_examples, must)
