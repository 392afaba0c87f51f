"""What users should know about the rows of an input, and what messages advise: only what was tried on them."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from batchrun.errors import JobError
from batchrun.prompts.input.conversion import BOM, command_line, renaming
from batchrun.prompts.input.diagnosis import delimiter
from batchrun.prompts.input.endings import separator
from batchrun.prompts.rows import Form, RowForms
from batchrun.prompts.template import Template, TemplateProblem, as_template
from batchrun.prompts.values import RowProblem
from batchrun.records import Row

_QUESTIONS = ("question", "instruction", "query", "text", "input", "problem", "content", "document", "review", "title")
"""Names of columns that are often asked, for the choice between several that could be."""

Columns = Mapping[str, Any]


class _Conversion(NamedTuple):
    """Rows of another tool, and how they become rows of ours."""

    what: str
    is_this: Callable[[Columns], bool]
    jq: str
    converted: Callable[[Columns], dict[str, Any]]
    """The same as `jq`, to try it."""


def _of_anthropic(row: Columns) -> dict[str, Any]:
    body = dict(row["params"])
    if not body.keys() <= {"model", "messages", "max_tokens", "temperature", "top_p", "stream"}:
        raise KeyError
    if not all(isinstance(message["content"], str) for message in body["messages"]):
        raise KeyError
    return {"custom_id": row["custom_id"], "body": body}


def _of_sharegpt(row: Columns) -> dict[str, Any]:
    roles = {"human": "user", "gpt": "assistant", "system": "system"}
    return {"messages": [{"role": roles[each["from"]], "content": each["value"]} for each in row["conversations"]]}


_CONVERSIONS = (
    _Conversion(
        "batch lines of Anthropic, not of OpenAI",
        lambda row: isinstance(row.get("params"), dict) and isinstance(row["params"].get("messages"), list),
        "{custom_id, body: .params}",
        _of_anthropic,
    ),
    _Conversion(
        "batch lines of Google, not of OpenAI",
        lambda row: isinstance(row.get("request"), dict) and "contents" in row["request"],
        "",
        dict,
    ),
    _Conversion(
        "conversations of from and value, not messages of role and content",
        lambda row: isinstance(row.get("conversations"), list) and "from" in (row["conversations"] or [{}])[0],
        '{messages: [.conversations[] | {role: {human: "user", gpt: "assistant", system: "system"}[.from], '
        "content: .value}]}",
        _of_sharegpt,
    ),
)


def other_form(rows: Sequence[Columns], forms: RowForms, path: str | None) -> str | None:
    """Return what rows are that another tool wrote, and the command that converts them if it works on all of these.

    Args:
        rows: some rows, at least one.
        forms: recognises rows.
        path: the file of JSON Lines that they are from; None for other files, which no command is known for.
    """
    for conversion in _CONVERSIONS:
        if all(map(conversion.is_this, rows)):
            what = f"holds {conversion.what}"
            if path is None or not conversion.jq or not all(_converts(row, conversion, forms) for row in rows):
                return what
            return f"{what}; convert them: {command_line(f'jq -c {shlex.quote(conversion.jq)}', path, '.jsonl')}"
    return None


def _converts(row: Columns, conversion: _Conversion, forms: RowForms) -> bool:
    try:
        forms.prompt(Row(0, conversion.converted(row), ""))
    except (RowProblem, KeyError, TypeError):
        return False
    return True


def template_flag(rows: Sequence[Columns], names: Sequence[str], labels: Sequence[str]) -> str:
    """Return the cure for rows without a prompt: the flag with a template of a column that could be asked.

    Without such a column there is no cure, and the text is empty.
    """
    best = best_column(rows, names, labels) or _only_column(rows, names, labels)
    return "" if best is None else f"; name what to ask: -t {shlex.quote(as_template(best))}"


def best_column(rows: Sequence[Columns], names: Sequence[str], labels: Sequence[str]) -> str | None:
    """Return a column with texts or numbers in most rows, and different ones; None where there is none.

    Of several one with texts, of these the one with the best name, else with the longest texts.
    """
    usable = {name: values for name in names if name not in labels and (values := _asked_values(rows, name))}
    place = {name: _QUESTIONS.index(name) if name in _QUESTIONS else len(_QUESTIONS) for name in usable}
    numbers = {name: all(_NUMBER.fullmatch(str(value)) for value in values) for name, values in usable.items()}
    chars = {name: sum(len(str(value)) for value in values) for name, values in usable.items()}
    return min(usable, key=lambda name: (numbers[name], place[name], -chars[name]), default=None)


def _only_column(rows: Sequence[Columns], names: Sequence[str], labels: Sequence[str]) -> str | None:
    """Return the only column that is not a label, if it has texts, though perhaps not in every row."""
    named = [name for name in names if name not in labels]
    texts = [row[name] for row in rows for name in named if isinstance(row.get(name), str) and row[name].strip()]
    return named[0] if len(named) == 1 and texts else None


def _asked_values(rows: Sequence[Columns], name: str) -> list[Any]:
    """Return the values of a column that are not empty, if a template could ask them; else nothing."""
    filled = [row for row in rows if not _is_empty(row.get(name))]
    values = [row[name] for row in filled]
    if not all(isinstance(value, str | int | float) for value in values) or 2 * len(filled) < len(rows):
        return []
    if len(values) > 1 and len(set(values)) == 1:
        return []
    template = Template(as_template(name), "prompt.user")
    try:
        is_as_it_is = all(template.render(dict(row)) == str(row[name]) for row in filled)
    except TemplateProblem:
        return []
    return values if is_as_it_is else []


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def header_advice(
    names: Sequence[str] | None, rows: Sequence[Columns], *, needed: Sequence[str], head: bytes, path: str
) -> str:
    """Return the cure for CSV without a header; empty where the first line does not look like a row.

    Args:
        names: the columns, as the first line names them; None where no row has as many fields.
        rows: some rows.
        needed: the columns that the job names and that are not there, those to ask first.
        head: the first bytes, unpacked.
        path: the file, for commands.
    """
    is_prompt = list(needed) == ["prompt"]
    what = "is a prompt" if is_prompt else f"is a prompt, which a template reads as {as_template('prompt')}"
    text = f" If each line {what}{renaming(path, '.txt')}" if b'"' not in head else ""
    if names is None:
        return f".{text}" if text else ""
    if not any(_is_value(name, rows) for name in names) or names == [str(number) for number in range(len(names))]:
        return ""
    if len(names) == 1 and text and is_prompt:
        return f". If the first line is a prompt, not the name of the column{renaming(path, '.txt')}"
    no_header = ". If the first line is a row, not the names of the columns, write a header"
    if len(needed) != 1 or not _PLAIN_NAME.fullmatch(needed[0]):
        return f"{no_header} with the names of its columns, among them {listed(needed)}"
    longest = max(names, key=lambda name: len(name) + sum(len(str(row.get(name, ""))) for row in rows))
    between = (separator(path) or delimiter(head.split(b"\n", 1)[0].decode("utf-8", "replace"))).replace("\t", "\\t")
    header = between.join(needed[0] if name == longest else f"column{number}" for number, name in enumerate(names, 1))
    rest = "tail -c +4" if head.startswith(BOM) else "cat"
    command = command_line(f"{{ printf '{header}\\n'; {rest}; }}", path)
    return f"{no_header}: {command}"


_NUMBER = re.compile(r"-?\d+(\.\d+)?")

_PLAIN_NAME = re.compile(r"\w+( \w+)*")
"""Names that printf and CSV write as they are."""

_LONGEST_NAME = 60
_MOST_WORDS = 6
"""A header with a longer name is taken for a row: an assumption."""


def _is_value(name: str, rows: Sequence[Columns]) -> bool:
    """Return whether the name of a column looks like a value of it: a number, a sentence, or what rows have there."""
    if len(name) > _LONGEST_NAME or len(name.split()) > _MOST_WORDS or name.rstrip().endswith((".", "?", "!")):
        return True
    return _NUMBER.fullmatch(name) is not None or any(row.get(name) == name for row in rows if name)


def notices(
    forms: RowForms, used: set[Form | None], known: Sequence[str], rows: Sequence[Columns], path: str | None
) -> list[str]:
    """Return what users should know about an input although it can be run.

    Args:
        forms: recognises rows.
        used: the forms of the first rows.
        known: the names of the columns.
        rows: the first rows.
        path: the file of JSON Lines that they are from, for commands; None for other files.
    """
    found = []
    if forms.system is not None and not forms.replaces_system and any(forms.has_system(dict(row)) for row in rows):
        cure = "-s TEXT takes its place"
        found.append(f"rows with a system message of their own are sent with theirs, not with prompt.system; {cure}")
    if (ending := _ending_notice(forms, rows, path)) is not None:
        found.append(ending)
    if unsent := forms.unsent(known, used):
        cure = "what a row sets of its request is read from its column params"
        found.append(f"not sent, although named like a part of the request: {listed(unsent)}; {cure}")
    return found


def _ending_notice(forms: RowForms, rows: Sequence[Columns], path: str | None) -> str | None:
    """Return the note about conversations that end with an assistant's turn."""
    ends = [row for row in rows if (forms.own_messages(dict(row)) or [{}])[-1].get("role") == "assistant"]
    if not ends:
        return None
    count = "rows end" if len(ends) == len(rows) else f"{len(ends)} of the first {len(rows)} rows end"
    where = ".messages" if forms.form(dict(ends[0])) == "messages" else ".body.messages"
    command = f"jq -c 'if {where}[-1].role == \"assistant\" then del({where}[-1]) else . end'"
    cure = "" if path is None else f": {command_line(command, path)}"
    return (
        f"{count} with an assistant's turn, which a model continues or leaves as it is; "
        f"to have the turn before it answered, take it out{cure}"
    )


def template_notices(
    forms: RowForms, known: Sequence[str], rows: Sequence[Columns], *, has_attachments: bool
) -> list[str]:
    """Return what is odd about templates: a column in another tool's way, messages that are not sent.

    Args:
        forms: the job's templates.
        known: the names of the columns.
        rows: the first rows.
        has_attachments: whether rows bring images or files, which differ.

    Raises:
        JobError: a template is the name of a file, or every row would ask the same.
    """
    for template in forms.templates:
        if template.file is not None and not (template is forms.system and forms.replaces_system):
            flag = {"prompt.user": "-t", "prompt.system": "-s"}.get(template.setting)
            by_flag = "" if flag is None else f"give it as a flag, {flag} {shlex.quote(template.file)}, or "
            cure = f"{by_flag}write its text into the job file"
            raise JobError(f"{template.setting}: the text {template.file} would be sent, not that file; {cure}")
    sets_own = any(row.get("params") not in (None, "", {}) for row in rows)
    is_asked = forms.asked is not None and not forms.asked.continues_rows
    reads_none = all(template.columns == frozenset() for template in forms.templates)
    is_constant = is_asked and reads_none and not sets_own and not has_attachments
    found = []
    for template in forms.templates:
        for name in sorted(template.placeholders & set(known)):
            problem = f"{template.setting}: the word {name} is sent, not the column {name}; write {as_template(name)}"
            if is_constant:
                raise JobError(problem)
            found.append(problem)
    is_placeholder = any(template.is_placeholder for template in forms.templates)
    if is_constant and (len(rows) > 1 or is_placeholder):
        raise JobError(_constant_problem(known, rows, forms))
    if any(forms.hides_messages(dict(row)) for row in rows):
        column = next((name for name in ("messages", "body", "prompt") if name in known), "conversations")
        cure = f"a template reads it as {as_template(column)}"
        setting = "prompt.user" if forms.asked is None else forms.asked.setting
        found.append(f"only what {setting} makes of a row is sent, not its column {column}; {cure}")
    return found


def _constant_problem(known: Sequence[str], rows: Sequence[Columns], forms: RowForms) -> str:
    column = "prompt" if "prompt" in known else best_column(rows, known, forms.labels)
    setting = "prompt.user" if forms.asked is None else forms.asked.setting
    example = as_template(column or next(iter(known), "question"))
    return (
        f"{setting} names no column, so every row would ask the same; a column is written {example}. "
        "For several answers to one prompt, give one row and --num-samples"
    )


_NAMES_SHOWN = 30

_PANDAS_INDEX = "__index_level_"
"""How the name of a column begins that holds the index of a data frame. Source: pyarrow's pandas metadata."""


def listed(names: Sequence[str]) -> str:
    """Return names of columns for a message: not all where there are many, and not the index of a data frame."""
    names = [name for name in names if not name.startswith(_PANDAS_INDEX)]
    return ", ".join(names[:_NAMES_SHOWN]) + f" and {len(names) - _NAMES_SHOWN} more" * (len(names) > _NAMES_SHOWN)
