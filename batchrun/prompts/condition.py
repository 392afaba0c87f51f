"""The condition of `input.where`: a Jinja expression over the columns of a row, in the sandbox of templates. Pure."""

import re
from collections.abc import Collection
from typing import Any

from jinja2 import Environment, TemplateSyntaxError

from batchrun.errors import JobError
from batchrun.prompts.input.folders import FIRST
from batchrun.prompts.template import ROW, Template, TemplateProblem

SETTING = "input.where"

_TRUE = "1"

_HINTS = (
    (r"\{\{|\{%", "a condition is written without braces: stars > 3"),
    (r"(?<![=!<>])=(?!=)", "two values are compared with =="),
    (r"&&|\bAND\b", "two conditions are joined by and"),
    (r"\|\||\bOR\b", "of two conditions, either is allowed by or"),
    (r"(?i)\bis\s+(not\s+)?null\b", "a missing value is found by `is none`"),
)
"""What people write who think of another language, and how it is written here."""

_WORDS = (
    ("'end of template'", "end of the condition"),
    ("end of template", "end of the condition"),
    ("chunk after expression", "more follows after its end"),
    ("'name'", "a name"),
)
"""What Jinja calls the parts of a template, and what they are of a condition."""

_TEXT_WITH_NUMBER = re.compile(r"'(str|NotText)' and '(int|float)'|'(int|float)' and '(str|NotText)'")

_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")


class Condition:
    """A compiled condition. A row whose value is null or missing where one is needed does not meet it, as in SQL."""

    def __init__(self, text: str) -> None:
        """Compile; raises `JobError` where it is not one expression, or reads no column."""
        try:
            Environment(autoescape=False).compile_expression(text)  # noqa: S701  # only compiled, to see that it is one
        except TemplateSyntaxError as problem:
            raise JobError(f"{SETTING} = {text!r}; {_reason(problem)}{_hint(text)}") from None
        # Set first: Jinja looks for unknown filters in what `if` tests only when it renders.
        self._template = Template(f"{{% set _ = ({text}\n) %}}{{% if _ %}}{_TRUE}{{% endif %}}", SETTING)
        if self._template.columns == frozenset():
            raise JobError(f'{SETTING} = {text!r}; must read a column, such as: stars > 3 and lang == "en"')
        self._first = [name.removeprefix(f"{FIRST}.") for name in self._template.first_columns]

    @property
    def columns(self) -> frozenset[str] | None:
        """Columns that it reads; None when it may read any."""
        return self._template.columns

    def missing(self, columns: Collection[str]) -> list[str]:
        """Return the columns that it needs and that are not among these."""
        return self._template.missing(columns)

    def holds(self, columns: dict[str, Any]) -> bool:
        """Return whether a row meets the condition.

        Raises:
            TemplateProblem: it cannot be evaluated for this row.
        """
        try:
            return self._template.render(columns) == _TRUE
        except TemplateProblem as problem:
            if self._has_null(columns):
                return False
            reason = str(problem).removeprefix(f"{SETTING} cannot be rendered: ")
            cure = "; a text is compared as a number by the filter float: stars | float > 3"
            raise TemplateProblem(
                f"{SETTING} cannot be evaluated: {reason}{cure if _TEXT_WITH_NUMBER.search(reason) else ''}"
            ) from None

    def _has_null(self, columns: dict[str, Any]) -> bool:
        read = self._template.columns
        first = columns.get(FIRST)
        is_null_in_first = isinstance(first, dict) and any(first.get(name) is None for name in self._first)
        return is_null_in_first or any(columns.get(name) is None for name in (read or frozenset()) - {ROW})


def _reason(problem: TemplateSyntaxError) -> str:
    reason = (problem.message or "").rstrip(".")
    for theirs, ours in _WORDS:
        reason = reason.replace(theirs, ours)
    return reason


def _hint(text: str) -> str:
    code = _STRING.sub("''", text)
    return "".join(f"; {hint}" for pattern, hint in _HINTS if re.search(pattern, code))
