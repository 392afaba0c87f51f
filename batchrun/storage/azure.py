"""Azure's storage accounts: which one a URL means, where it is, and what opens it, as Azure's own tools are told.

These read a connection string, or the account's name and key, from the environment. pyarrow reads neither.
"""

import base64
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from batchrun.errors import InputError

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"

_SUFFIX = "core.windows.net"
"""Ends the names of all hosts of Azure, but those of its national clouds."""


class Account(NamedTuple):
    """A storage account, as pyarrow wants to know it. Its `repr` has no secret."""

    name: str
    scheme: str
    authority: str
    """Of the blob service: what follows the account's name there, with a dot, or a host that has it in its paths."""
    key: str | None = None
    sas_token: str | None = None

    @property
    def dfs_authority(self) -> str:
        """Of the other service, which tells whether the account has true folders."""
        return self.authority.replace(".blob.", ".dfs.", 1)

    def __repr__(self) -> str:
        return f"Account({self.name!r}, {self.scheme!r}, {self.authority!r})"


def located(host: str, environment: Mapping[str, str]) -> tuple[Account, str]:
    """Return the account that a URL means, and the container, which is empty where the URL's path begins with it.

    Args:
        host: what stands between `://` and the next slash: `CONTAINER`, `CONTAINER@ACCOUNT.dfs.core.windows.net` or
            `ACCOUNT.blob.core.windows.net`.
        environment: the variables of this process.

    Raises:
        InputError: no account is named, or its connection string cannot be read.
    """
    told = _told(environment)
    container, at, service = host.rpartition("@")
    if not at and "." not in host:  # which no container's name has
        if told is None:
            cure = f"set AZURE_STORAGE_ACCOUNT or {CONNECTION_STRING}, or write az://{host}@ACCOUNT.blob.{_SUFFIX}/…"
            raise InputError(f"az://{host}: names no storage account; {cure}")
        return told, host
    name, _, rest = service.partition(".")
    account = Account(name, "https", f".{rest}".replace(".dfs.", ".blob.", 1))
    if told is not None and told.name == name:
        return account._replace(key=told.key, sas_token=told.sas_token), container
    if told is None:
        return _opened(account, environment), container
    return account, container  # what opens one account is not shown to another


def _told(environment: Mapping[str, str]) -> Account | None:
    """Return the account that the environment names; a connection string goes first, as with Azure's command line."""
    if text := environment.get(CONNECTION_STRING):
        return _connected(text)
    if name := environment.get("AZURE_STORAGE_ACCOUNT"):
        return _opened(Account(name, "https", f".blob.{_SUFFIX}"), environment)
    return None


def _opened(account: Account, environment: Mapping[str, str]) -> Account:
    key, token = environment.get("AZURE_STORAGE_KEY"), environment.get("AZURE_STORAGE_SAS_TOKEN")
    return _with(account, key, token, "AZURE_STORAGE_KEY")


def _connected(text: str) -> Account:
    """Read a connection string. Source: "Configure Azure Storage connection strings", Azure's documentation."""
    parts = {key.strip().lower(): value for key, _, value in (part.partition("=") for part in text.split(";"))}
    name, endpoint = parts.get("accountname", ""), parts.get("blobendpoint", "")
    if name and not endpoint:
        suffix = parts.get("endpointsuffix") or _SUFFIX
        endpoint = f"{parts.get('defaultendpointsprotocol') or 'https'}://{name}.blob.{suffix}"
    url = urlsplit(endpoint)
    path = url.path.strip("/")
    if not name:
        name = path or url.netloc.partition(".")[0]
    if not name or url.scheme not in ("http", "https"):
        raise InputError(f"{CONNECTION_STRING}: must have AccountName=…;AccountKey=…, or BlobEndpoint=https://…")
    if path not in ("", name) or not (path or url.netloc.startswith(f"{name}.")):
        raise InputError(f"{CONNECTION_STRING}: BlobEndpoint must be https://{name}.HOST or https://HOST/{name}")
    authority = url.netloc if path else url.netloc.removeprefix(name)
    account = Account(name, url.scheme, authority)
    return _with(account, parts.get("accountkey"), parts.get("sharedaccesssignature"), CONNECTION_STRING)


def _with(account: Account, key: str | None, token: str | None, source: str) -> Account:
    """Return an account with what opens it: a key, else a token, with the question mark that pyarrow does not add."""
    try:
        base64.b64decode(key or "", validate=True)
    except ValueError:  # Azure's client ends the whole process at this
        raise InputError(f"{source}: the account's key is no Base64; copy all of it, up to its last =") from None
    return account._replace(key=key or None, sas_token=None if key or not token else f"?{token.lstrip('?')}")
