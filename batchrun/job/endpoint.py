"""`[endpoint]`, and each `[endpoints.NAME]`: a service that answers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from batchrun.job.field_types import HeaderTable, NamedTexts, OptionalNames
from batchrun.job.headers import plain_headers, secret_headers, stated_headers, stated_query
from batchrun.job.price import Price
from batchrun.job.settings import (
    PROJECT_CURE,
    Section,
    SettingError,
    booked_project,
    flag,
    one_of,
    setting,
    table,
    text,
    texts,
    whole,
)
from batchrun.job.urls import base_url, is_loopback

BASE_URLS = {"wandb": "https://api.inference.wandb.ai/v1", "openai": "https://api.openai.com/v1"}
"""Provider → base URL. Source: the vendors' documentation as of 2026-11."""


REQUESTS, BATCH = "requests", "batch"
"""Ways of sending: each row as a request of its own, or files of requests."""

LITELLM_PREFIX = "wandb/"
"""Prefix of W&B models in LiteLLM; the endpoint itself does not know it."""

OF_THE_WHOLE = ("max_concurrency", "requests_per_minute", "tokens_per_minute", "prices")
"""Settings that a job has too, for all its endpoints together."""


def _provider_of(base_url: str) -> str:
    if not base_url:
        return "wandb"
    return next((provider for provider, url in BASE_URLS.items() if url == base_url), "custom")


def _models(value: Any) -> dict[str, str]:
    """Accept a list of models, or a table: name in the job → name at the endpoint."""
    if not isinstance(value, Mapping):
        return {name: name for name in texts(value)}
    if not value:
        raise ValueError("must name a model, or be left out")
    return {text(name): text(there) for name, there in value.items()}


def _prices(value: Any) -> dict[str, Price]:
    """Accept a table: model → its price."""
    return {
        text(model): price if isinstance(price, Price) else _price(model, price)
        for model, price in table(value).items()
    }


def _price(model: str, value: Any) -> Price:
    try:
        return Price(**table(value))
    except SettingError as problem:
        raise SettingError(f'"{model}".{problem.key}', problem.value, problem.must) from None
    except (TypeError, ValueError):
        must = "must be a table with input_usd_per_mtok and output_usd_per_mtok"
        raise SettingError(f'"{model}"', value, must) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Section):
    """`[endpoint]`, or `[endpoints.NAME]` where there are several: the service. It never holds a key or a secret."""

    provider: str = setting(
        "",
        "wandb, openai or custom",
        one_of("wandb", "openai", "custom"),
        shown="from base_url, else custom; wandb without a base_url",
    )
    base_url: str = setting("", "URL up to and including /v1", base_url, shown="OPENAI_BASE_URL, else the provider's")
    project: str | None = setting(None, "TEAM/PROJECT to which W&B books the usage", booked_project)
    api_key_env: str | None = setting(None, "environment variable with the key", text, shown="the provider's")
    headers: HeaderTable = setting(
        dict,
        'more headers: a text, or `{env = "VARIABLE"}` for a secret; a secret one takes the place of the key, unless'
        " `api_key_env` is set",
        stated_headers,
        shown="–",
    )
    query: NamedTexts = setting(
        dict, 'what is added to each URL, such as `{api-version = "preview"}`', stated_query, shown="–"
    )
    allow_http: bool = setting(False, "send the key over http to other hosts", flag)
    via: str = setting(
        REQUESTS,
        "requests, or batch: files of requests that the provider answers within 24 hours, for about half the price",
        one_of(REQUESTS, BATCH),
    )
    batch_requests: int | None = setting(
        None, "most requests in one batch", whole(1), shown="what the provider takes, up to 50,000"
    )
    models: OptionalNames = setting(
        None,
        "models that are asked here: a list, or a table of the name in the job and the name here",
        _models,
        shown="those that no other endpoint names",
    )
    max_concurrency: int | None = setting(None, "most requests in flight here", whole(1), shown="that of `[limits]`")
    requests_per_minute: int | None = setting(None, "most requests per minute here", whole(1))
    tokens_per_minute: int | None = setting(None, "most tokens per minute here, sent and received", whole(1))
    prices: dict[str, Price] = setting(
        dict, "prices of models here, by the name in the job; they replace all others", _prices, shown="–"
    )

    def __post_init__(self) -> None:
        super(Endpoint, self).__post_init__()
        provider = self.provider or _provider_of(self.base_url)
        object.__setattr__(self, "provider", provider)
        if not self.base_url:
            if provider not in BASE_URLS:
                raise SettingError("base_url", "", "must be given when the provider is custom")
            object.__setattr__(self, "base_url", BASE_URLS[provider])
        if self.api_key_env and any(name.lower() == "authorization" for name in self.headers):
            raise SettingError("api_key_env", self.api_key_env, "must not be set together with headers.Authorization")
        if provider == "wandb" and self.models is not None:
            names = {name.removeprefix(LITELLM_PREFIX): there for name, there in self.models.items()}
            names = {name: there.removeprefix(LITELLM_PREFIX) for name, there in names.items()}
            object.__setattr__(self, "models", names)
        if provider == "wandb":
            prices = {name.removeprefix(LITELLM_PREFIX): price for name, price in self.prices.items()}
            object.__setattr__(self, "prices", prices)
        if provider == "wandb" and self.project is not None and "/" not in self.project:
            raise SettingError("project", self.project, PROJECT_CURE)
        if self.base_url.startswith("http://") and not self.is_loopback and not self.allow_http:
            must = "must be https: over http others can read the key (--allow-http sends it anyway)"
            raise SettingError("base_url", self.base_url, must)

    @property
    def identity(self) -> str:
        """The base URL and what tells endpoints at one URL apart: project, key and query; never a key itself."""
        stated = [("project", self.project), ("api_key_env", self.api_key_env)]
        apart = [*stated, *self.secret_headers.items(), *self.query.items()]
        return f"{self.base_url}#{urlencode([(name, each) for name, each in apart if each is not None])}"

    def sent_via(self, via: str) -> "Endpoint":
        """Return the same endpoint with another way of sending."""
        return self if self.via == via else replace(self, via=via)

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        return is_loopback(urlsplit(self.base_url).hostname or "")

    @property
    def secret_headers(self) -> dict[str, str]:
        """Header → environment variable with its value."""
        return secret_headers(self.headers)

    @property
    def plain_headers(self) -> dict[str, str]:
        """Header → its value, which is not secret."""
        return plain_headers(self.headers)

    @property
    def takes_key(self) -> bool:
        """Whether a key is sent; a secret header takes its place, unless the job names the variable of a key."""
        return bool(self.api_key_env) or not self.secret_headers
