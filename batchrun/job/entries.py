"""The settings of one section, as a job file or a flag states them, made into the section.

Every message names the place, the key, the value and the cure.
"""

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from batchrun.errors import JobError
from batchrun.job.settings import Section, SettingError, key_of
from batchrun.job.suggestions import misplaced_in_model, nearest_setting

Entries = dict[str, tuple[str, Any]]
"""Key → (where it was set, its value)."""

_ALIASES = {("model", "name"): "names"}

BODY_KEYS = (
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "response_format",
    "functions",
    "function_call",
    "tool_choice",
    "chat_template_kwargs",
    "cache_salt",
    "max_completion_tokens",
    "reasoning_effort",
    "parallel_tool_calls",
)
"""Keys of the body that are not settings of `[model]`; used to recognise a misspelt one.

Source: the documentation of W&B Inference, OpenAI's reference."""

_TYPO = 0.86
"""How similar an unknown key must be to a known one to count as a misspelling.

`temprature` is one of `temperature` (0.95); `top_k` is not one of `top_p` (0.8)."""

_OURS = {
    "messages": "they are made from the prompts",
    "n": "use model.num_samples",
    "stream_options": "use model.stream",
    "model": "use model.names",
}

S = TypeVar("S", bound=Section)


def entries_of(table: Mapping[str, Any], section: str, where: str) -> Entries:
    """Return the settings that a table of the job file has.

    Args:
        table: of the section.
        section: its name in the job file.
        where: the job file, in messages.
    """
    return {key: (f"{where}: {section}.{key}", value) for key, value in table.items()}


def section_of(kind: type[S], section: str, entries: Entries, where: str) -> S:
    """Make one section.

    Args:
        kind: of the section.
        section: its name in the job file.
        entries: its settings.
        where: the job file, in messages.

    Raises:
        JobError: a setting is unknown, or has a wrong value.
    """
    names = {key_of(each): each.name for each in fields(kind)}  # type: ignore[arg-type]  # sections are dataclasses
    arguments: dict[str, Any] = {}
    origins: dict[str, str] = {}
    extra_body: dict[str, Any] = {}
    for key, (origin, value) in entries.items():
        name = _ALIASES.get((section, key), key)
        if name == "extra_body" and section == "model" and isinstance(value, dict):
            extra_body |= value
        elif name in names:
            if names[name] in arguments:
                raise JobError(f"{origin}: both name and names are set; keep one of them")
            arguments[names[name]] = value
            origins[name] = origin
        elif section == "model":
            _check_body_key(key, names, origin)
            extra_body[key] = value
        else:
            raise JobError(f"{origin} is unknown{nearest_setting(_kind_of(section), key, names)}")
    for key in extra_body:
        if key in names:
            raise JobError(f"{where}: model.extra_body.{key} cannot be set: it is a setting of [model]; set it there")
    if extra_body:
        arguments["extra_body"] = extra_body
    try:
        return kind(**arguments)
    except SettingError as problem:
        origin = origins.get(problem.key, f"{where}: {section}.{problem.key}")
        raise JobError(f"{origin} = {shown_value(problem.value)}; {problem.must}") from None


def _check_body_key(key: str, names: Mapping[str, str], origin: str) -> None:
    if key in _OURS:
        raise JobError(f"{origin} cannot be set: {_OURS[key]}")
    escape = "to send this key unchanged, put it under [model.extra_body]"
    if hint := misplaced_in_model(key):
        raise JobError(f"{origin} is unknown{hint} ({escape})")
    close = difflib.get_close_matches(key, [*names, *BODY_KEYS, "name"], n=1, cutoff=_TYPO)
    if close and close[0] != key:
        raise JobError(f"{origin} is unknown; did you mean {close[0]}? ({escape})")


def _kind_of(section: str) -> str:
    """Return the section that has the settings of another: each of `[endpoints]` has those of `[endpoint]`."""
    return "endpoint" if section.startswith("endpoints.") else section


def shown_value(value: Any) -> str:
    """Return a value about as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
