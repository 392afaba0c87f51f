"""The headers and the query that an endpoint wants of each request; secret values stay in the environment. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from batchrun.job.settings import SettingError, header_text, table

_HEADER_NAME = re.compile(r"[A-Za-z0-9._-]+")
"""Narrower than RFC 9110, 5.6.2: nothing that a shell would read in the command that `show --curl` prints."""

_OURS = frozenset(
    (
        *("host", "content-type", "content-length", "transfer-encoding", "connection", "expect"),
        *("accept", "accept-encoding", "user-agent"),
    )
)
"""Headers of the connection and of the client itself."""

_OTHER_SETTING = {"openai-project": "project"}
"""Headers that have a setting of their own."""

_SECRET_PARTS = frozenset(
    ("authorization", "auth", "key", "apikey", "token", "secret", "cookie", "password", "credential", "signature")
)
"""Words between the dashes of a header's name that mark its value as secret."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_HIDDEN = "…"
"""Stands in a message for a value that may be a secret."""

Headers = dict[str, str | dict[str, str]]
"""Name → the value, or `{"env": VARIABLE}` where the value is secret."""


def stated_headers(value: Any) -> Headers:
    """Accept a table of headers: a text, or the name of the variable with a secret one."""
    return {_name(name): _value(name, each) for name, each in table(value).items()}


def stated_query(value: Any) -> dict[str, str]:
    """Accept a table of texts and numbers that are added to each URL."""
    return {_parameter(name, each): str(each) for name, each in table(value).items()}


def secret_headers(headers: Mapping[str, str | Mapping[str, str]]) -> dict[str, str]:
    """Return the secret ones of some headers: name → environment variable with the value."""
    return {name: value["env"] for name, value in headers.items() if not isinstance(value, str)}


def plain_headers(headers: Mapping[str, str | Mapping[str, str]]) -> dict[str, str]:
    """Return the headers whose value is not secret."""
    return {name: value for name, value in headers.items() if isinstance(value, str)}


def _name(name: Any) -> str:
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        raise SettingError(f'"{name}"', _HIDDEN, "must have the name of an HTTP header, such as X-Title")
    if name.lower() in _OURS:
        raise SettingError(f'"{name}"', _HIDDEN, "cannot be set: this header is made for each request")
    if (own := _OTHER_SETTING.get(name.lower())) is not None:
        raise SettingError(f'"{name}"', _HIDDEN, f"cannot be set: use {own}")
    return name


def _value(name: str, value: Any) -> str | dict[str, str]:
    if isinstance(value, Mapping):
        variable = value.get("env")
        if set(value) != {"env"} or not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            must = 'must be a text, or {env = "VARIABLE"} with the name of the variable that holds the value'
            raise SettingError(f'"{name}"', _HIDDEN, must)
        return {"env": variable}
    if _is_secret(name):
        must = 'must be {env = "VARIABLE"}, the name of the variable that holds it: a job holds no secrets'
        raise SettingError(f'"{name}"', _HIDDEN, must)
    try:
        return header_text(value)
    except ValueError as problem:
        raise SettingError(f'"{name}"', value, str(problem)) from None


def _parameter(name: Any, value: Any) -> str:
    if not isinstance(name, str) or not name:
        raise SettingError(f'"{name}"', _HIDDEN, "must have a name")
    if _is_secret(name):
        must = f'cannot be set: a URL does not hide a secret; use headers = {{"{name}" = {{env = "VARIABLE"}}}}'
        raise SettingError(f'"{name}"', _HIDDEN, must)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise SettingError(f'"{name}"', value, "must be a text or a number")
    return name


def _is_secret(name: str) -> bool:
    return not _SECRET_PARTS.isdisjoint(re.split(r"[-_.]", name.lower()))
