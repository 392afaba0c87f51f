"""Notices by Apprise, which posts to a web server here."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.serving import answering

from batchrun.engine.notices import Notices
from batchrun.errors import JobError, RunDirectoryError
from batchrun.job.notify import Notify
from batchrun.job.sections import Input, Job, Model, Output
from batchrun.job.settings import SettingError
from batchrun.records import Figures
from batchrun.report.bar import Silence
from batchrun.results.recorded import Status
from batchrun.results.summary import summarize

NAME = "THE_URL"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Apprise, which imports imghdr


class Hook:
    """A webhook that remembers what it got."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200

    def answer(self, body: dict[str, Any]) -> tuple[int, Any]:
        """Return the status and the body of the answer to a message."""
        self.got.append(body)
        return self.status, {}


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    """Serve a webhook, with its URL in the variable."""
    hook = Hook()
    with answering(hook.answer) as base_url:
        monkeypatch.setenv(NAME, base_url.replace("http://", "json://"))
        yield hook


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Return a job that notifies after a pause of a minute."""
    return Job(
        name="labels",
        input=Input(path=("in.jsonl",)),
        model=Model(names=("m",)),
        output=Output(dir=str(tmp_path / "out")),
        notify=Notify(url_env=(NAME,), after_pause_s="1m"),
    )


def test_the_end_of_a_run_is_sent(hook: Hook, job: Job, tmp_path: Path) -> None:
    lines: list[str] = []
    notices = Notices(job, lines.append)
    summary = summarize(job, tmp_path / "out", Status(state="completed", exit_code=0), {})
    asyncio.run(notices.ended(summary))
    asyncio.run(notices.failed(RunDirectoryError("the disk is full")))
    assert [each["title"] for each in hook.got] == ["batchrun: labels completed", "batchrun: labels failed"]
    assert [each["type"] for each in hook.got] == ["success", "warning"]
    assert hook.got[0]["message"].endswith(f":{tmp_path / 'out'}")
    assert lines == []


def test_a_notice_that_cannot_be_sent_costs_nothing_else(hook: Hook, job: Job) -> None:
    """With a command that shows why, and without the URL, which is a secret."""
    hook.status = 500
    lines: list[str] = []
    asyncio.run(Notices(job, lines.append).failed(RunDirectoryError("x")))
    assert lines == [f'note: the notice was not sent; to see why: apprise -vv -b test "${NAME}"']


def test_a_long_pause_is_sent_once(hook: Hook, job: Job) -> None:
    """A short one is not; the next long one is; what shows the progress sees all figures."""
    shown: list[Figures] = []

    class Shown(Silence):
        def show(self, figures: Figures) -> None:
            shown.append(figures)

    now_ms = int(time.time() * 1000)
    counts = dict.fromkeys(["done", "failed", "throttled", "tokens", "in_flight", "limit", "waiting"], 0)
    idle = Figures(**counts, total=None, pause=None)
    with Notices(job, print).watched(Shown()) as progress:
        for since_ms in (now_ms - 30_000, now_ms - 61_000, now_ms - 61_000, now_ms - 180_000):
            progress.show(idle._replace(pause="connection refused", paused_since_ms=since_ms))
        progress.show(idle)
    deadline_s = time.monotonic() + 30
    while len(hook.got) < 2:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    first, second = sorted(each["message"].split("\n")[0] for each in hook.got)
    assert re.fullmatch(r"paused for 1 min \d\d s: connection refused", first)
    assert re.fullmatch(r"paused for 3 min \d\d s: connection refused", second)
    assert len(shown) == 5


@pytest.mark.parametrize(
    ("url", "problem"),
    [(None, f"{NAME} is not set; export {NAME}=URL"), ("nonsense", f"{NAME} holds no URL of a service that Apprise")],
)
def test_a_variable_of_no_use_is_named_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, job: Job, url: str | None, problem: str
) -> None:
    """Its value is not shown: it may hold a password."""
    monkeypatch.delenv(NAME, raising=False)
    if url is not None:
        monkeypatch.setenv(NAME, url)
    with pytest.raises(JobError, match=problem) as caught:
        Notices(job, print)
    assert "nonsense" not in str(caught.value)


def test_a_url_in_the_place_of_a_variable_is_not_shown() -> None:
    with pytest.raises(
        JobError, match="not the name of an environment variable; the URL goes into a variable"
    ) as caught:
        Notices(Job(input=Input(path="a.csv"), notify=Notify(url_env="mailto://me:secret@host")), print)
    assert "secret" not in str(caught.value)


def test_a_pause_without_anybody_to_tell_is_refused() -> None:
    with pytest.raises(SettingError, match="needs url_env, which is not set"):
        Notify(after_pause="5m")
