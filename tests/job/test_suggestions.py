"""An unknown setting is answered with the one that was meant."""

import pytest

from batchrun.job.sections import SECTIONS
from batchrun.job.suggestions import _MEANT, misplaced_in_model, nearest_setting

KNOWN = ["max_attempts", "max_concurrency", "max_cost_usd", "max_tokens_total"]


@pytest.mark.parametrize(
    ("section", "key", "hint"),
    [
        ("limits", "max_retries", "; did you mean max_attempts?"),
        ("limits", "max_concurency", "; did you mean max_concurrency?"),
        ("limits", "api_base", "; did you mean base_url in [endpoint]?"),
        ("limits", "temperature", "; it is a setting of [model]"),
        ("limits", "zzz", f"; known are {', '.join(KNOWN)}"),
    ],
)
def test_the_nearest_setting_is_named(section: str, key: str, hint: str) -> None:
    assert nearest_setting(section, key, KNOWN) == hint


def test_for_a_secret_the_variable_with_it_is_named() -> None:
    hint = "; did you mean url_env, the name of an environment variable that holds it?"
    assert nearest_setting("notify", "url", ["url_env", "after_pause"]) == hint


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("max_attempts", "; it is a setting of [limits]"),
        ("max_retries", "; did you mean max_attempts in [limits]?"),
        ("top_k", None),
        ("prompt", None),
        ("user", None),
    ],
)
def test_a_setting_of_the_run_is_not_passed_through_to_the_model(key: str, hint: str | None) -> None:
    assert misplaced_in_model(key) == hint


@pytest.mark.parametrize("setting", sorted(set(_MEANT.values())))
def test_every_suggested_setting_exists(setting: str) -> None:
    from dataclasses import fields

    from batchrun.job.settings import key_of

    section, _, key = setting.partition(".")
    assert key in map(key_of, fields(SECTIONS[section]))  # type: ignore[arg-type]  # sections are dataclasses


def test_a_setting_of_the_section_that_is_only_longer_by_an_s_is_nearer_than_one_of_another_section() -> None:
    assert nearest_setting("endpoints.a", "model", ["base_url", "models"]) == "; did you mean models?"
