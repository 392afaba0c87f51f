"""What an unknown setting was meant to be: the nearest one, one of another section, or ours for another tool's word."""

import difflib
from collections.abc import Iterable
from dataclasses import fields

from batchrun.job.sections import SECTIONS
from batchrun.job.settings import key_of

_MEANT = {
    "max_retries": "limits.max_attempts",
    "retries": "limits.max_attempts",
    "num_retries": "limits.max_attempts",
    "concurrency": "limits.max_concurrency",
    "max_workers": "limits.max_concurrency",
    "num_workers": "limits.max_concurrency",
    "workers": "limits.max_concurrency",
    "parallelism": "limits.max_concurrency",
    "rpm": "limits.requests_per_minute",
    "tpm": "limits.tokens_per_minute",
    "timeout": "limits.timeout_s",
    "budget": "limits.max_cost_usd",
    "max_budget": "limits.max_cost_usd",
    "max_cost": "limits.max_cost_usd",
    "deadline": "limits.stop_at",
    "api_base": "endpoint.base_url",
    "url": "endpoint.base_url",
    "api_key": "endpoint.api_key_env",
    "key": "endpoint.api_key_env",
    "file": "input.path",
    "files": "input.path",
    "max_rows": "input.limit",
    "template": "prompt.user",
    "prompt": "prompt.user",
    "system_prompt": "prompt.system",
    "n": "model.num_samples",
    "samples": "model.num_samples",
    "num_completions": "model.num_samples",
    "best_of": "model.num_samples",
    "directory": "output.dir",
    "out": "output.dir",
    "columns": "output.keep",
    "json_schema": "response.schema",
    "gold": "evaluate.target",
    "metric": "evaluate.scorer",
}
"""Words of other tools → our setting of the same meaning."""

_PARAMETERS = frozenset({"key", "url", "prompt", "file", "files", "best_of", "timeout", "columns", "samples", "metric"})
"""Words that an endpoint may know as a key of the body: under `[model]` they are passed through."""

_REPEATING = ("judge", "endpoint")
"""Sections that have settings of others again: those that a user more likely means are the others'."""

_CUTOFF = 0.5


def nearest_setting(section: str, key: str, known: Iterable[str]) -> str:
    """Return the hint that ends a message about an unknown setting.

    Args:
        section: where it was set.
        key: its name.
        known: the settings of this section.
    """
    known = list(known)
    if f"{key}_env" in known:
        return f"; did you mean {key}_env, the name of an environment variable that holds it?"
    if meant := _MEANT.get(key):
        return f"; did you mean {_within(section, meant)}?"
    if f"{key}s" in known:
        return f"; did you mean {key}s?"
    if other := section_of(key, but=section):
        return f"; it is a setting of [{other}]"
    return nearest(key, known)


def misplaced_in_model(key: str) -> str | None:
    """Return the hint for a key of `[model]` that is a setting of another section; None if it may be a parameter."""
    if key not in _PARAMETERS and (meant := _MEANT.get(key)):
        return f"; did you mean {_within('model', meant)}?"
    other = section_of(key, but="model")
    return f"; it is a setting of [{other}]" if other in ("limits", "endpoint") else None


def meant(key: str) -> str | None:
    """Return our setting, as `section.key`, for a word of other tools; None if it is not one of these."""
    return _MEANT.get(key)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint that ends a message about an unknown word: the nearest known word, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=_CUTOFF)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def section_of(key: str, *, but: str) -> str | None:
    """Return the only other section that has a setting of this name."""
    found = [name for name, kind in SECTIONS.items() if name != but and key in map(key_of, fields(kind))]  # type: ignore[arg-type]  # sections are dataclasses
    likely = [name for name in found if name not in _REPEATING] or found
    return likely[0] if len(likely) == 1 else None


def _within(section: str, setting: str) -> str:
    its_section, _, key = setting.partition(".")
    return key if its_section == section else f"{key} in [{its_section}]"
