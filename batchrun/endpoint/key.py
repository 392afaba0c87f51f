"""Finds the key where the user keeps it, and wraps it so that it is never printed."""

import configparser
import html
import json
import netrc
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from batchrun.errors import EndpointRefused, JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.settings import header_text, team_project
from batchrun.job.urls import is_loopback

_VARIABLES = {"wandb": "WANDB_API_KEY", "openai": "OPENAI_API_KEY", "custom": "OPENAI_API_KEY"}

_BORROWED = "OPENAI_API_KEY"
"""Where the vendor's own examples put a key of W&B. OpenAI's own keys begin with `sk-`."""

_VARIABLE_NAME = re.compile("[A-Z_][A-Z0-9_]{0,63}")
"""Variable names that a message may repeat. Anything else may be a key in the wrong place."""

_WANDB_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")
"""Names under which `wandb login` stores the vendor's key; the second since wandb 0.31."""

_WANDB_DOMAINS = (".wandb.ai", ".forge.coreweave.com")
"""The vendor's own domains: its key may be sent to these."""

_WANDB_SERVER = "https://api.wandb.ai"
"""The server of W&B, for users who do not run their own."""

_KEY_PAGES = "forge.coreweave.com/settings (formerly wandb.ai/settings)"
"""Where the vendor shows a user's keys: W&B is part of CoreWeave Forge since 2026-09-30."""

_HIDDEN = b"***"
"""Replaces a key. Valid inside JSON, HTML and URLs."""

_found: list["Secret"] = []


class Secret:
    """A text that is shown only by `reveal`."""

    __slots__ = ("_escaped", "_spellings", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._spellings = _spellings(text) if _is_searched_for(text) else ()
        self._escaped = _escaped(text) if self._spellings else None

    def reveal(self) -> str:
        """Return the text; only for a header of the client."""
        return self._text

    def hide_in(self, data: bytes) -> bytes:
        """Return a server's reply with `***` for every echo of the text, though servers hardly ever echo it.

        A text that could be a word of an answer is left as it is: `x`, `EMPTY` and `not-needed` are not secrets.
        """
        for spelling in self._spellings:
            if spelling in data:
                data = data.replace(spelling, _HIDDEN)
        if self._escaped is not None and b"\\" in data and b"\\u" in data:
            data = self._escaped.sub(_HIDDEN, data)
        return data

    def parts(self) -> "list[Secret]":
        """Return the secret itself and its words: a server may repeat a key without the `Bearer` before it."""
        words = self._text.split()
        return [self, *(Secret(word) for word in words)] if len(words) > 1 else [self]

    def __repr__(self) -> str:
        return "Secret(…)"


def _is_searched_for(text: str) -> bool:
    # Keys are longer than this (W&B: 40 hexadecimal digits); placeholders and words are shorter, or have no digit.
    return len(text) >= 20 or (len(text) >= 12 and any(character.isdigit() for character in text))


def _spellings(text: str) -> tuple[bytes, ...]:
    """Return how a text may be spelled in JSON, in HTML and in a URL; for most keys that is the same."""
    spelled = (text, json.dumps(text)[1:-1], text.replace("/", "\\/"), html.escape(text), quote(text, safe=""))
    return tuple(dict.fromkeys(each.encode() for each in spelled))


def _escaped(text: str) -> re.Pattern[bytes]:
    """Return a pattern for a text in JSON, where any letter may be written as `\\u…`: some servers write `+` so."""
    letters = (rf"(?:{re.escape(letter)}|\\u(?i:{ord(letter):04x}))" for letter in text)
    return re.compile("".join(letters).encode())


def find_key(endpoint: Endpoint, environ: Mapping[str, str] = os.environ, home: Path | None = None) -> Secret | None:
    """Return the key for an endpoint; None where a secret header takes its place, or on this machine where none is set.

    Looks in the variable that `api_key_env` names, else in the provider's own; for W&B then in `~/.netrc`, and last in
    `OPENAI_API_KEY`, where the vendor's own examples put it.

    Raises:
        EndpointRefused: no key was found, or it cannot be sent in a header; the message names where it was looked for.
    """
    if not endpoint.takes_key:
        return None
    variable = key_variable(endpoint)
    key = environ.get(variable, "").strip()
    looked = variable
    if not key and endpoint.provider == "wandb" and not endpoint.api_key_env:
        key = _from_netrc(home or Path.home(), endpoint.base_url)
        looked += " and ~/.netrc"
        if not key and (key := _borrowed(endpoint, environ)):
            looked = _BORROWED
    if not key:
        if endpoint.is_loopback and not endpoint.api_key_env:
            return None
        if not _VARIABLE_NAME.fullmatch(variable):
            raise EndpointRefused(
                "the variable that api_key_env (--api-key-env) names is not set; give the name of a variable,"
                " such as OPENAI_API_KEY, and never the key itself"
            )
        where = f", which {_KEY_PAGES} shows" if endpoint.provider == "wandb" and not endpoint.api_key_env else ""
        raise EndpointRefused(f"no key for {endpoint.base_url}: looked in {looked}; export {variable}=…{where}")
    return _fit(key, looked)


def find_headers(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> dict[str, Secret]:
    """Return the secret headers of an endpoint.

    Raises:
        EndpointRefused: a variable is not set, or its value cannot be sent in a header.
    """
    found = {}
    for name, variable in endpoint.secret_headers.items():
        value = environ.get(variable, "").strip()
        shown = variable if is_variable_name(variable) else "its variable"
        if not value:
            cure = f"export {shown}=…" if is_variable_name(variable) else 'give the name of a variable: {env = "NAME"}'
            raise EndpointRefused(f"no value for the header {name} of {endpoint.base_url}: {shown} is not set; {cure}")
        if not value.isascii() or not value.isprintable():
            raise EndpointRefused(
                f"the value of {shown} has a line break or another character that no header takes; set it again"
            )
        found[name] = Secret(value)
        _found.extend(found[name].parts())
    return found


def _borrowed(endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    """Return the key for W&B in the variable of OpenAI; empty for a key of OpenAI, which goes to no other vendor."""
    key = environ.get(_BORROWED, "").strip()
    is_wandb = endpoint.provider == "wandb" and not endpoint.api_key_env
    return key if is_wandb and not key.startswith("sk-") else ""


def shown_variable_of(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> str:
    """Return the name of the variable that a command takes the key from."""
    variable = key_variable(endpoint)
    return _BORROWED if not environ.get(variable, "").strip() and _borrowed(endpoint, environ) else variable


def wandb_server(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> str:
    """Return the server of W&B: from WANDB_BASE_URL, else as `wandb login --host` stored it, else the vendor's own."""
    found = environ.get("WANDB_BASE_URL", "").strip()
    if not found:
        folder = environ.get("WANDB_CONFIG_DIR") or (home or Path.home()) / ".config/wandb"
        settings = configparser.ConfigParser(interpolation=None)
        with suppress(configparser.Error, UnicodeDecodeError):
            settings.read(Path(folder, "settings"), encoding="utf-8")
        found = settings.get("default", "base_url", fallback="").strip()
    return (found or _WANDB_SERVER).rstrip("/")


def find_wandb_key(server: str, environ: Mapping[str, str] = os.environ, home: Path | None = None) -> Secret:
    """Return the key to publish with, for a server of W&B.

    Raises:
        EndpointRefused: no key was found, or it cannot be sent in a header; the message names where it was looked for.
        JobError: others could read the key on the way.
    """
    check_encrypted("WANDB_BASE_URL", server)
    looked = f"{_VARIABLES['wandb']} and ~/.netrc"
    key = environ.get(_VARIABLES["wandb"], "").strip() or _from_netrc(home or Path.home(), server)
    if not key:
        where = _KEY_PAGES if server == _WANDB_SERVER else f"{server}/settings"
        cure = f"export {_VARIABLES['wandb']}=…, which {where} shows, and publish the run again"
        raise EndpointRefused(f"no key to publish with to {server}: looked in {looked}; {cure}")
    return _fit(key, looked)


def check_encrypted(name: str, url: str) -> None:
    """Check that a key that is sent to a URL is encrypted on the way, or does not leave this machine.

    Raises:
        JobError: it is not; the message gives the name of the setting.
    """
    if urlsplit(url).scheme != "https" and not is_loopback(urlsplit(url).hostname or ""):
        raise JobError(f"{name} = {url}; must be https: over http the key could be read on the way")


def _fit(key: str, looked: str) -> Secret:
    """Return the key that was found, if a header can carry it."""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EndpointRefused(
            f"the key in {looked} has a space, a line break or another character that no key has; set it again"
        )
    _found.append(secret := Secret(key))
    return secret


def key_variable(endpoint: Endpoint) -> str:
    """Return the name of the variable that holds an endpoint's key, or the secret header in its place."""
    if not endpoint.takes_key:
        return next(iter(endpoint.secret_headers.values()))
    return endpoint.api_key_env or _VARIABLES[endpoint.provider]


def is_variable_name(name: str) -> bool:
    """Return whether a name may be shown: it is that of a variable, and cannot be the key itself."""
    return _VARIABLE_NAME.fullmatch(name) is not None


def key_place(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> str:
    """Return where an endpoint's key was found: the name of a variable, or `~/.netrc`."""
    if not endpoint.takes_key:
        return " and ".join(endpoint.secret_headers.values())
    variable = key_variable(endpoint)
    if environ.get(variable, "").strip() or endpoint.provider != "wandb" or endpoint.api_key_env:
        return variable
    is_borrowed = _borrowed(endpoint, environ) and not _from_netrc(Path.home(), endpoint.base_url)
    return _BORROWED if is_borrowed else "~/.netrc"


def hide_keys(text: str) -> str:
    """Return a text, such as a traceback, with `***` for every key that was found in this process."""
    data = text.encode("utf-8", "backslashreplace")
    for secret in _found:
        data = secret.hide_in(data)
    return data.decode()


def find_project(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the team/project to book on: from the job, else, for W&B, from `WANDB_ENTITY` and `WANDB_PROJECT`.

    Raises:
        JobError: the variables hold a text that is not the name of a team or a project.
    """
    if endpoint.project or endpoint.provider != "wandb":
        return endpoint.project
    entity, project = environ.get("WANDB_ENTITY", ""), environ.get("WANDB_PROJECT", "")
    if not entity or not project:
        return None
    try:
        return team_project(header_text(f"{entity}/{project}"))
    except ValueError as problem:
        named = ascii(f"{entity}/{project}")
        raise JobError(f"WANDB_ENTITY/WANDB_PROJECT = {named}; {problem}; or set --project TEAM/PROJECT") from None


def _from_netrc(home: Path, url: str) -> str:
    """Return the key stored for a server; for the vendor's servers also the vendor's key."""
    host = urlsplit(url).hostname or ""
    hosts = [urlsplit(url).netloc, host, *(_WANDB_HOSTS if host.endswith(_WANDB_DOMAINS) else ())]
    try:
        entries = netrc.netrc(str(home / ".netrc"))
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return ""
    for each in hosts:
        found = entries.hosts.get(each)  # not `authenticators`: the `default` entry was not meant for this host
        if found and found[2]:
            return found[2]
    return ""
