"""The job: what to run, frozen and checked as it is made. `job_file` reads it from TOML and flags."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from batchrun.job.settings import (
    Section,
    SettingError,
    clock_time,
    duration_s,
    flag,
    flag_or,
    header_text,
    http_url,
    is_loopback,
    number,
    one_of,
    setting,
    store_url,
    table,
    team_project,
    text,
    texts,
    whole,
)

BASE_URLS = {"wandb": "https://api.inference.wandb.ai/v1", "openai": "https://api.openai.com/v1"}
"""Where a provider serves. Source: the vendors' documentation as of 2026-11."""

LITELLM_PREFIX = "wandb/"
"""What LiteLLM's users write before the name of a W&B model; the endpoint itself does not know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input(Section):
    """`[input]`: where the rows come from."""

    path: tuple[str, ...] = setting((), "file, glob or folder, or a list of them; `-` is standard input", texts)
    id: str | None = setting(None, "column that labels a row for people; becomes `custom_id`", text)
    limit: int | None = setting(None, "only the first N rows; a later run with more goes on", whole(1))
    strict: bool = setting(False, "refuse an input that has broken rows", flag)
    dedupe: bool = setting(
        False, "ask each prompt once: rows that ask the same get the same answer, with 0 attempts and at no cost", flag
    )
    order: str = setting(
        "input",
        "input, or prefix: rows whose prompts begin alike are sent together, for the endpoint's prefix cache",
        one_of("input", "prefix"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplates(Section):
    """`[prompt]`: Jinja2 templates over the row's columns."""

    system: str | None = setting(None, "template of the system message", text)
    user: str | None = setting(None, "template of the user message", text)
    images: str | None = setting(None, "column of images to send along: URL, path or bytes, one or a list", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model(Section):
    """`[model]`: who answers, and how. Any other key of the chat-completions body is passed through."""

    names: tuple[str, ...] = setting((), "model, or list of models (`name` for one)", texts)
    temperature: float | None = setting(None, "0 to 2", number(at_least=0, at_most=2))
    max_tokens: int | None = setting(None, "longest answer, in tokens", whole(1))
    top_p: float | None = setting(None, "0 to 1", number(at_least=0, at_most=1))
    seed: int | None = setting(None, "of the endpoint's sampling; sample k gets seed + k", whole(0))
    stop: str | tuple[str, ...] | None = setting(None, "text or list of texts that end an answer", texts)
    num_samples: int = setting(1, "answers per prompt and model, one output row each", whole(1, 65_536))
    stream: bool | str = setting(
        False, 'receive answers as server-sent events; "auto": from reasoning models', flag_or("auto")
    )
    extra_body: dict[str, Any] = setting(dict, "further keys of the body, passed through unread", table, shown="{}")

    def parameters(self) -> dict[str, Any]:
        """Return the body's keys that this section sets, beside `model`."""
        own = {name: getattr(self, name) for name in ("temperature", "max_tokens", "top_p", "seed", "stop")}
        return {name: value for name, value in own.items() if value is not None} | self.extra_body


def _provider_of(base_url: str) -> str:
    if not base_url:
        return "wandb"
    return next((provider for provider, url in BASE_URLS.items() if url == base_url), "custom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Section):
    """`[endpoint]`: who serves. Never a key: only the name of the variable that holds it."""

    provider: str = setting(
        "",
        "wandb, openai or custom",
        one_of("wandb", "openai", "custom"),
        shown="whose base_url it is, else custom; wandb without one",
    )
    base_url: str = setting(
        "", "URL up to and with /v1; the provider's own unless said", http_url, shown="the provider's"
    )
    project: str | None = setting(None, "team/project that W&B books usage on", header_text)
    api_key_env: str | None = setting(None, "environment variable that holds the key", text, shown="the provider's")
    allow_http: bool = setting(False, "send the key over http to another host than this one", flag)

    def __post_init__(self) -> None:
        super(Endpoint, self).__post_init__()
        provider = self.provider or _provider_of(self.base_url)
        object.__setattr__(self, "provider", provider)
        if not self.base_url:
            if provider not in BASE_URLS:
                raise SettingError("base_url", "", "must be given when the provider is custom")
            object.__setattr__(self, "base_url", BASE_URLS[provider])
        if self.base_url.startswith("http://") and not self.is_loopback and not self.allow_http:
            must = "must be https: over http the key could be read on the way (--allow-http sends it all the same)"
            raise SettingError("base_url", self.base_url, must)

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        return is_loopback(urlsplit(self.base_url).hostname or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Section):
    """`[limits]`: ceilings that the run never exceeds, and how patient it is."""

    max_concurrency: int = setting(
        1000, "requests in flight, at most; the run finds the endpoint's own limit below", whole(1)
    )
    requests_per_minute: int | None = setting(None, "requests sent a minute, at most", whole(1))
    tokens_per_minute: int | None = setting(None, "tokens sent and received a minute, at most", whole(1))
    max_attempts: int = setting(5, "attempts of a row that fails while others succeed", whole(1))
    timeout_s: float = setting(
        600.0, "longest an attempt may take, in seconds; of a stream, from one piece to the next", number(above=0)
    )
    connect_timeout_s: float = setting(10.0, "longest a connection may take to open, in seconds", number(above=0))
    max_cost_usd: float | None = setting(None, "most that the job may cost, over all its runs, in USD", number(above=0))
    max_tokens_total: int | None = setting(
        None, "most tokens that the job may use, sent and received, over all its runs", whole(1)
    )
    stop_at: str | None = setting(None, "time of day (HH:MM) to drain and stop at", clock_time)
    max_duration_s: float | None = setting(None, "drain and stop after, such as 8h", duration_s, key="max_duration")
    patience_s: float = setting(
        43_200.0, "how long an outage is waited out, such as 12h", duration_s, key="patience", shown="12h"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Section):
    """`[output]`: where the run lives, and what of the input is in its results."""

    dir: str = setting("", "run directory; runs/NAME unless said", text, shown="runs/NAME")
    keep: tuple[str, ...] | None = setting(
        None, "columns of the input to keep in the results; all unless said", texts, shown="all"
    )
    upload: str | None = setting(
        None, "folder to upload the results to at the end: s3://, gs://, az:// or hf://datasets/USER/NAME", store_url
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Section):
    """`[response]`: what every answer must look like."""

    schema: dict[str, Any] | None = setting(
        None, "JSON Schema of the answers: a file, or a table; its properties become typed columns", table
    )
    mode: str = setting(
        "json_schema",
        "how the endpoint is told of it: json_schema, json_object, or none (then only the prompt can say it)",
        one_of("json_schema", "json_object", "none"),
    )
    repair_attempts: int = setting(
        2, "how often an answer that does not fit is asked for again, with what is wrong with it", whole(0, 10)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate(Section):
    """`[evaluate]`: how good the answers are. Nothing of it is sent, and it costs nothing."""

    target: str | None = setting(None, "column that holds what is right", text)
    scorer: str = setting(
        "exact",
        "exact, contains, number, regex or json_field",
        one_of("exact", "contains", "number", "regex", "json_field"),
    )
    pattern: str | None = setting(None, "regex: its first group, or all of its first match, is compared", text)
    field: str | None = setting(None, "json_field: which property of the answer is compared", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(Section):
    """`[publish]`: who else is to see the run. What goes wrong there costs the publishing, and nothing of the run."""

    weave: str | None = setting(
        None, "TEAM/PROJECT of W&B Weave that gets calls, evaluations and a leaderboard as the run ends", team_project
    )
    wandb: str | None = setting(
        None, "TEAM/PROJECT of W&B that gets live metrics, and at the end results.parquet and report.html", team_project
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Section):
    """`[prices."MODEL"]`: what a model costs, where the built-in list is wrong or silent."""

    input_usd_per_mtok: float = setting(0.0, "USD per million prompt tokens", number(at_least=0))
    output_usd_per_mtok: float = setting(0.0, "USD per million completion tokens", number(at_least=0))
    cached_input_usd_per_mtok: float | None = setting(None, "USD per million cached prompt tokens", number(at_least=0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run: made by `load_job` or `job_for`, or in Python section by section."""

    name: str = "batch"
    """Names the run directory unless `output.dir` does."""
    input: Input
    prompt: PromptTemplates = dataclasses.field(default_factory=PromptTemplates)
    model: Model = dataclasses.field(default_factory=Model)
    endpoint: Endpoint = dataclasses.field(default_factory=Endpoint)
    limits: Limits = dataclasses.field(default_factory=Limits)
    output: Output = dataclasses.field(default_factory=Output)
    response: Response = dataclasses.field(default_factory=Response)
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
    publish: Publish = dataclasses.field(default_factory=Publish)
    prices: Mapping[str, Price] = dataclasses.field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """The models to ask, as the endpoint knows them, each once; empty when the rows name their own."""
        prefix = LITELLM_PREFIX if self.endpoint.provider == "wandb" else ""
        return tuple(dict.fromkeys(name.removeprefix(prefix) for name in self.model.names))

    @property
    def per_row(self) -> int:
        """How many requests an input row makes: one to each model and sample."""
        return max(1, len(self.models)) * self.model.num_samples

    @property
    def run_directory(self) -> Path:
        """Where the run lives."""
        return Path(self.output.dir or f"runs/{self.name}")


class UnknownSettingError(ValueError):
    """A stored job has a section, a setting or a value that this version does not know; the message names it."""


SECTIONS: dict[str, type[Section]] = {
    "input": Input,
    "prompt": PromptTemplates,
    "model": Model,
    "endpoint": Endpoint,
    "limits": Limits,
    "output": Output,
    "response": Response,
    "evaluate": Evaluate,
    "publish": Publish,
}


def job_to_dict(job: Job) -> dict[str, Any]:
    """Return a job as plain data, for JSON. It holds no secrets: a job never does."""
    return dataclasses.asdict(job)


def job_from_dict(data: Mapping[str, Any]) -> Job:
    """Return the job that `job_to_dict` was given, also after a round through JSON, which makes lists of tuples.

    What an older version did not know has its default.

    Raises:
        UnknownSettingError: this version does not know a section, a setting or a value: a newer one wrote it.
    """
    if unknown := _unknown(data):
        raise UnknownSettingError(", ".join(unknown))
    try:
        sections: dict[str, Any] = {
            name: kind(
                **{key: tuple(value) if isinstance(value, list) else value for key, value in data.get(name, {}).items()}
            )
            for name, kind in SECTIONS.items()
        }
        prices = {model: Price(**price) for model, price in data["prices"].items()}
        return Job(name=data["name"], prices=prices, **sections)
    except SettingError as problem:
        raise UnknownSettingError(f"{problem.key} = {problem.value!r}") from problem


def _unknown(data: Mapping[str, Any]) -> list[str]:
    """Return the sections and settings of a stored job that this version does not know."""
    known = {field.name for field in dataclasses.fields(Job)}
    parts: dict[str, tuple[Any, Any]] = {name: (data.get(name, {}), kind) for name, kind in SECTIONS.items()}
    parts |= {f'prices."{model}"': (price, Price) for model, price in data.get("prices", {}).items()}
    return [name for name in data if name not in known] + [
        f"{name}.{key}"
        for name, (part, kind) in parts.items()
        for key in sorted(part.keys() - {field.name for field in dataclasses.fields(kind)})
    ]
