"""`model.fallback`: which model is asked in place of another that fails a row. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from batchrun.job.settings import SettingError, text

_ONLY = ""
"""Stands for the only model of the job until its name is known."""


def stated_fallback(value: Any) -> dict[str, str]:
    """Accept the name of a model, or a table: name of a model → name of its fallback."""
    if not isinstance(value, Mapping):
        return {_ONLY: text(value)}
    return {text(model) if model else _ONLY: text(other) for model, other in value.items()}


def named_fallbacks(stated: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Return model → its fallback, as the job names both.

    Args:
        stated: what `stated_fallback` returned.
        names: of the job's models; none where the rows name their own.

    Raises:
        SettingError: it is not clear whose fallback it is, it is of no model of the job, or a model is its own.
    """
    if _ONLY in stated and len(names) != 1:
        example = f'{{"{names[0] if names else "MODEL"}" = "{stated[_ONLY]}"}}'
        why = "the job has several models" if names else "the job names no model"
        raise SettingError("fallback", stated[_ONLY], f"must be a table in a job file, such as {example}: {why}")
    for model, other in stated.items():
        key = f'fallback."{model}"' if model else "fallback"
        if names and model and model not in names:
            raise SettingError(key, other, f"must be of a model of the job ({', '.join(names)})")
        if other == (model or names[0]):
            raise SettingError(key, other, "must be another model")
    return {model or names[0]: other for model, other in stated.items()}
