"""Which of a job's endpoints are asked for which model. Pure."""

import difflib
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from batchrun.job.endpoint import LITELLM_PREFIX, Endpoint
from batchrun.job.settings import SettingError

_NAME = re.compile(r"[A-Za-z0-9\[][A-Za-z0-9_.:/\[\]-]{0,99}")
"""Names that a column, a status line and a key of TOML show without escapes; `HOST:PORT` is one, also of IPv6. None has
a space: after one, stored names say what the name stood for, and whether a batch has answered."""

_NAME_RULE = (
    "must have a name of at most 100 letters, digits and . _ : / - [ ], without spaces, that begins with a letter, "
    "a digit or ["
)


def check_endpoints(endpoints: Mapping[str, Endpoint], models: Iterable[str]) -> None:
    """Check the names of several endpoints, that no two are the same, and that each model has one.

    Raises:
        SettingError: they do not fit together.
    """
    seen: dict[str, str] = {}
    for name, endpoint in endpoints.items() if set(endpoints) != {""} else ():
        if not _NAME.fullmatch(name):
            raise SettingError(f'endpoints."{name}"', endpoint.base_url, _NAME_RULE)
        if (twin := seen.setdefault(endpoint.identity, name)) != name:
            must = f"is the endpoint of {twin} again, with the same project and key; remove one"
            raise SettingError(f"endpoints.{name}.base_url", endpoint.base_url, must)
    check_served(endpoints, models, "model.names")


def check_served(endpoints: Mapping[str, Endpoint], models: Iterable[str], key: str) -> None:
    """Check that each of these models, which a setting names, has an endpoint.

    Raises:
        SettingError: one has none.
    """
    if unserved := next((model for model in models if not serving(endpoints, model)), None):
        raise SettingError(key, unserved, unserved_text(endpoints, unserved))


def check_prices(endpoints: Mapping[str, Endpoint]) -> None:
    """Check that each price of an endpoint is of a model that is asked there: another one would never be used.

    Raises:
        SettingError: one is not.
    """
    for name, endpoint in endpoints.items():
        for model in endpoint.prices:
            if name not in serving(endpoints, model):
                key = f"endpoints.{name}.prices" if name else "endpoint.prices"
                raise SettingError(key, model, _unpriced_text(endpoints, name, model))


def _unpriced_text(endpoints: Mapping[str, Endpoint], name: str, model: str) -> str:
    """Return what is wrong with the price of a model that an endpoint is not asked for."""
    models = endpoints[name].models
    if models is None:
        return f"must be a model that is asked there; it is asked at {', '.join(serving(endpoints, model))}"
    ours = next((ours for ours, there in models.items() if model == there), None)
    close = difflib.get_close_matches(model, models, n=1)
    if ours is not None:
        return f'must be its name in the job: "{ours}"'
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"must be one of the models of the endpoint ({', '.join(models)}){hint}"


def unserved_text(endpoints: Mapping[str, Endpoint], model: str) -> str:
    """Return what is wrong with a model for which there is no endpoint."""
    named = list(dict.fromkeys(name for endpoint in endpoints.values() for name in endpoint.models or ()))
    close = difflib.get_close_matches(model, named, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    where = "the endpoint" if set(endpoints) == {""} else "an endpoint"
    return f"must be one of the models of {where} ({', '.join(named)}){hint}"


def serving(endpoints: Mapping[str, Endpoint], model: str) -> dict[str, str]:
    """Return the endpoints that are asked for a model, each with the model's name there.

    Those that name it; where none does, those that name no models.

    Args:
        endpoints: of the job, by name.
        model: as the job names it.
    """
    named = {name: each.models[model] for name, each in endpoints.items() if each.models and model in each.models}
    return named or {name: model for name, each in endpoints.items() if each.models is None}


def strips_prefix(endpoints: Mapping[str, Endpoint]) -> bool:
    """Return whether the prefix that LiteLLM gives to W&B's models is taken off the models of a job."""
    return any(endpoint.provider == "wandb" for endpoint in endpoints.values())


def plain_name(model: str, endpoints: Mapping[str, Endpoint]) -> str:
    """Return a model's name as these endpoints know it, without LiteLLM's prefix."""
    return model.removeprefix(LITELLM_PREFIX) if strips_prefix(endpoints) else model


def replica_names(base_urls: Iterable[str]) -> dict[str, str]:
    """Return a name for each base URL: its host and port, with the path where these are not enough.

    Raises:
        SettingError: one is given twice.
    """
    urls = [url.rstrip("/") for url in base_urls]
    if twice := next((url for url in urls if urls.count(url) > 1), None):
        raise SettingError("base_url", twice, "is given twice; name each endpoint once")
    hosts = [urlsplit(url).netloc for url in urls]
    return {
        host if hosts.count(host) == 1 else host + urlsplit(url).path: url
        for host, url in zip(hosts, urls, strict=True)
    }
