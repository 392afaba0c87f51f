"""A fallback answers what a model fails for the row's own reason; what was answered and billed is compared."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.prompts import results, write_prompts

SMALL, LARGE = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
PRICES = f"""
[prices."{SMALL}"]
input_usd_per_mtok = 1
output_usd_per_mtok = 2
[prices."{LARGE}"]
input_usd_per_mtok = 100
output_usd_per_mtok = 200
"""
LONG, FILTERED = f"[[simulate: context_length model={SMALL}]]", f"[[simulate: content_filter model={SMALL}]]"


def job(more: str = "", fallback: str = f'fallback = "{LARGE}"') -> str:
    Path("job.toml").write_text(f'[input]\npath = "in.jsonl"\n[model]\nname = "{SMALL}"\n{fallback}\n{PRICES}{more}')
    return "job.toml"


@pytest.fixture
def rows() -> None:
    write_prompts("a", f"b {LONG}", "c", f"d {FILTERED}", "e [[simulate: content_filter]]", "f [[simulate: 400]]")


@pytest.mark.usefixtures("rows")
def test_rows_say_who_answered_and_cost_what_that_model_costs(run: Any, endpoint: Any) -> None:
    """The row stays its model's; summary, run.json, usage.parquet and the results agree with the server's books."""
    done = run(job(), "--json", model=None)
    assert done.code == 1
    assert f"fallback  2 rows of {SMALL} were answered by {LARGE}" in done.stderr
    assert done.json["fallbacks"] == [{"model": SMALL, "answered_by": LARGE, "rows": 2}]
    found = results()
    assert [row["model"] for row in found] == [SMALL] * 6
    assert [row["answered_by"] for row in found] == [None, LARGE, None, LARGE, None, None]
    assert [row["error_kind"] for row in found] == [None] * 4 + ["content_filter", "bad_request"]
    assert f"; its fallback {LARGE} failed too: " in found[4]["error"]
    assert "fallback" not in found[5]["error"]
    for row in found[:4]:
        factor = 100 if row["answered_by"] else 1
        assert row["cost_usd"] == pytest.approx(
            factor * (row["prompt_tokens"] + 2 * row["completion_tokens"]) / 1_000_000
        )
    usage = pq.read_table("out/usage.parquet").to_pylist()
    by_source = {(each["model"], each["answered_by"]): each for each in usage}
    assert by_source[SMALL, LARGE]["completed"] == 2
    billed = endpoint.stats.totals()["billed_tokens"]
    assert sum(each["total_tokens"] for each in usage) == sum(billed.values())
    assert sum(each["cost_usd"] for each in usage) == pytest.approx(done.json["cost_usd"])
    assert sum(each["attempts"] for each in usage) == endpoint.stats.received


@pytest.mark.usefixtures("rows")
def test_settled_rows_stay_settled_and_failed_ones_are_asked_of_the_first_model_again(run: Any, endpoint: Any) -> None:
    """Adding, changing or removing the fallback asks nothing again by itself."""
    assert run(job(fallback=""), model=None).code == 1
    received = endpoint.stats.received
    done = run(job(), model=None)
    assert "nothing to send: 2 of 6 rows completed, 4 failed" in done.stderr
    assert "changed" not in done.stderr
    assert endpoint.stats.received == received
    done = run(job(), "--retry-failed", "--json", model=None)
    assert "sending again: 4 failed rows" in done.stderr
    assert (done.json["completed"], done.json["failed"]) == (4, 2)
    assert [row["answered_by"] for row in results()] == [None, LARGE, None, LARGE, None, None]
    assert run(job(fallback=""), "--json", model=None).json["fallbacks"] == done.json["fallbacks"]


def test_copies_of_an_answer_say_who_answered(run: Any, endpoint: Any) -> None:
    """Rows that ask the same are sent once, to the model and to its fallback."""
    write_prompts(f"a {LONG}", f"a {LONG}", "b")
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\ndedupe = true\n[model]\nname = "{SMALL}"\nfallback = "{LARGE}"\n'
    )
    done = run("job.toml", "--json", model=None)
    assert done.code == 0
    assert [row["answered_by"] for row in results()] == [LARGE, LARGE, None]
    assert endpoint.stats.received == 4  # the canary that shows that the refusal is the row's own
    assert done.json["fallbacks"] == [{"model": SMALL, "answered_by": LARGE, "rows": 2}]


@pytest.mark.usefixtures("rows")
def test_check_says_up_to_how_much_the_fallback_may_cost_and_probes_it(batchrun: Any) -> None:
    """And it names no fallback where there is none."""
    done = batchrun("check", job(), "--simulate", "--probe")
    assert f"rows that {SMALL} fails are asked of {LARGE}: up to 6, for up to " in done.stdout
    assert f"{LARGE}: " in done.stdout[done.stdout.index("probe") :]
    assert "asked of" not in batchrun("check", job(fallback=""), "--simulate").stdout


@pytest.mark.usefixtures("rows")
def test_a_cap_needs_the_price_of_the_fallback(batchrun: Any) -> None:
    """Otherwise it could not be kept."""
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\n[model]\nname = "{SMALL}"\nfallback = "org/unknown"\n[limits]\nmax_cost_usd = 1\n'
    )
    done = batchrun("run", "job.toml", "-o", "run")
    assert done.code == 2
    assert "the price of org/unknown is not known" in done.stderr


@pytest.mark.usefixtures("rows")
def test_the_shown_command_asks_the_model_that_answered(run: Any, batchrun: Any) -> None:
    """As the answer came about; other rows show their own model."""
    run(job(), model=None)
    for row, model in ((0, SMALL), (1, LARGE)):
        shown = batchrun("show", "out", "--row", str(row), "--curl").stdout
        assert f'{{"model":"{model}"' in shown
    report = Path("out/report.html").read_text() if batchrun("report", "out").code == 0 else ""
    assert f"rows of {SMALL} answered by {LARGE}" in report
    assert json.loads(Path("out/run.json").read_text())["fallbacks"]


def test_an_invalid_answer_is_asked_of_the_fallback_after_its_repairs(run: Any, endpoint: Any) -> None:
    """What the first model was paid for in vain stays counted under its name and price."""
    write_prompts(f"a [[simulate: off_schema model={SMALL}]]", "b")
    schema = '[response]\nrepair_attempts = 1\n[response.schema]\ntype = "object"\nrequired = ["label"]\n'
    schema += '[response.schema.properties.label]\ntype = "string"\n'
    done = run(job(schema), "--json", model=None)
    assert done.code == 0, done.stderr
    found = results()
    assert [row["answered_by"] for row in found] == [LARGE, None]
    assert [row["attempts"] for row in found] == [3, 1]
    billed = endpoint.stats.totals()["billed_tokens"]
    assert done.json["total_tokens"] == sum(billed.values())


@pytest.mark.usefixtures("rows")
def test_an_answer_of_the_fallback_is_reused_where_the_fallback_is_the_same(
    run: Any, batchrun: Any, endpoint: Any
) -> None:
    """A job without it would not get this answer."""
    run(job(), model=None)
    reusing = ("--base-url", endpoint.base_url, "--reuse", "out", "--json")
    done = batchrun("run", job(), "-o", "same", *reusing)
    assert done.json["reused"] == [{"run": "out", "rows": 4}]
    assert done.json["fallbacks"] == [{"model": SMALL, "answered_by": LARGE, "rows": 2}]
    found = pq.read_table("same/results.parquet").to_pylist()
    assert [(row["attempts"], row["answered_by"], row["cost_usd"]) for row in found[:4]] == [
        (0, None, 0),
        (0, LARGE, 0),
    ] * 2
    done = batchrun("run", job(fallback=""), "-o", "without", *reusing)
    assert done.json["reused"] == [{"run": "out", "rows": 2}]
