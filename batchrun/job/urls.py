"""The URLs that settings take: of an API, and of a store of files. Pure."""

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from batchrun.job.settings import text
from batchrun.records import PATHS

_API_PATHS = (*PATHS.values(), "/models")
"""Paths of the API, which are added to a base URL."""


def http_url(value: Any) -> str:
    """Accept an http(s) URL with a host; returns it without a slash at its end."""
    if not re.fullmatch(r"https?://[^/\s?#@]+(/[^\s?#]*)?", text(value)) or not _has_host(value):
        raise ValueError("must be a URL such as https://host/v1, without user name, query or fragment")
    return str(value).rstrip("/")


def base_url(value: Any) -> str:
    """Accept the base URL of an API; returns it without a slash at its end."""
    url = http_url(value)
    for path in _API_PATHS:
        if url.endswith(path):
            raise ValueError(f"must end before {path}: {url.removesuffix(path)}")
    return url


def store_url(value: Any) -> str:
    """Accept a URL of a store that files can be written to, without a password."""
    if not re.fullmatch(r"(s3|gs|gcs|az|abfss?|hf)://[^/:\s]+(/\S*)?", text(value)):
        raise ValueError("must be a URL such as s3://bucket/folder, gs://…, az://… or hf://datasets/USER/NAME")
    return str(value)


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0  # `port` raises ValueError if it is not a number or too large
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether a host, by name or number, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
