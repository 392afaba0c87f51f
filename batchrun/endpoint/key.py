"""The key, from where the user keeps it, in a wrapper that never prints it."""

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
from batchrun.job.sections import Endpoint
from batchrun.job.settings import is_loopback

_VARIABLES = {"wandb": "WANDB_API_KEY", "openai": "OPENAI_API_KEY", "custom": "OPENAI_API_KEY"}

_VARIABLE_NAME = re.compile("[A-Z_][A-Z0-9_]{0,63}")
"""What a message may repeat of a variable that is not set. Anything else may be a key in the wrong place."""

_WANDB_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")
"""Under which `wandb login` leaves the vendor's key; the second since wandb 0.31."""

_WANDB_DOMAINS = (".wandb.ai", ".forge.coreweave.com")
"""The vendor's own: what its key may be sent to."""

_WANDB_SERVER = "https://api.wandb.ai"
"""Where W&B is for those who have no server of their own."""

_HIDDEN = b"***"
"""What stands in place of a key. Valid inside JSON, HTML and URLs."""

_found: list["Secret"] = []


class Secret:
    """A text that shows itself only when asked by name."""

    __slots__ = ("_escaped", "_spellings", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._spellings = _spellings(text) if _is_searched_for(text) else ()
        self._escaped = _escaped(text) if self._spellings else None

    def reveal(self) -> str:
        """Return the text; only the client's header may ask."""
        return self._text

    def hide_in(self, data: bytes) -> bytes:
        """Return what a server said with `***` for every echo of the text, of which there is next to never one.

        A text that might as well be a word of an answer is left: `x`, `EMPTY`, `not-needed` are no secrets.
        """
        for spelling in self._spellings:
            if spelling in data:
                data = data.replace(spelling, _HIDDEN)
        if self._escaped is not None and b"\\u" in data:
            data = self._escaped.sub(_HIDDEN, data)
        return data

    def __repr__(self) -> str:
        return "Secret(…)"


def _is_searched_for(text: str) -> bool:
    # Keys are longer than this (W&B: 40 hexadecimal digits), and placeholders and words are not, or have no digit.
    return len(text) >= 20 or (len(text) >= 12 and any(character.isdigit() for character in text))


def _spellings(text: str) -> tuple[bytes, ...]:
    """Return how a text may stand in JSON, in HTML and in a URL; of a key, commonly the same."""
    spelled = (text, json.dumps(text)[1:-1], text.replace("/", "\\/"), html.escape(text), quote(text, safe=""))
    return tuple(dict.fromkeys(each.encode() for each in spelled))


def _escaped(text: str) -> re.Pattern[bytes]:
    """Return what finds a text in JSON of which any letter may be written as `\\u…`: some servers do so with `+`."""
    letters = (rf"(?:{re.escape(letter)}|\\u(?i:{ord(letter):04x}))" for letter in text)
    return re.compile("".join(letters).encode())


def find_key(endpoint: Endpoint, environ: Mapping[str, str] = os.environ, home: Path | None = None) -> Secret | None:
    """Return the key for an endpoint; None where none is needed, on this machine.

    Looks in the variable that `api_key_env` names, else in the provider's own; for W&B then in `~/.netrc`.

    Raises:
        EndpointRefused: there is none, or it cannot be sent in a header; the message says where it was looked for.
    """
    variable = key_variable(endpoint)
    key = environ.get(variable, "").strip()
    looked = variable
    if not key and endpoint.provider == "wandb" and not endpoint.api_key_env:
        key = _from_netrc(home or Path.home(), endpoint.base_url)
        looked += " and ~/.netrc"
    if not key:
        if endpoint.is_loopback and not endpoint.api_key_env:
            return None
        if not _VARIABLE_NAME.fullmatch(variable):
            raise EndpointRefused(
                "nothing is set under the name that api_key_env (--api-key-env) gives; it is the name of a variable,"
                " such as OPENAI_API_KEY, and never the key itself"
            )
        raise EndpointRefused(f"no key for {endpoint.base_url}: looked in {looked}; export {variable}=…")
    return _fit(key, looked)


def wandb_server(environ: Mapping[str, str] = os.environ, home: Path | None = None) -> str:
    """Return where W&B is: as WANDB_BASE_URL says, else as `wandb login --host` left it, else the vendor's own."""
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
        EndpointRefused: there is none, or it cannot be sent in a header; the message says where it was looked for.
        JobError: others could read the key on its way there.
    """
    check_encrypted("WANDB_BASE_URL", server)
    looked = f"{_VARIABLES['wandb']} and ~/.netrc"
    key = environ.get(_VARIABLES["wandb"], "").strip() or _from_netrc(home or Path.home(), server)
    if not key:
        where = "wandb.ai/settings" if server == _WANDB_SERVER else f"{server}/settings"
        cure = f"export {_VARIABLES['wandb']}=…, which {where} shows, and publish the run again"
        raise EndpointRefused(f"no key to publish with to {server}: looked in {looked}; {cure}")
    return _fit(key, looked)


def check_encrypted(name: str, url: str) -> None:
    """Check that a key that goes to a URL is encrypted on its way, or does not leave this machine.

    Raises:
        JobError: it is not; the message calls the URL by its name.
    """
    if urlsplit(url).scheme != "https" and not is_loopback(urlsplit(url).hostname or ""):
        raise JobError(f"{name} = {url}; must be https: over http the key could be read on the way")


def _fit(key: str, looked: str) -> Secret:
    """Return a key that was found, once it is known that a header can carry it."""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EndpointRefused(
            f"the key in {looked} has a space, line break or other character that no key has; set it anew"
        )
    _found.append(secret := Secret(key))
    return secret


def key_variable(endpoint: Endpoint) -> str:
    """Return the name of the variable that holds an endpoint's key."""
    return endpoint.api_key_env or _VARIABLES[endpoint.provider]


def hide_keys(text: str) -> str:
    """Return a text, such as a traceback, with `***` for every key that was found in this process."""
    data = text.encode("utf-8", "backslashreplace")
    for secret in _found:
        data = secret.hide_in(data)
    return data.decode()


def find_project(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the team/project to book on: as told, else, for W&B, from `WANDB_ENTITY` and `WANDB_PROJECT`."""
    if endpoint.project or endpoint.provider != "wandb":
        return endpoint.project
    entity, project = environ.get("WANDB_ENTITY", ""), environ.get("WANDB_PROJECT", "")
    return f"{entity}/{project}" if entity and project else None


def _from_netrc(home: Path, url: str) -> str:
    """Return the key of a server's own name; the vendor's key too, where the server is the vendor's."""
    host = urlsplit(url).hostname or ""
    hosts = [urlsplit(url).netloc, host, *(_WANDB_HOSTS if host.endswith(_WANDB_DOMAINS) else ())]
    try:
        entries = netrc.netrc(str(home / ".netrc"))
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return ""
    for each in hosts:
        found = entries.hosts.get(each)  # not `authenticators`: what `default` has was never meant for this host
        if found and found[2]:
            return found[2]
    return ""
