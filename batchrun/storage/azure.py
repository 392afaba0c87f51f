"""Azure's storage accounts: which account a URL names, where it is, and the credentials for it.

Like Azure's own tools, this reads a connection string, or an account name and key, from the environment. pyarrow reads
neither.
"""

import base64
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from batchrun.errors import InputError

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"

_SUFFIX = "core.windows.net"
"""The end of all host names of Azure, except those of its national clouds."""


class Account(NamedTuple):
    """A storage account in the form that pyarrow takes. Its `repr` shows no secret."""

    name: str
    scheme: str
    authority: str
    """Of the blob service: what follows the account name, with a dot; or a host that has the account in its paths."""
    key: str | None = None
    sas_token: str | None = None

    @property
    def dfs_authority(self) -> str:
        """Of the Data Lake service, which knows whether the account has real folders."""
        return self.authority.replace(".blob.", ".dfs.", 1)

    def __repr__(self) -> str:
        return f"Account({self.name!r}, {self.scheme!r}, {self.authority!r})"


def account_of(host: str, environment: Mapping[str, str]) -> tuple[Account, str]:
    """Return the account of a URL, and the container; the container is empty where the URL's path begins with it.

    Args:
        host: the part between `://` and the next slash: `CONTAINER`, `CONTAINER@ACCOUNT.dfs.core.windows.net` or
            `ACCOUNT.blob.core.windows.net`.
        environment: the variables of this process.

    Raises:
        InputError: no account is named, or the connection string cannot be read.
    """
    known = _from_environment(environment)
    container, at, service = host.rpartition("@")
    if not at and "." not in host:  # container names have no dot
        if known is None:
            cure = f"set AZURE_STORAGE_ACCOUNT or {CONNECTION_STRING}, or write az://{host}@ACCOUNT.blob.{_SUFFIX}/…"
            raise InputError(f"az://{host}: names no storage account; {cure}")
        return known, host
    name, _, rest = service.partition(".")
    account = Account(name, "https", f".{rest}".replace(".dfs.", ".blob.", 1))
    if known is not None and known.name == name:
        return account._replace(key=known.key, sas_token=known.sas_token), container
    if known is None:
        return _with_environment(account, environment), container
    return account, container  # the credentials of one account are never sent to another


def _from_environment(environment: Mapping[str, str]) -> Account | None:
    """Return the account that the environment names. A connection string comes first, as in Azure's command line."""
    if text := environment.get(CONNECTION_STRING):
        return _from_connection_string(text)
    if name := environment.get("AZURE_STORAGE_ACCOUNT"):
        return _with_environment(Account(name, "https", f".blob.{_SUFFIX}"), environment)
    return None


def _with_environment(account: Account, environment: Mapping[str, str]) -> Account:
    key, token = environment.get("AZURE_STORAGE_KEY"), environment.get("AZURE_STORAGE_SAS_TOKEN")
    return _with_credentials(account, key, token, "AZURE_STORAGE_KEY")


def _from_connection_string(text: str) -> Account:
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
    return _with_credentials(account, parts.get("accountkey"), parts.get("sharedaccesssignature"), CONNECTION_STRING)


def _with_credentials(account: Account, key: str | None, token: str | None, source: str) -> Account:
    """Return an account with its key, else its token; pyarrow wants the token with a question mark before it."""
    try:
        base64.b64decode(key or "", validate=True)
    except ValueError:  # Azure's client would abort the process here
        raise InputError(f"{source}: the account's key is not Base64; copy all of it, including the last =") from None
    return account._replace(key=key or None, sas_token=None if key or not token else f"?{token.lstrip('?')}")
