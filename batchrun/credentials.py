"""The key, from where the user keeps it, in a wrapper that never prints it."""

import netrc
import os
from collections.abc import Mapping
from pathlib import Path

from batchrun.errors import EndpointRefused
from batchrun.job import Endpoint

_VARIABLES = {"wandb": "WANDB_API_KEY", "openai": "OPENAI_API_KEY", "custom": "OPENAI_API_KEY"}

_NETRC_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")
"""Under which `wandb login` leaves the key; the second since wandb 0.31."""


class Secret:
    """A text that shows itself only when asked by name."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text; only the client's header may ask."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"


def find_key(endpoint: Endpoint, environ: Mapping[str, str] = os.environ, home: Path | None = None) -> Secret | None:
    """Return the key for an endpoint; None where none is needed, on this machine.

    Looks in the variable that `api_key_env` names, else in the provider's own; for W&B then in `~/.netrc`.

    Raises:
        EndpointRefused: there is none, or it cannot be sent in a header; the message says where it was looked for.
    """
    variable = endpoint.api_key_env or _VARIABLES[endpoint.provider]
    key = environ.get(variable, "").strip()
    looked = variable
    if not key and endpoint.provider == "wandb" and not endpoint.api_key_env:
        key = _from_netrc(home or Path.home())
        looked += " and ~/.netrc"
    if not key:
        if endpoint.is_loopback and not endpoint.api_key_env:
            return None
        raise EndpointRefused(f"no key for {endpoint.base_url}: looked in {looked}; export {variable}=…")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise EndpointRefused(
            f"the key in {looked} has a space, line break or other character that no key has; set it anew"
        )
    return Secret(key)


def find_project(endpoint: Endpoint, environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the team/project to book on: as told, else, for W&B, from `WANDB_ENTITY` and `WANDB_PROJECT`."""
    if endpoint.project or endpoint.provider != "wandb":
        return endpoint.project
    entity, project = environ.get("WANDB_ENTITY", ""), environ.get("WANDB_PROJECT", "")
    return f"{entity}/{project}" if entity and project else None


def _from_netrc(home: Path) -> str:
    try:
        entries = netrc.netrc(str(home / ".netrc"))
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return ""
    for host in _NETRC_HOSTS:
        found = entries.hosts.get(host)  # not `authenticators`: what `default` has was never meant for this host
        if found and found[2]:
            return found[2]
    return ""
