"""The advice after a refusal fits the endpoint, and can be typed."""

import pytest

from batchrun.endpoint.advice import cure_for, models_command, with_cure
from batchrun.endpoint.pool.verdicts import EFFECTS
from batchrun.job.sections import Endpoint

LOCAL = Endpoint(base_url="http://127.0.0.1:8000/v1")
BARE = Endpoint(base_url="http://127.0.0.1:8000")
OWN_KEY = Endpoint(base_url="https://llm.example.org/v1", api_key_env="MY_KEY")


@pytest.mark.parametrize(
    ("kind", "endpoint", "has_key", "parts"),
    [
        ("unauthorized", LOCAL, False, ["no key was sent; set OPENAI_API_KEY (any value for servers that need none)"]),
        ("unauthorized", LOCAL, True, ["check the key in OPENAI_API_KEY; then"]),
        ("unauthorized", OWN_KEY, True, ["check the key in MY_KEY; then"]),
        ("unauthorized", Endpoint(), True, ["check the key in WANDB_API_KEY or ~/.netrc and", "(--project)"]),
        ("model_not_found", LOCAL, True, ["`batchrun models --base-url http://127.0.0.1:8000/v1` lists"]),
        ("model_not_found", BARE, True, ["usually ends in /v1: try --base-url http://127.0.0.1:8000/v1; `batchrun"]),
        ("model_not_found", Endpoint(), True, ["`batchrun models` lists"]),
        ("model_not_found", OWN_KEY, True, ["--base-url https://llm.example.org/v1 --api-key-env MY_KEY`"]),
    ],
)
def test_the_cure_names_key_and_url(kind: str, endpoint: Endpoint, has_key: bool, parts: list[str]) -> None:
    cure = cure_for(kind, endpoint, has_key=has_key)
    assert all(part in cure for part in parts), cure
    assert with_cure(f"why; {EFFECTS[kind].cure}", kind, endpoint, has_key=has_key) == f"why; {cure}"


def test_a_retired_model_of_wandb_has_its_date_and_its_replacement() -> None:
    """The message of a refused model begins with its name. Elsewhere the same model may still be served."""
    table = f"moonshotai/Kimi-K2-Instruct: model not found; {EFFECTS['model_not_found'].cure}"
    assert with_cure(table, "model_not_found", Endpoint(), has_key=True) == (
        "moonshotai/Kimi-K2-Instruct: model not found; it was retired on 2026-03-04; the vendor recommends "
        "moonshotai/Kimi-K2.5; `batchrun models` lists what the endpoint serves"
    )
    assert "retired" not in with_cure(table, "model_not_found", LOCAL, has_key=True)


@pytest.mark.parametrize("kind", EFFECTS)
def test_only_wandb_has_a_project(kind: str) -> None:
    if kind != "account_unsupported":  # only W&B has it
        assert "--project" not in cure_for(kind, LOCAL, has_key=True)


@pytest.mark.parametrize("kind", ["interrupted", "deadline", "timeout"])
def test_other_messages_stay_as_they_are(kind: str) -> None:
    assert with_cure("why", kind, LOCAL, has_key=False) == "why"


def test_a_list_of_models_that_is_missing_is_not_the_cure_for_itself() -> None:
    assert "batchrun models" not in cure_for("model_not_found", BARE, has_key=True, lists_models=True)
    assert models_command(LOCAL) == "batchrun models --base-url http://127.0.0.1:8000/v1"
