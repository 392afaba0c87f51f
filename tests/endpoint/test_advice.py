"""The advice after a refusal fits the endpoint, and can be typed."""

from datetime import date

import pytest
from harness.stopped_calendar import stop_calendar

from batchrun.endpoint.advice import cure_for, models_command, place_of, unheard_cure
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.job.endpoint import Endpoint

LOCAL = Endpoint(base_url="http://127.0.0.1:8000/v1")
OWN_KEY = Endpoint(base_url="https://llm.example.org/v1", api_key_env="MY_KEY")
OPEN = Endpoint(base_url="http://llm.example.org/v1", allow_http=True)
REFUSALS = [kind for kind, effect in EFFECTS.items() if effect.run.exit_code]


@pytest.mark.parametrize(
    ("kind", "endpoint", "has_key", "parts"),
    [
        ("unauthorized", LOCAL, False, ["no key was sent; set OPENAI_API_KEY (any value for servers that need none)"]),
        ("unauthorized", LOCAL, True, ["check the key in OPENAI_API_KEY; then"]),
        ("unauthorized", OWN_KEY, True, ["check the key in MY_KEY; then"]),
        ("unauthorized", Endpoint(), True, ["the key in WANDB_API_KEY and", "(--project)"]),
        ("forbidden", LOCAL, False, ["no key was sent; set OPENAI_API_KEY", "check the base URL"]),
        ("forbidden", OWN_KEY, True, ["the key in MY_KEY", "the base URL", "served in your region"]),
        ("account_unsupported", OWN_KEY, True, ["use another account than that of the key in MY_KEY"]),
        ("account_unsupported", Endpoint(), True, ["--project TEAM/PROJECT"]),
        ("model_not_found", LOCAL, True, ["`batchrun models --base-url http://127.0.0.1:8000/v1` lists"]),
        ("model_not_found", Endpoint(), True, ["`batchrun models` lists"]),
        ("model_not_found", OWN_KEY, True, ["--base-url https://llm.example.org/v1 --api-key-env MY_KEY`"]),
        ("model_not_found", OPEN, True, ["--base-url http://llm.example.org/v1 --allow-http`"]),
    ],
)
def test_the_cure_names_key_and_url(
    kind: str, endpoint: Endpoint, has_key: bool, parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "any")
    cure = cure_for(kind, endpoint, has_key=has_key)
    assert all(part in cure for part in parts), cure


def test_a_retired_model_of_wandb_has_its_date_and_its_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the same model may still be served."""
    stop_calendar(monkeypatch, date(2026, 11, 28))
    model = "moonshotai/Kimi-K2-Instruct"
    assert cure_for("model_not_found", Endpoint(), has_key=True, model=model) == (
        "it was retired on 2026-03-04; the vendor recommends moonshotai/Kimi-K2.5; "
        "`batchrun models` lists what the endpoint serves"
    )
    assert "retired" not in cure_for("model_not_found", LOCAL, has_key=True, model=model)


def test_a_key_of_netrc_is_named_where_the_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert "the key in ~/.netrc" in cure_for("unauthorized", Endpoint(), has_key=True)


@pytest.mark.parametrize("has_key", [True, False])
@pytest.mark.parametrize("kind", EFFECTS)
def test_only_wandb_has_a_project(kind: str, has_key: bool) -> None:
    assert "--project" not in cure_for(kind, LOCAL, has_key=has_key)


@pytest.mark.parametrize("endpoint", [LOCAL, OWN_KEY, Endpoint()])
@pytest.mark.parametrize("kind", REFUSALS)
def test_every_refusal_has_a_cure(kind: str, endpoint: Endpoint) -> None:
    assert cure_for(kind, endpoint, has_key=True)


@pytest.mark.parametrize("kind", ["unauthorized", "forbidden"])
def test_a_refusal_of_the_key_says_whether_one_was_sent(kind: str) -> None:
    assert "no key was sent" in cure_for(kind, LOCAL, has_key=False)
    assert "no key was sent" not in cure_for(kind, LOCAL, has_key=True)


def test_a_list_of_models_that_is_missing_is_not_the_cure_for_itself() -> None:
    assert "batchrun models" not in cure_for("model_not_found", LOCAL, has_key=True, lists_models=True)
    assert models_command(LOCAL) == "batchrun models --base-url http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("endpoint", "patience_s", "cure"),
    [
        (LOCAL, None, "is this URL right? A server that is still starting needs more time: --patience 1h"),
        (LOCAL, 3_600.0, "is this URL right?"),
        (Endpoint(), None, "is this machine connected to the network? To wait longer: --patience 12h"),
        (Endpoint(), 60.0, "is this machine connected to the network?"),
    ],
)
def test_where_nothing_answers_the_url_is_doubted_unless_it_is_a_providers(
    endpoint: Endpoint, patience_s: float | None, cure: str
) -> None:
    assert unheard_cure(endpoint, patience_s) == cure


def test_a_url_from_the_environment_is_shown_with_its_variable() -> None:
    assert (
        place_of(LOCAL, {"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1/"}) == f"{LOCAL.base_url} (from OPENAI_BASE_URL)"
    )
    assert place_of(LOCAL, {"OPENAI_BASE_URL": "http://127.0.0.1:9000/v1"}) == LOCAL.base_url
    assert place_of(LOCAL, {}) == LOCAL.base_url
