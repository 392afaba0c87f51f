"""The settings of the simulator, each with default, unit, check and one line of documentation.

The options and the help of `batchrun simulate` and the fields of `POST /control` come from this table.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from batchrun.simulator.errors import SHAPES, check_retry_after
from batchrun.simulator.faults import FAULTS, find

MODELS = (
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.3-70B-Instruct",
    "openai/gpt-oss-20b",
    "openai/gpt-oss-120b",
    "MiniMaxAI/MiniMax-M3",
    "Qwen/Qwen3.6-35B-A3B",
    "Qwen/Qwen3.8-27B",
    "deepseek-ai/DeepSeek-V3.1",
    "deepseek-ai/DeepSeek-V4-Flash-0731",
    "deepseek-ai/DeepSeek-V4-Pro-0813",
    "deepseek-ai/DeepSeek-V4.1-Flash",
    "deepseek-ai/DeepSeek-V4.1-Flash-1017",
    "google/gemma-4-26B-A4B-it",
    "google/gemma-4-31B-it",
    "ibm-granite/granite-4.2-8b",
    "moonshotai/Kimi-K2.5",
    "moonshotai/Kimi-K2.6",
    "moonshotai/Kimi-K2.7-Code",
    "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B",
    "nvidia/NVIDIA-Nemotron-3.5-Lightning-30B-A3B",
    "nvidia/NVIDIA-Nemotron-3.5-Super-VL-120B-A12B",
    "reflection/Beam-1.0-501B-A23B",
    "zai-org/GLM-5.2",
    "zai-org/GLM-5.3",
    "zai-org/GLM-5.3-Flash",
)
"""What W&B Inference serves on 2026-11-28."""
REASONING_FIELDS = ("reasoning", "reasoning_content", "reasoning_details", "think", "think_end")


class SettingsError(ValueError):
    """Raised when a setting is unknown or its value is out of range."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The values that a setting accepts, as text from a command line or as JSON from `POST /control`."""

    metavar: str
    parse: Callable[[Any], Any]
    repeats: bool = False
    choices: tuple[str, ...] = ()


def _number(low: float, *, whole: bool = False, optional: bool = False, high: float = math.inf) -> Kind:
    words = f"must be {'an integer' if whole else 'a number'} of at least {low:g}"
    words += f" and at most {high:g}" if high < math.inf else ""
    words += ", or none" if optional else ""

    def parse(value: Any) -> float | None:
        if optional and (value is None or value == "none"):
            return None
        if isinstance(value, bool):
            raise ValueError(words)
        try:
            number = int(value) if whole else float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(words) from None
        if not low <= number <= high or number == math.inf or (whole and number != float(value)):
            raise ValueError(words)
        return number

    return Kind("N" if whole else "NUMBER", parse)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) and text for text in value):
        raise ValueError("must be a list of strings that are not empty")
    return tuple(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _choice(*names: str) -> Kind:
    def parse(value: Any) -> Any:
        if value not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value

    return Kind("NAME", parse, choices=names)


def _pairs(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple) and all(isinstance(item, str) and "=" in item for item in value):
        return dict(item.split("=", 1) for item in value)
    raise ValueError("must be NAME=VALUE, or an object of names and values")


def _shares(value: Any) -> dict[str, float]:
    part = _number(0, high=1).parse
    shares = {find(name).name: part(share) for name, share in _pairs(value).items()}
    # Shares such as ten times 0.1 add up to a little more than 1.
    if sum(shares.values()) > 1 + 1e-9:
        raise ValueError("must not add up to more than 1")
    return shares


def _retry_after(value: Any) -> dict[str, str]:
    statuses = {str(fault.problem.status) for fault in FAULTS.values() if fault.problem}
    waits = {}
    for name, wait in _pairs(value).items():
        waits[name if name in statuses else find(name).name] = check_retry_after(str(wait))
    return waits


_TEXTS = Kind("TEXT", _texts, repeats=True)
_SWITCH = Kind("", _switch)


def _setting(default: Any, kind: Kind, group: str, doc: str, option: str = "", shown: str = "") -> Any:
    """Declare one setting; `shown` is how the help prints a default that is too long for it."""
    metadata = {"kind": kind, "group": group, "doc": doc, "option": option, "shown": shown}
    return field(default_factory=lambda: default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the simulated endpoint behaves. Build it with keywords; use `changed` for values that need a check."""

    keys: tuple[str, ...] = _setting((), _TEXTS, "Access", "accepted key; without it, every key", "key")
    require_key: bool = _setting(True, _SWITCH, "Access", "whether requests need a key")
    projects: tuple[str, ...] = _setting(
        (), _TEXTS, "Access", "accepted OpenAI-Project; without it, every project", "project"
    )
    models: tuple[str, ...] = _setting(
        MODELS,
        _TEXTS,
        "Access",
        "model served, in addition to every wandb-artifact:///…",
        "model",
        shown="those of W&B Inference on 2026-11-28",
    )
    concurrency_limit: int | None = _setting(
        50, _number(0, whole=True, optional=True), "Limits", "requests in flight per project; 0: reject all"
    )
    requests_per_minute: int | None = _setting(
        None, _number(1, whole=True, optional=True), "Limits", "requests per minute and project"
    )
    tokens_per_minute: int | None = _setting(
        None, _number(1, whole=True, optional=True), "Limits", "tokens per minute and project"
    )
    context_tokens: int = _setting(
        131_072, _number(1, whole=True), "Limits", "longest prompt and answer together, in tokens"
    )
    latency_s: float = _setting(0.3, _number(0), "Time", "median seconds to an answer, log-normal; 0: no delay")
    latency_sigma: float = _setting(0.35, _number(0, high=5), "Time", "standard deviation of the logarithm of latency")
    tokens_per_s: float | None = _setting(
        None, _number(0.001, optional=True), "Time", "tokens per second after that; none: all at once"
    )
    error_latency_s: float = _setting(0.0, _number(0), "Time", "seconds until an error of --error or of a marker")
    error_shares: Mapping[str, float] = _setting(
        {}, Kind("FAULT=SHARE", _shares, True), "Faults", "share of all requests that get a fault", "error"
    )
    retry_after: Mapping[str, str] = _setting(
        {},
        Kind("STATUS=WAIT", _retry_after, True),
        "Faults",
        "header for a status or fault: SECONDS, date:SECONDS, ms:MILLISECONDS, or auto: the wait that a limit computes",
    )
    error_shape: str = _setting("openai", _choice(*SHAPES), "Faults", "form of error bodies")
    bill_abandoned: bool = _setting(
        True, _SWITCH, "Faults", "whether an answer is billed when its client disconnects before it comes"
    )
    batch_lines_per_s: float | None = _setting(
        None, _number(0.001, optional=True), "Batches", "lines per second that each batch answers; none: all at once"
    )
    batch_validation_s: float = _setting(
        0.1,
        _number(0),
        "Batches",
        "seconds until a batch is validated, and likewise until it is finalized or cancelled",
    )
    batch_window_s: float = _setting(86_400.0, _number(0), "Batches", "seconds until a batch expires")
    batch_tokens: int | None = _setting(
        None, _number(1, whole=True, optional=True), "Batches", "most tokens of prompts enqueued for a model"
    )
    batch_requests: int = _setting(50_000, _number(1, whole=True), "Batches", "most lines of a batch")
    batch_bytes: int = _setting(200_000_000, _number(1, whole=True), "Batches", "most bytes of a file")
    batch_reply_s: float = _setting(0.0, _number(0), "Batches", "seconds from the creation of a batch to the reply")
    batch_list_lag_s: float = _setting(
        0.0, _number(0), "Batches", "seconds from the creation of a batch until lists have it"
    )
    batch_together: bool = _setting(False, _SWITCH, "Batches", "files and batches in the form of Together, not OpenAI")
    batch_accounts: bool = _setting(
        False, _SWITCH, "Batches", "each key is an account, which sees only its own files and batches"
    )
    seed: int = _setting(0, _number(0, whole=True), "Answers", "same seed and request: same answer, same faults")
    answer_tokens: int = _setting(24, _number(1, whole=True), "Answers", "about how long an answer is, in tokens")
    embedding_dimensions: int = _setting(64, _number(1, whole=True), "Answers", "how many numbers an embedding has")
    image_tokens: int = _setting(256, _number(0, whole=True), "Answers", "tokens that each image in a prompt counts")
    reasoning_models: tuple[str, ...] = _setting(
        ("gpt-oss", "minimax", "qwen3.", "gemma-4", "granite-4.2", "kimi-k2.", "nemotron", "beam", "glm-5"),
        _TEXTS,
        "Answers",
        "models with this in their name reason",
        "reasoning-model",
    )
    reasoning_field: str = _setting(
        "reasoning",
        _choice(*REASONING_FIELDS),
        "Answers",
        "field with the reasoning; think: inside the content; think_end: likewise, without the opening tag",
    )


KINDS: Mapping[str, Kind] = {item.name: item.metadata["kind"] for item in fields(Settings)}


def changed(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """Return the settings with some values replaced and checked.

    Raises:
        SettingsError: a name is unknown, or a setting does not accept its value.
    """
    return replace(settings, **{name: _checked(name, value) for name, value in values.items()})


def as_json(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON values, without the keys."""
    return {name: getattr(settings, name) for name in KINDS if name != "keys"}


def _checked(name: str, value: Any) -> Any:
    if name not in KINDS:
        near = difflib.get_close_matches(name, KINDS, 1)
        raise SettingsError(f"{name} is not a setting" + (f"; the nearest is {near[0]}" if near else "")) from None
    try:
        return KINDS[name].parse(value)
    except ValueError as error:
        raise SettingsError(f"{name} = {value!r}; {error}") from error
