"""Refusing to leave batches alone: the advice must work when typed."""

from typing import Any

import pytest

from batchrun.checkpoint.batch_tables import CREATED, UPLOADED, BatchRow
from batchrun.engine.batches.open import account_of, as_it_is_at, refuse_to_leave
from batchrun.errors import JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Model

URL = "https://api.example.com/v1"
ROW = BatchRow(1, "m", "chat", CREATED, 3, 0.0, 0.0, 0, name="batch_1")


def endpoint(**settings: Any) -> Endpoint:
    return Endpoint(**{"base_url": URL, "via": "batch", **settings})


def run(account: str, now: Endpoint) -> None:
    job = Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)), endpoint=now)
    refuse_to_leave([ROW], job, account=account, was_simulated=False, simulated=False)


@pytest.mark.parametrize(
    ("before", "now", "advice"),
    [
        ({"api_key_env": "OTHER"}, {}, "with --api-key-env OTHER"),
        ({}, {"api_key_env": "OTHER"}, "without --api-key-env (api_key_env of a job file)"),
        ({"api_key_env": "ONE", "project": "a/b"}, {"api_key_env": "TWO", "project": "a/b"}, "with --api-key-env ONE"),
        (
            {"project": "a/b"},
            {"api_key_env": "TWO"},
            "with --project a/b and without --api-key-env (api_key_env of a job file)",
        ),
        ({"base_url": "https://other.example.com/v1"}, {}, "with --base-url https://other.example.com/v1"),
        ({"query": {"v": "1"}}, {"query": {"v": "2"}}, "with v = 1 in [endpoint]"),
    ],
)
def test_what_differs_is_named(before: dict[str, Any], now: dict[str, Any], advice: str) -> None:
    with pytest.raises(JobError) as refused:
        run(account_of(endpoint(**before)), endpoint(**now))
    assert f"run it {advice} to collect the answers, with" in str(refused.value)


def test_a_project_is_the_same_wherever_it_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `--project`, as advised, would be refused too."""
    wandb = {"base_url": "https://api.inference.wandb.ai/v1", "api_key_env": "ONE"}
    stated = account_of(endpoint(project="a/b", **wandb))
    monkeypatch.setenv("WANDB_ENTITY", "a")
    monkeypatch.setenv("WANDB_PROJECT", "b")
    found = account_of(endpoint(**wandb))
    run(found, endpoint(project="a/b", **wandb))
    run(stated, endpoint(**wandb))
    uploaded = ROW._replace(step=UPLOADED, file="file_1")
    assert as_it_is_at(found, stated, [uploaded]) == [uploaded]
    monkeypatch.setenv("WANDB_PROJECT", "c")
    with pytest.raises(JobError, match="with --project a/b"):
        run(stated, endpoint(**wandb))
