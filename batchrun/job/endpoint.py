"""`[endpoint]`: the service that answers."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from batchrun.job.settings import (
    PROJECT_CURE,
    Section,
    SettingError,
    base_url,
    booked_project,
    flag,
    is_loopback,
    one_of,
    setting,
    text,
)

BASE_URLS = {"wandb": "https://api.inference.wandb.ai/v1", "openai": "https://api.openai.com/v1"}
"""Provider → base URL. Source: the vendors' documentation as of 2026-11."""


def _provider_of(base_url: str) -> str:
    if not base_url:
        return "wandb"
    return next((provider for provider, url in BASE_URLS.items() if url == base_url), "custom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Section):
    """`[endpoint]`: the service. It never holds a key, only the name of the variable with the key."""

    provider: str = setting(
        "",
        "wandb, openai or custom",
        one_of("wandb", "openai", "custom"),
        shown="from base_url, else custom; wandb without a base_url",
    )
    base_url: str = setting("", "URL up to and including /v1", base_url, shown="OPENAI_BASE_URL, else the provider's")
    project: str | None = setting(None, "TEAM/PROJECT to which W&B books the usage", booked_project)
    api_key_env: str | None = setting(None, "environment variable with the key", text, shown="the provider's")
    allow_http: bool = setting(False, "send the key over http to other hosts", flag)

    def __post_init__(self) -> None:
        super(Endpoint, self).__post_init__()
        provider = self.provider or _provider_of(self.base_url)
        object.__setattr__(self, "provider", provider)
        if not self.base_url:
            if provider not in BASE_URLS:
                raise SettingError("base_url", "", "must be given when the provider is custom")
            object.__setattr__(self, "base_url", BASE_URLS[provider])
        if provider == "wandb" and self.project is not None and "/" not in self.project:
            raise SettingError("project", self.project, PROJECT_CURE)
        if self.base_url.startswith("http://") and not self.is_loopback and not self.allow_http:
            must = "must be https: over http others can read the key (--allow-http sends it anyway)"
            raise SettingError("base_url", self.base_url, must)

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        return is_loopback(urlsplit(self.base_url).hostname or "")
