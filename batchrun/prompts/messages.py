"""Messages that a row brings: OpenAI's form, ShareGPT's, and what may stand next to them. Pure."""

from collections.abc import Iterator
from typing import Any

from batchrun.prompts.values import RowProblem, from_json, kind_of, plain
from batchrun.records import Row

NEXT_TO_MESSAGES: dict[str, tuple[type, ...]] = {
    "tools": (list,),
    "tool_choice": (str, dict),
    "parallel_tool_calls": (bool,),
    "response_format": (dict,),
    "functions": (list,),
    "function_call": (str, dict),
}
"""Keys of a body that rows have as columns next to `messages`, and their types. Source: OpenAI's format of files for
fine-tuning, and its reference of chat completions."""

_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
}
"""Who speaks in a ShareGPT conversation → role. Source: the data sets of this form on the Hugging Face Hub."""


def messages_column(columns: dict[str, Any]) -> str | None:
    """Return the column that holds a row's messages; None where no column does.

    These are `messages`, else TRL's `prompt` that is a list, else ShareGPT's `conversations` where there is no prompt.
    """
    if columns.get("messages") is not None:
        return "messages"
    if "prompt" in columns:
        return "prompt" if columns["prompt"].__class__ is list else None
    return "conversations" if _is_conversation(columns.get("conversations")) else None


def brought_messages(columns: dict[str, Any], row: Row) -> list[Any]:
    """Return the messages of a row that has a column of them; raises `RowProblem`."""
    column = messages_column(columns) or "messages"
    value = columns[column]
    if column == "conversations":
        value = _of_sharegpt(from_json(value, column) if isinstance(value, str) else value)
    return checked_messages(value, row, column)


def checked_messages(value: Any, row: Row, column: str = "messages") -> list[Any]:
    """Return a copy of messages as they are sent; raises `RowProblem`."""
    has_filled_nulls = row.has_filled_nulls and not isinstance(value, str)
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = from_json(value, column)
    if not isinstance(value, list):
        raise RowProblem(f"{column} is {kind_of(value)}; must be a list of objects, each with a role")
    if not value:
        raise RowProblem(f"{column} is empty")
    for index, message in enumerate(value):
        if not isinstance(message, dict):
            raise RowProblem(f"{column}[{index}] is {kind_of(message)}; must be an object with a role")
        if not isinstance(message.get("role"), str):
            raise RowProblem(f"{column}[{index}] has no role")
    checked: list[Any] = plain(value, has_filled_nulls=has_filled_nulls)
    return checked


def next_to_messages(columns: dict[str, Any], row: Row) -> Iterator[tuple[str, Any]]:
    """Yield the parts of the body that a row has next to its messages. Null and what is empty are not sent."""
    for name, kinds in NEXT_TO_MESSAGES.items():
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


def is_system(message: Any) -> bool:
    """Return whether a message is the system's, under either of its names."""
    return message["role"] in ("system", "developer")


def system_message(content: Any) -> dict[str, str]:
    """Return a system message; raises `RowProblem`."""
    if not isinstance(content, str):
        raise RowProblem(f"system is {kind_of(content)}; must be a string")
    return {"role": "system", "content": content}


def user_message(content: str) -> dict[str, str]:
    """Return a user's message."""
    return {"role": "user", "content": content}


def _is_conversation(value: Any) -> bool:
    """Return whether a value is a ShareGPT conversation, as a list or as its JSON."""
    if isinstance(value, str):
        return value.lstrip().startswith("[{") and '"from"' in value
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "from" in value[0]


def _of_sharegpt(turns: Any) -> Any:
    """Return the turns of a ShareGPT conversation as messages; raises `RowProblem`."""
    if not isinstance(turns, list):
        return turns
    messages = []
    for index, turn in enumerate(turns):
        speaker = turn.get("from") if isinstance(turn, dict) else None
        if speaker not in _ROLES:
            must = f"must have from, one of {', '.join(_ROLES)}"
            raise RowProblem(f"conversations[{index}] is from {speaker}; {must}. Write such rows as messages")
        if not isinstance(text := turn.get("value"), str):
            raise RowProblem(f"conversations[{index}].value is {kind_of(text)}; must be a string")
        messages.append({"role": _ROLES[speaker], "content": text})
    return messages
