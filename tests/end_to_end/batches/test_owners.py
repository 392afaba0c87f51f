"""Whose batches are under way: those of another run, key or endpoint are neither taken nor bought again."""

from typing import Any

import pytest
from harness.by_batch import BY_BATCH, MANY, MODEL, Interrupted, asked_at, assert_bought_once, books, created, state
from harness.prompts import write_prompts
from harness.serving import answering


def test_batches_under_way_elsewhere_are_not_taken_to_be_gone(
    run: Any, interrupted: Interrupted, endpoint: Any, batchrun: Any
) -> None:
    """Another server does not know them: its 404 would have their rows bought twice."""
    endpoint.change(batch_lines_per_s=2)
    write_prompts(*MANY)
    command = ("run", *BY_BATCH, "-m", MODEL, "-o", "out")
    interrupted()
    with answering(lambda body: (404, {"error": {"message": "no such batch"}})) as other:
        refused = batchrun(*command, "--base-url", other)
        assert refused.code == 2
        assert f"--base-url {endpoint.base_url}" in refused.stderr
        assert "--cancel" in refused.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTHER", "sk-test")
        refused = run(*BY_BATCH, "--api-key-env", "OTHER")
        assert refused.code == 2
        assert "run it without --api-key-env (api_key_env of a job file) to collect" in refused.stderr
        refused = run("in.jsonl", "--restart")
        assert refused.code == 2
        assert "use --via batch --cancel instead of --restart" in refused.stderr
    endpoint.change(batch_lines_per_s=None)
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)


def left_by_another_key(endpoint: Any, interrupted: Interrupted, monkeypatch: Any, **changes: Any) -> None:
    """Leave a batch at the provider, and have another key in its variable."""
    endpoint.change(batch_lines_per_s=2, **changes)
    write_prompts(*MANY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first")
    interrupted()
    endpoint.change(batch_lines_per_s=None)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-second")


def test_another_account_does_not_take_batches_to_be_deleted(
    run: Any, interrupted: Interrupted, endpoint: Any, monkeypatch: Any
) -> None:
    """At the same URL, by the same variable: its 404 would have their rows bought twice."""
    left_by_another_key(endpoint, interrupted, monkeypatch, batch_accounts=True)
    for _ in range(2):
        refused = run(*BY_BATCH)
        assert refused.code == 4
        assert "1 batch with 40 requests cannot be seen with this key" in refused.stderr
        assert "while the provider keeps them (OpenAI for 30 days)" in refused.stderr
        assert "no later run collects them with any key" in refused.stderr
    assert books(endpoint)["created"] == 1
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first")
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)


def test_what_another_account_has_can_be_given_up(
    run: Any, batchrun: Any, interrupted: Interrupted, endpoint: Any, monkeypatch: Any
) -> None:
    """Nothing was cancelled, and no message claims it."""
    left_by_another_key(endpoint, interrupted, monkeypatch, batch_accounts=True)
    finished = run(*BY_BATCH, "--cancel")
    assert finished.code == 5
    assert "is given up: this key does not see it" in finished.stderr
    assert "1 batch with 40 requests given up, not cancelled" in finished.stderr
    assert (
        "until you have them cancelled at the provider with it. No later run collects them; what they answer can be "
        "downloaded there with that key, from OpenAI for 30 days; run the command without --cancel to go on"
    ) in finished.stderr
    for wrong in ("what they had answered", "sent again", "is gone"):
        assert wrong not in finished.stderr
    assert (state()["batches"]["collected"], state()["batches"]["given_up"]) == (0, 1)
    assert "1 batch given up, which another key has created" in batchrun("status", "out").stdout
    assert "collected" not in batchrun("status", "out").stdout
    monkeypatch.setenv("OPENAI_API_KEY", "sk-first")
    assert run(*BY_BATCH).code == 0
    assert state()["completed"] == 40
    assert books(endpoint)["created"] == 2


def test_a_new_key_of_the_same_account_goes_on(
    run: Any, interrupted: Interrupted, endpoint: Any, monkeypatch: Any
) -> None:
    left_by_another_key(endpoint, interrupted, monkeypatch)
    assert run(*BY_BATCH).code == 0
    assert books(endpoint)["created"] == 1
    assert_bought_once(endpoint)


def test_batches_carry_the_identity_of_their_run(batchrun: Any, endpoint: Any) -> None:
    """From the first execution on: by it a batch is found again, and never taken for one of another run."""
    write_prompts(*MANY[:2])
    for folder in ("one", "two"):
        asked = (*asked_at(endpoint, folder), "--batch-requests", 1)
        assert batchrun("run", *BY_BATCH, *asked).code == 0
    named = [each.metadata["batchrun_run"] for each in created(endpoint)]
    assert named[0] == named[1]
    assert named[2] == named[3]
    assert len(set(named)) == 2
    assert "" not in named
