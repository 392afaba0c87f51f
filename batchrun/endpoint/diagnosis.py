"""Asks around an endpoint that refuses or never answers, to say what is wrong with its URL or with a model's name.

Nothing is guessed: each URL that a message names has answered. The key only goes to the origin that the user has named.
"""

import asyncio
import contextlib
import difflib
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

import orjson

from batchrun.endpoint.access import Access
from batchrun.endpoint.http.client import HttpClient
from batchrun.endpoint.pool.verdicts import UNHEARD
from batchrun.errors import EndpointRefused
from batchrun.job.endpoint import BASE_URLS
from batchrun.job.limits import Limits
from batchrun.job.urls import is_loopback
from batchrun.records import Fault, Reply

_PATHS = ("/v1", "/api/v1", "/openai/v1")
"""What base URLs end with. Source: OpenAI and vLLM, OpenRouter, Groq."""

_REQUEST_S = 5.0
_ALL_S = 15.0
"""Longest time for one question, and for all: the user waits for the message."""

_SCHEME_S = 2.0
"""Longest time to ask by the other scheme: the user has waited for an endpoint that never answered already."""

_ALIKE = 0.6
"""How similar two names must be to be taken for one another: `llama-3-8b` and `Llama-3.1-8B-Instruct` are 0.65."""

_MOST_NAMED = 5
"""Most models of an endpoint that are all named."""


async def finding(kind: str | None, access: Access, models: Sequence[str], taken: Sequence[str] = ()) -> str:
    """Return what asking around shows about a failure of this kind; empty where that shows nothing.

    Args:
        kind: of the verdict, or `UNHEARD`.
        access: how the endpoint is reached.
        models: that it refuses, if it refuses models.
        taken: the models of the job: none of them was meant by the name of another.
    """
    if kind in (UNHEARD, "connection"):
        return "" if access.base_url in BASE_URLS.values() else await other_scheme(access.base_url)
    if kind in ("model_not_found", "bad_reply"):
        return await whats_there(access, models, taken)
    return ""


async def whats_there(access: Access, models: Sequence[str], taken: Sequence[str] = ()) -> str:
    """Return a sentence about an endpoint that refuses models or answers with web pages; empty without a finding.

    Args:
        access: how the endpoint is reached.
        models: that it refuses; may be empty.
        taken: models that are not suggested, since the job has them.
    """
    with contextlib.suppress(TimeoutError, EndpointRefused):
        async with asyncio.timeout(_ALL_S):
            if (names := await _served(access)) is not None:
                return nearest_text(models, names, taken)
            for url in _nearby(access.base_url):
                if (names := await _served(access._replace(base_url=url))) is not None:
                    found = f"the API is at {url}: use --base-url {url}"
                    return "; ".join(filter(None, [found, nearest_text(models, names, taken)]))
    return ""


async def other_scheme(base_url: str) -> str:
    """Return a sentence when the same address answers to http instead of https, or the other way round; else nothing.

    No key is sent. Over http to another machine, where the key could be read, only an API is found: many hosts answer
    there with a redirect to https.
    """
    parts = urlsplit(base_url)
    url = parts._replace(scheme="http" if parts.scheme == "https" else "https").geturl()
    is_exposed = url.startswith("http:") and not is_loopback(parts.hostname or "")
    with contextlib.suppress(TimeoutError, EndpointRefused):
        async with asyncio.timeout(_SCHEME_S), _client(Access(url, None, None)) as client:
            result = await client.models()
            if is_exposed and _is_api(result):
                return f"{url} answers: use --base-url {url} --allow-http (others can then read the key)"
            if not is_exposed and (isinstance(result, Reply) or "certificate" in result.message):
                return f"{url} answers: use --base-url {url}"
    return ""


def _is_api(result: Reply | Fault) -> bool:
    """Return whether an answer is a list of models, or asks for a key."""
    return isinstance(result, Reply) and (result.status in (401, 403) or names_in(result.body) is not None)


def names_in(body: bytes) -> list[str] | None:
    """Return the names in a list of models, sorted; None when it is not one."""
    try:
        names = [model["id"] for model in orjson.loads(body)["data"]]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return sorted(names) if all(isinstance(name, str) and name.isprintable() for name in names) else None


def nearest_text(models: Sequence[str], names: Sequence[str], taken: Sequence[str] = ()) -> str:
    """Return what an endpoint serves in place of models that it does not serve; empty when it serves them all.

    Args:
        models: that the user wants.
        names: of the models that it serves.
        taken: models that are not suggested, since the job has them.
    """
    free = [name for name in names if name not in taken]
    missing = [model for model in models if model not in names]
    near = {model: name for model in missing if (name := nearest(model, free)) is not None}
    named = [name if len(models) == 1 else f"{name} instead of {model}" for model, name in near.items()]
    question = f"did you mean {' and '.join(named)}?" if named else ""
    if len(named) == len(missing) or len(names) > _MOST_NAMED:
        return question
    return "; ".join(filter(None, [question, f"the endpoint serves {', '.join(names) or 'no model'}"]))


def nearest(model: str, names: Iterable[str]) -> str | None:
    """Return the name that is most like a model's, with or without the part before the slash; None without one."""
    known: dict[str, str] = {}
    for name in names:
        known.setdefault(_last(name), name)
        known.setdefault(name.lower(), name)
    close = difflib.get_close_matches(model.lower(), known, n=1, cutoff=_ALIKE)
    close = close or difflib.get_close_matches(_last(model), known, n=1, cutoff=_ALIKE)
    return known[close[0]] if close else None


def _last(name: str) -> str:
    return name.lower().rpartition("/")[2]


def _nearby(base_url: str) -> list[str]:
    """Return the base URLs that the user may have meant, on the same host."""
    parts = urlsplit(base_url)
    origin = parts._replace(path="").geturl()
    shorter = [origin + parts.path.partition(path)[0] + path for path in _PATHS[:1] if path in parts.path]
    found = [*shorter, f"{base_url}/v1", *(origin + path for path in _PATHS)]
    return [url for url in dict.fromkeys(found) if url != base_url]


async def _served(access: Access) -> list[str] | None:
    """Return the models that an endpoint lists; None when it lists none."""
    async with _client(access) as client:
        result = await client.models()
    return names_in(result.body) if isinstance(result, Reply) and result.is_success else None


def _client(access: Access) -> HttpClient:
    return access.client(Limits(timeout_s=_REQUEST_S, connect_timeout_s=_REQUEST_S), connections=1)
