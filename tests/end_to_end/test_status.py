"""What `status` shows of a run, while it runs and afterwards, and of all runs of a folder."""

import json
import os
import re
import signal
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import write_prompts
from harness.terminals import terminal

from batchrun.checkpoint.store import Store
from batchrun.results.state import figures_of, summary_of

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
UNPRICED = "wandb-artifact:///team/project/tuned:v1"
OUT = Path("out")


def priced_job(endpoint: Any, directory: str = "out") -> str:
    """Write a job whose tokens cost 100 and 1,000 USD per million; return its path."""
    path = Path(f"{directory.replace('/', '_')}.toml")
    path.write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "{MODEL}"\nmax_tokens = 20\n'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\n[output]\ndir = "{directory}"\n'
        f'[prices."{MODEL}"]\ninput_usd_per_mtok = 100\noutput_usd_per_mtok = 1000\n'
    )
    return str(path)


def billed_usd(endpoint: Any) -> float:
    """Return the sum that the endpoint has billed."""
    return float(endpoint.stats.prompt_tokens * 100 + endpoint.stats.completion_tokens * 1000) / 1e6


def test_a_live_run_has_total_share_rate_and_time_left(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """The rate is that of the endpoint's books, and the time left follows from it."""
    write_prompts(*map(str, range(400)))
    endpoint.change(latency_s=0.1, latency_sigma=0)
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", "4")
    endpoint.wait(lambda: endpoint.stats.answered >= 20)
    answered, began_s = endpoint.stats.answered, time.monotonic()
    endpoint.wait(lambda: figures_of(OUT).done >= 150)
    per_s = (endpoint.stats.answered - answered) / (time.monotonic() - began_s)
    summary = batchrun("status", "out", "--json").json
    shown = batchrun("status", "out").stdout
    process.kill()
    process.wait()
    assert summary["total_rows"] == 400
    assert summary["rate_per_s"] == pytest.approx(per_s, rel=0.25)
    assert summary["left_s"] == pytest.approx((400 - summary["rows"]) / summary["rate_per_s"])
    assert re.match(r"running   1\d\d rows completed, 0 failed so far, of 400 \((3[789]|4\d) %\) in [\d.]+ s\n", shown)
    assert re.search(r"\nrate      \d\d(\.\d)? rows/s, about \d\.\d s left\n", shown)
    assert re.search(r"\nhistory   [-\d]+ [:\d]+, running for [\d.]+ s: 1\d\d rows\n", shown)
    ended = batchrun("status", "out", "--json").json
    assert (ended["rate_per_s"], ended["left_s"], ended["next_probe_at"]) == (None, None, None)


def test_every_line_of_a_log_has_date_and_time(run: Any, endpoint: Any) -> None:
    """The closing lines and a last error too."""
    endpoint.change(latency_s=0.05)
    dated = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .+"
    done = run(write_prompts(*map(str, range(40))), "-c", 4, "--max-duration", "0.2s")
    assert done.code == 5
    lines = done.stderr.splitlines()
    assert [line for line in lines if not re.fullmatch(dated, line)] == []
    assert lines[-1].endswith(" rows are left; max_duration 0.2s is over; run the same command again to resume")
    write_prompts("0", "changed")
    Path("in.jsonl").write_text("not JSON\n")
    refused = run("in.jsonl", "--strict")
    assert refused.code == 2
    assert refused.stderr.startswith("batchrun: ")  # nothing was logged before it


def test_a_bar_ends_full(spawn: Any, endpoint: Any) -> None:
    """The last answers are committed a moment after the last look."""
    prompts = write_prompts(*map(str, range(30)))
    with terminal(80) as (file, drawn_since):
        process = spawn(
            *("run", prompts, "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out"),
            stderr=file,
            env={**os.environ, "TERM": "xterm"},
        )
        shown = ""
        while process.poll() is None:
            shown += drawn_since()
            time.sleep(0.01)
        shown += drawn_since()
    assert process.returncode == 0
    drawn = [line for line in re.split("[\r\n]+", shown) if "|" in line]
    assert re.match(r"100%\|█+\| 30/30 · ", drawn[-1]), drawn


def test_all_runs_are_listed_newest_first_with_a_total(run: Any, batchrun: Any, endpoint: Any) -> None:
    """Cost and rows are those of the endpoint's books. Simulated runs cost nothing."""
    write_prompts("a", "b", "[[simulate: 400]]")
    assert batchrun("run", priced_job(endpoint, "runs/first")).code == 1
    assert batchrun("run", priced_job(endpoint, "runs/later/second")).code == 1
    assert batchrun("run", priced_job(endpoint, "runs/tried"), "--simulate").code == 1
    once_usd = billed_usd(endpoint) / 2
    assert batchrun("run", priced_job(endpoint, "runs/first"), "--retry-failed").code == 1  # began before the others
    Path("runs/broken").mkdir()
    Path("runs/broken/checkpoint.sqlite").write_bytes(b"no")
    os.utime("runs/broken/checkpoint.sqlite", (1, 1))
    head, *lines, total = batchrun("status").stdout.splitlines()
    assert head.split() == ["started", "state", "rows", "failed", "USD", "run"]
    cells = [line.split()[2:] for line in lines]
    assert cells[:3] == [
        ["done", "3", "1", "simulated", "runs/tried"],
        ["done", "3", "1", f"{once_usd:.4f}", "runs/later/second"],
        ["done", "3", "1", f"{billed_usd(endpoint) - once_usd:.4f}", "runs/first"],
    ]
    assert cells[3][:2] == ["unreadable", "runs/broken:"]
    cost = f"at least {billed_usd(endpoint):.4f} USD (not known, or not all of it: 1 run)"
    assert total == f"4 runs, 9 rows, 3 failed, {cost}"
    listed = batchrun("status", "runs", "--json").json
    assert listed["cost_usd"] == pytest.approx(billed_usd(endpoint))
    assert [each["directory"] for each in listed["runs"]][:2] == ["runs/tried", "runs/later/second"]
    assert "1 run, 3 rows, 1 failed" in batchrun("status", "runs/later").stdout


def test_what_is_known_of_a_cost_is_shown_where_one_of_two_models_has_a_price(batchrun: Any, endpoint: Any) -> None:
    """In the list, in its total, and in the run's own status."""
    write_prompts("a", "b")
    path = Path(priced_job(endpoint, "runs/two"))
    path.write_text(path.read_text().replace(f'name = "{MODEL}"', f'names = ["{MODEL}", "{UNPRICED}"]'))
    assert batchrun("run", path).code == 0
    status = batchrun("status", "runs/two", "--json").json
    known_usd = status["models"][0]["cost_usd"]
    assert known_usd > 0
    assert status["cost_usd"] is None
    assert status["executions"][0]["least_cost_usd"] == pytest.approx(known_usd)
    least = f"at least {known_usd:.4f}"
    _, line, total = batchrun("status").stdout.splitlines()
    assert f" {least}  runs/two" in line
    assert total == f"1 run, 4 rows, 0 failed, {least} USD (not known, or not all of it: 1 run)"
    shown = batchrun("status", "runs/two").stdout
    assert f"cost      {least} USD, for {MODEL}; not known for {UNPRICED}" in shown
    assert f": 4 rows, {least} USD; done" in shown


def test_a_run_that_died_before_it_sent_anything_is_listed_as_not_begun(batchrun: Any) -> None:
    """It has cost nothing, and its directory is not damaged."""
    Path("runs/died").mkdir(parents=True)
    with Store(Path("runs/died")):
        pass
    _, line, total = batchrun("status").stdout.splitlines()
    assert line.split()[2:] == ["not", "begun", "runs/died"]
    assert total == "1 run, 0 rows, 0 failed, 0 USD"


@pytest.mark.parametrize("folder", ["runs/refused", "there/refused"])
def test_a_refused_run_leaves_nothing_behind(batchrun: Any, endpoint: Any, folder: str) -> None:
    """Nor does it remove what was there before."""
    write_prompts("a", "b")
    Path("there/refused").mkdir(parents=True)
    Path("there/refused/input.jsonl").write_text("mine")
    assert batchrun("run", priced_job(endpoint, folder), "--max-cost", "0.00001").code == 2
    assert not Path("runs").exists()
    assert [path.name for path in Path("there/refused").iterdir()] == ["input.jsonl"]


def test_a_folder_without_runs_is_refused(batchrun: Any) -> None:
    done = batchrun("status")
    assert (done.code, done.stdout) == (3, "")
    assert (
        "runs: holds no run, nor does a folder in it; give the directory of a run, or a folder of runs" in done.stderr
    )


@pytest.mark.local_only("its deadline is over before workers have started")
def test_a_night_can_be_read_in_the_morning(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """Three executions, two outages, a kill and a deadline, as the endpoint's books and the clock have them."""
    write_prompts(*map(str, range(400)))
    job = priced_job(endpoint)
    endpoint.change(latency_s=0.1, latency_sigma=0)
    clock: list[tuple[float, float]] = []  # start and end of each execution
    outages: list[tuple[float, float]] = []
    answered = [0]  # after each execution

    def outage() -> None:
        went_s = time.time()
        endpoint.change(error_shares={"503": 1.0})
        endpoint.wait(lambda: figures_of(OUT).pause is not None and summary_of(OUT).pause is not None)
        time.sleep(1)
        endpoint.change(error_shares={})
        endpoint.wait(lambda: summary_of(OUT).pause is None)
        outages.append((went_s, time.time()))

    def execute(*flags: str) -> Any:
        clock.append((time.time(), 0.0))
        return spawn("run", job, "-c", "4", *flags)

    def ended() -> None:
        clock[-1] = (clock[-1][0], time.time())
        endpoint.wait(lambda: endpoint.stats.in_flight == 0)  # a killed client's requests may still be answered
        answered.append(endpoint.stats.answered)

    first = execute()
    endpoint.wait(lambda: endpoint.stats.answered >= 20)
    outage()
    endpoint.wait(lambda: figures_of(OUT).done >= 60)
    first.kill()
    first.wait()
    ended()
    second = execute("--max-duration", "8s")
    endpoint.wait(lambda: endpoint.stats.answered >= answered[-1] + 10)
    outage()
    assert second.wait(20) == 5
    ended()
    endpoint.change(latency_s=0.01)
    assert execute().wait(20) == 0
    ended()

    summary = batchrun("status", "out", "--json").json
    executions = summary["executions"]
    assert json.loads((OUT / "run.json").read_text())["executions"] == executions
    assert [each["ended_by"] for each in executions] == ["killed", "deadline", "done"]
    assert sum(each["rows"] for each in executions) == summary["rows"] == 400
    lost = endpoint.stats.answered - 400  # bought again: at the kill in flight, or answered and not yet committed
    assert 0 <= lost <= 4 + 4
    bought = [after - before for before, after in pairwise(answered)]
    assert [each["rows"] for each in executions[1:]] == bought[1:]
    assert bought[0] - executions[0]["rows"] == lost
    assert sum(each["cost_usd"] for each in executions) == pytest.approx(summary["cost_usd"])
    assert summary["cost_usd"] == pytest.approx(billed_usd(endpoint) * 400 / (400 + lost), rel=0.05)
    for each, (began_s, ended_s) in zip(executions, clock, strict=True):
        assert began_s <= unix_s(each["started_at"]) <= unix_s(each["until"]) <= ended_s
        assert each["running_s"] == pytest.approx(unix_s(each["until"]) - unix_s(each["started_at"]), abs=0.002)
    pauses = [each["pauses"] for each in executions]
    assert list(map(len, pauses)) == [1, 1, 0]
    for (pause,), (went_s, back_s) in zip(pauses[:2], outages, strict=True):
        assert went_s - 0.001 <= unix_s(pause["started_at"]) <= unix_s(pause["ended_at"]) <= back_s  # in milliseconds
        assert unix_s(pause["ended_at"]) - unix_s(pause["started_at"]) >= 1
        assert pause["kind"] == "overloaded"
    assert summary["running_s"] == pytest.approx(sum(each["running_s"] for each in executions))
    assert summary["paused_s"] == pytest.approx(
        sum(unix_s(each["ended_at"]) - unix_s(each["started_at"]) for (each,) in pauses[:2]), abs=0.01
    )

    shown = batchrun("status", "out").stdout
    assert "\nhistory   " in shown
    for each, how in zip(executions, ["killed", "max_duration 8s is over", "done"], strict=True):
        assert re.search(rf"\): {each['rows']} rows, [\d.]+ USD; {how}\n", shown), shown
    assert len(re.findall(r"  paused [-\d]+ [\d:]+ to [\d:]+ \([\d.]+ s\): overloaded: ", shown)) == 2
    assert re.match(r"done      400 of 400 rows .* in 3 executions, [\d.]+ s, [\d.]+ s of it paused\n", shown)

    assert batchrun("report", "out").code == 0
    seen = page_lines(OUT / "report.html")
    counts = [each["rows"] for each in executions]
    expected = [
        rf"execution 1 .* {counts[0]} .* killed$",
        "paused .* overloaded: ",
        "no process ",
        rf"execution 2 .* {counts[1]} .* the deadline: max_duration 8s is over",
        "paused .* overloaded: ",
        "no process ",
        rf"execution 3 .* {counts[2]} .* done$",
    ]
    assert len(seen) == len(expected), seen
    for line, pattern in zip(seen, expected, strict=True):
        assert re.search(pattern, line), seen


def page_lines(page: Path) -> list[str]:
    """Return the lines of the report's table of what happened, as plain text."""
    table = page.read_text(encoding="utf-8").split('<table id="events"')[1].split("</table>")[0]
    rows = re.findall(r"<tr.*?</tr>", table.split("<tbody>")[-1], re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in rows if "<td" in row]


def unix_s(text: str) -> float:
    """Return the Unix time of a time in run.json."""
    return datetime.fromisoformat(text).timestamp()


def test_a_signal_is_named_in_the_history(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    endpoint.change(latency_s=0.1)
    write_prompts(*map(str, range(100)))
    process = spawn("run", "in.jsonl", "-m", MODEL, "--base-url", endpoint.base_url, "-o", "out", "-c", "4")
    endpoint.wait(lambda: endpoint.stats.answered >= 4 and endpoint.stats.in_flight > 0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert "; SIGTERM: the answers in flight were kept\n" in batchrun("status", "out").stdout
    assert batchrun("status", "out", "--json").json["executions"][0]["ended_by"] == "SIGTERM"
