"""How an execution uses the contents of a run directory, and what it changes when it is refused."""

import dataclasses
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results, write_prompts

from batchrun.checkpoint import facts
from batchrun.checkpoint.reader import Checkpoint
from batchrun.checkpoint.store import Store
from batchrun.engine.options import Options
from batchrun.engine.preflight.check import Report, check
from batchrun.engine.runner import run
from batchrun.errors import BatchrunError, JobError
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Limits, Model, Output, Price
from batchrun.prompts.source import Source
from batchrun.records import AnswerSource, Figures
from batchrun.report.bar import Silence
from batchrun.results.export import export

NOTED = (facts.JOB, facts.ORIGIN, facts.FOLDER, facts.SIMULATED, facts.ENDPOINTS, facts.BEGUN, facts.IDENTITY)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test an empty folder and its own home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


class Messages(Silence):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def show(self, figures: Figures) -> None:
        """Show nothing."""

    def say(self, message: str) -> None:
        """Keep a line."""
        self.lines.append(message)


def job(max_cost_usd: float | None = None, base_url: str = "", **settings: Any) -> Job:
    """Return a job with a price."""
    return Job(
        input=Input(path=("in.jsonl",), **settings),
        model=Model(names=("m",), max_tokens=5),
        endpoint=Endpoint(base_url=base_url),
        limits=Limits(max_cost_usd=max_cost_usd),
        output=Output(dir="out"),
        prices={"m": Price(input_usd_per_mtok=1.0, output_usd_per_mtok=1.0)},
    )


def noted() -> list[Any]:
    """Return what the directory records about its run."""
    with Checkpoint(Path("out")) as checkpoint:
        return [checkpoint.fact(each) for each in NOTED]


def refused(job: Job, *, simulate: bool) -> str:
    """Run a job that is refused; return the reason."""
    with pytest.raises(BatchrunError) as problem:
        run(job, Options(simulate=simulate))
    return str(problem.value)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The endpoint of a real run: a simulator that the run takes for a real endpoint."""
    from contextlib import asynccontextmanager

    from batchrun.engine import execution
    from batchrun.engine.access import Access, access_to

    @asynccontextmanager
    async def everywhere(endpoint: Endpoint, *, simulate: bool) -> Any:
        async with access_to(endpoint, simulate=True) as found:
            real = {name: Access(access.base_url, access.key, None) for name, access in found.items()}
            yield found if simulate else real

    monkeypatch.setattr(execution, "access_to", everywhere)


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("simulate", [True, False])
def test_a_run_that_is_refused_leaves_nothing_behind(simulate: bool) -> None:
    """A run of the other kind begins as without it."""
    write_prompts("a", "b")
    assert "the cap is 0.00000001 USD" in refused(job(max_cost_usd=1e-8), simulate=simulate)
    assert not Path("out").exists()
    assert run(job(), Options(simulate=not simulate)).completed == 2
    assert noted()[3] is not simulate


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("simulate", [True, False])
def test_a_mark_without_answers_refuses_no_run(simulate: bool) -> None:
    """Such as the mark of another version, or of a run with broken rows only."""
    Path("in.jsonl").write_text('{"prompt": "a"}\nnot JSON\n')
    job_of_one = dataclasses.replace(job(), limits=Limits(max_duration_s=1e-9))
    assert run(job_of_one, Options(simulate=simulate)).attempts == 0
    assert noted()[3] is simulate
    assert run(job(), Options(simulate=not simulate)).completed == 1


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize(("simulate", "kind"), [(True, "simulated"), (False, "real")])
def test_answers_of_one_kind_refuse_the_other(simulate: bool, kind: str) -> None:
    """They are never mixed, and the refused run changes nothing."""
    write_prompts("a")
    run(job(), Options(simulate=simulate))
    before = noted()
    assert f"out: holds {kind} answers" in refused(job(), simulate=not simulate)
    assert noted() == before


def test_a_refused_run_leaves_the_recorded_job_as_it_was() -> None:
    """The job that ran is recorded, not the one that was refused."""
    write_prompts("a", "b", "c")
    run(job(limit=1), Options(simulate=True))
    before = noted()
    refused(job(max_cost_usd=1e-8), simulate=True)
    assert noted() == before


def test_a_restart_that_is_refused_leaves_the_answers_in_place() -> None:
    """Otherwise the same command without --restart would buy all of them again."""
    write_prompts("a", "b")
    run(job(), Options(simulate=True))
    files = {path.name for path in Path("out").iterdir()}
    write_prompts("a", "b", "c")
    with pytest.raises(JobError, match="the cap is"):
        run(job(max_cost_usd=1e-8), Options(simulate=True, restart=True))
    assert {path.name for path in Path("out").iterdir()} == files
    assert run(job(), Options(simulate=True)).newly_settled == 1


def test_a_retry_that_is_refused_leaves_the_failed_rows_in_the_results() -> None:
    """When it is agreed to, they are sent again."""
    write_prompts("a", "b [[simulate: 400 x1]]")
    assert run(job(), Options(simulate=True)).failed == 1
    with pytest.raises(JobError, match="the cap is"):
        run(job(max_cost_usd=1e-8), Options(simulate=True, retry_failed=True))
    assert export(Path("out")).parts[AnswerSource("m")].failed == 1
    summary = run(job(), Options(simulate=True, retry_failed=True))
    assert (summary.newly_settled, summary.rows) == (1, 2)


def test_a_run_that_is_refused_after_an_edit_is_recorded_with_the_answers_that_were_put_aside() -> None:
    """The outcomes fit the edited job now. Undoing the edit brings the old answers back at no cost."""
    write_prompts("a", "b")
    first = job()
    run(first, Options(simulate=True))
    edited = dataclasses.replace(job(max_cost_usd=1e-8), model=Model(names=("m",), max_tokens=6))
    with pytest.raises(JobError, match="the cap is"):
        run(edited, Options(simulate=True, agree=lambda question: "leave the results" in question))
    summary = run(first, Options(simulate=True))
    assert (summary.completed, summary.attempts) == (2, 2)
    assert len(results()) == 2


FIRST, SECOND = "https://a.example/v1", "https://b.example/v1"
MIXED = f"out: 1 answer of this run came from {FIRST}; the endpoint of the job is {SECOND} now"


@pytest.mark.usefixtures("endpoint")
def test_a_run_at_another_endpoint_asks_before_it_keeps_the_answers() -> None:
    """Refused, nothing is changed. Agreed to, nothing is bought again, and nobody is asked again."""
    write_prompts("a", "b", "c")
    run(job(base_url=FIRST, limit=1), Options())
    before = noted()
    cure = "; add --yes to keep these answers, or use another -o DIR"
    other = job(base_url=SECOND, limit=2)
    assert checked(other, simulated=False).refusal == refused(other, simulate=False) == MIXED + cure
    assert noted() == before
    lines: list[list[str]] = []
    questions: list[str] = []
    for base_url, limit in ((SECOND, 2), (SECOND, 3), (FIRST, 3)):
        messages = Messages()
        options = Options(progress=messages, agree=lambda question: not questions.append(question))
        assert run(job(base_url=base_url, limit=limit), options).attempts == limit
        assert checked(job(base_url=base_url, limit=limit), simulated=False).refusal is None
        lines.append([line for line in messages.lines if "example" in line])
    note = f"note: the settled rows (1) were answered by {FIRST} and stay as they are; the rest is sent to {SECOND}"
    assert questions == [MIXED]
    assert lines[:2] == [[note], []]


@pytest.mark.usefixtures("endpoint")
def test_a_finished_run_is_not_taken_for_one_of_another_endpoint() -> None:
    """Nothing is left to send, and yet the user is asked: the results would be shown as those of the other endpoint."""
    write_prompts("a")
    run(job(base_url=FIRST), Options())
    assert MIXED in refused(job(base_url=SECOND), simulate=False)


@pytest.mark.usefixtures("endpoint")
def test_a_run_without_answers_continues_at_another_endpoint() -> None:
    """Broken and failed rows are of no endpoint."""
    Path("in.jsonl").write_text('not JSON\n{"prompt": "[[simulate: 400]]"}\n')
    assert run(job(base_url=FIRST), Options()).failed == 2
    assert run(job(base_url=SECOND), Options()).failed == 2


def test_a_cap_that_is_raised_after_a_run_was_agreed_to_is_not_refused() -> None:
    """A run that its cap has stopped advises that. For a lower cap the user is asked."""
    write_prompts(*map(str, range(200)))
    stopped = run(job(max_cost_usd=0.0008), Options(simulate=True, agree=lambda question: True))
    assert "raise --max-cost and run the same command again" in stopped.message
    messages = Messages()
    raised = run(job(max_cost_usd=0.0015), Options(simulate=True, progress=messages))
    assert raised.state == "stopped"
    assert raised.rows > stopped.rows
    assert any(line.endswith("; what fits is sent, and the run stops at the cap") for line in messages.lines)
    assert checked(job(max_cost_usd=0.0015)).refusal is None
    assert "the cap is" in refused(job(max_cost_usd=0.0008), simulate=True)
    assert run(job(max_cost_usd=0.1), Options(simulate=True)).state == "completed"


def checked(job: Job, *, simulated: bool = True) -> Report:
    """Return what `check` reports."""
    with Source(job) as source:
        source.open()
        return check(job, source, today=date(2026, 11, 21), on_read=lambda fraction: None, simulated=simulated)


@pytest.mark.parametrize(
    ("prompts", "settings", "sent"),
    [
        ("xabcdefghij", {}, 1),
        ("abcdefghijx", {}, 1),
        ("jihgfedcba", {}, 0),
        ("abcde", {}, 0),
        ("abcdefghiX", {}, 1),
        ("abcdefghij", {"limit": 4}, 0),
        ("abcdefghij", {}, 0),
    ],
)
def test_check_counts_after_an_edit_what_the_run_sends(prompts: str, settings: dict[str, Any], sent: int) -> None:
    """Rows are known by what they ask, wherever they are now."""
    write_prompts(*"abcdefghij")
    run(job(), Options(simulate=True))
    write_prompts(*prompts)
    edited = job(**settings)
    report, messages = checked(edited), Messages()
    assert (report.ahead.requests, report.refusal) == (sent, None)
    assert run(edited, Options(simulate=True, progress=messages)).attempts == 10 + sent
    assert [report.changed] == [line for line in messages.lines if "leaving the results" in line]


def test_check_says_that_a_run_would_replace_answers() -> None:
    """It gives the setting that was edited and the cure that the run gives."""
    write_prompts(*"abcdefghij")
    run(job(), Options(simulate=True))
    edited = dataclasses.replace(job(), model=Model(names=("m",), max_tokens=6))
    report = checked(edited)
    assert report.ahead.requests == 10
    assert report.refusal == refused(edited, simulate=True)
    question = "10 of 10 settled rows would leave the results and 10 requests would be sent"
    assert f"{question}, because model.max_tokens changed; add --yes to buy these answers" in report.refusal


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("simulate", [True, False])
def test_check_refuses_answers_of_the_other_kind_as_the_run_does(simulate: bool) -> None:
    write_prompts("a")
    run(job(), Options(simulate=simulate))
    with pytest.raises(JobError) as problem:
        checked(job(), simulated=not simulate)
    assert str(problem.value) == refused(job(), simulate=not simulate)
    assert checked(job(), simulated=simulate).settled == 1


@pytest.mark.parametrize(
    ("workers", "says"),
    [
        (None, "when the last execution ended, 3 rows had been sent"),
        ([{}], "when the last execution ended, up to 3 rows"),
        ([{"state": "ended"}], "when the last execution ended, 3 rows had been sent"),
    ],
)
def test_what_workers_of_a_cluster_had_may_not_all_have_been_sent(workers: Any, says: str) -> None:
    """The driver died with them: only they knew which rows they had sent."""
    write_prompts("a", "b")
    run(job(), Options(simulate=True))
    with Store(Path("out")) as store:
        store.set_fact(facts.WORKERS_NOW, workers)
        store.start(lambda _: None, lambda _: None)
        store.sending(3)  # and the process dies
    progress = Messages()
    run(job(), Options(simulate=True, progress=progress))
    assert any(says in line for line in progress.lines), progress.lines
