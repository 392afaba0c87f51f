"""A model judges the answers: a run of its own in RUN/judge, under the caps of the run."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.prompts import columns, results, write_rows

ANSWERS, JUDGE, OTHER = "meta-llama/Llama-3.1-8B-Instruct", "openai/gpt-oss-20b", "openai/gpt-oss-120b"
ROWS = [{"id": f"q{number}", "question": f"What is {number}?", "gold": str(number)} for number in range(30)]


def write_job(endpoint: Any, judge: str = "", more: str = "", limits: str = "") -> str:
    """Write a job whose answers are judged; return its path."""
    write_rows("in.jsonl", *ROWS)
    prices = "".join(
        f'[prices."{model}"]\ninput_usd_per_mtok = 100\noutput_usd_per_mtok = 1000\n'
        for model in (ANSWERS, JUDGE, OTHER)
    )
    Path("job.toml").write_text(
        f'[input]\npath = "in.jsonl"\nid = "id"\n[prompt]\nuser = "{{{{ question }}}}"\n'
        f'[model]\nname = "{ANSWERS}"\nmax_tokens = 20\n'
        f'[endpoint]\nbase_url = "{endpoint.base_url}"\n[output]\ndir = "out"\nkeep = ["id"]\n{more}'
        f'[judge]\nmodel = "{JUDGE}"\ntarget = "gold"\nmax_tokens = 60\n{judge}\n{limits}{prices}'
    )
    return "job.toml"


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true, for at most a minute: another process may take long to start."""
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def sent(endpoint: Any) -> int:
    return int(endpoint.stats.received)


def scores() -> list[Any]:
    return [(row["judge_score"], row["judge_label"], bool(row["judge_reason"])) for row in results()]


def test_every_answer_is_judged_and_nothing_twice(batchrun: Any, endpoint: Any) -> None:
    """The judgments are columns, scores with intervals, in run.json, `status` and the report."""
    done = batchrun("run", write_job(endpoint), "--json")
    assert done.code == 0
    assert sent(endpoint) == 60
    assert columns()[-3:] == ["judge_score", "judge_label", "judge_reason"]
    assert set(scores()) == {(1.0, "correct", True), (0.0, "incorrect", True)}
    (entry,) = done.json["scores"]
    assert (entry["column"], entry["model"], entry["scored"]) == ("judge_score", ANSWERS, 30)
    assert entry["mean"] == pytest.approx(sum(score for score, _, _ in scores()) / 30)
    judge = done.json["judge"]
    assert (judge["model"], judge["state"], judge["completed"], judge["failed"]) == (JUDGE, "completed", 30, 0)
    billed_usd = (endpoint.stats.prompt_tokens * 100 + endpoint.stats.completion_tokens * 1000) / 1e6
    assert done.json["cost_usd"] + judge["cost_usd"] == pytest.approx(billed_usd)
    assert batchrun("status", "out", "--json").json["judge"] == judge
    assert f"judge     {JUDGE}: 30 answers judged; cost " in batchrun("status", "out").stdout
    assert batchrun("report", "out").code == 0
    assert "judge_score" in Path("out/report.html").read_text()
    before = results()
    again = batchrun("run", "job.toml")
    assert (again.code, sent(endpoint), results()) == (0, 60, before)
    assert "judging" not in again.stderr
    Path("out/results.parquet").unlink()
    assert batchrun("export", "out").code == 0
    assert results() == before


def test_the_judge_sees_question_answer_and_target(batchrun: Any, endpoint: Any) -> None:
    """The question is what the model was asked, also where the results do not keep its column."""
    assert batchrun("run", write_job(endpoint, more='[evaluate]\nvote = "response"\n')).code == 0
    (prompt,) = batchrun("show", "out/judge", "--row", 7, "--curl").stdout.splitlines()[-1:]
    row = results()[7]
    assert "<question>\\nWhat is 7?\\n</question>" in prompt
    assert "<reference_answer>\\n7\\n</reference_answer>" in prompt
    assert json.dumps(row["response"])[1:-1] in prompt
    assert columns()[:3] == ["row", "custom_id", "id"]


def test_another_judge_buys_only_the_judging_and_the_first_one_is_kept(batchrun: Any, endpoint: Any) -> None:
    """Until the user agrees, no judgment of the first judge stands under the name of the second."""
    assert batchrun("run", write_job(endpoint)).code == 0
    first = scores()
    Path("job.toml").write_text(Path("job.toml").read_text().replace(f'model = "{JUDGE}"', f'model = "{OTHER}"'))
    refused = batchrun("run", "job.toml")
    assert refused.code == 2
    assert "the answers are complete, but not judged: 30 of 30" in refused.stderr
    assert "because judge.model changed; add --yes to buy these judgments; the answers stay" in refused.stderr
    assert " settled judgments would leave the results" in refused.stderr
    assert scores() == [(None, None, False)] * 30
    assert "with that of" not in batchrun("status", "out").stdout
    done = batchrun("run", "job.toml", "--yes")
    assert done.code == 0
    assert re.search(rf"{OTHER}: 30 answers judged; cost [\d.]+ USD, with that of {JUDGE}\n", done.stderr)
    assert sent(endpoint) == 90
    assert None not in {score for score, _, _ in scores()}
    Path("job.toml").write_text(Path("job.toml").read_text().replace(f'model = "{OTHER}"', f'model = "{JUDGE}"'))
    assert batchrun("run", "job.toml", "--yes").code == 0
    assert (sent(endpoint), scores()) == (90, first)


@pytest.mark.parametrize("template", ["Is it good?", "Is {{ question }} a good question?"])
def test_a_judge_that_would_not_see_the_answer_is_refused_before_anything_is_sent(
    batchrun: Any, endpoint: Any, template: str
) -> None:
    for command in ("run", "check"):
        done = batchrun(command, write_job(endpoint, f'template = "{template}"\n'))
        assert done.code == 2
        assert "judge.template does not read the answer that it is to judge, which is {{ answer }}" in done.stderr
    assert sent(endpoint) == 0


def test_labels_become_scores_and_a_new_score_costs_nothing(batchrun: Any, endpoint: Any) -> None:
    """Labels of one's own need a template that explains them; it may read columns of the input."""
    template = 'template = "Rate {{ answer }} to {{ question }} ({{ id }}) as JSON: good, fair or bad."\n'
    labels = "labels = { good = 1, fair = 0.5, bad = 0 }"
    assert batchrun("run", write_job(endpoint, template + labels)).code == 0
    given = {"good": 1.0, "fair": 0.5, "bad": 0.0}
    assert all(score == given[label] for score, label, _ in scores())
    write_job(endpoint, template + labels.replace("0.5", "0.9"))
    assert batchrun("run", "job.toml").code == 0
    assert sent(endpoint) == 60
    given["fair"] = 0.9
    assert all(score == given[label] for score, label, _ in scores())


def test_a_schema_may_hold_the_score(batchrun: Any, endpoint: Any) -> None:
    """A number is the score itself; there is no label then."""
    schema = {"type": "object", "properties": {"why": {"type": "string"}, "stars": {"type": "integer"}}}
    schema["properties"]["stars"] |= {"minimum": 1, "maximum": 5}  # type: ignore[index]
    Path("stars.json").write_text(json.dumps(schema | {"required": ["why", "stars"]}))
    judge = 'template = "Rate {{ answer }} as JSON."\nschema = "stars.json"\nscore = "stars"\nreason = "why"\n'
    assert batchrun("run", write_job(endpoint, judge)).code == 0
    assert {score for score, _, _ in scores()} <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert all(label is None and has_reason for _, label, has_reason in scores())


def test_answers_and_judgments_together_never_pass_a_cap(batchrun: Any, endpoint: Any) -> None:
    """Whichever of them comes first, over all executions; a higher cap resumes."""

    def billed() -> int:
        return int(endpoint.stats.prompt_tokens + endpoint.stats.completion_tokens)

    path = write_job(endpoint)
    for cap in (500, 2_500, 2_500, 4_000):
        stopped = batchrun("run", path, "--max-tokens-total", cap, "--yes", "--json")
        assert stopped.code == 5
        assert "raise --max-tokens-total" in stopped.json["message"]
        assert billed() <= cap
    assert "the answers are complete; of their judging, " in stopped.json["message"]
    assert 0 < stopped.json["judge"]["completed"] < 30
    more = [{"id": f"new{number}", "question": f"And {number}?", "gold": "1"} for number in range(30)]
    write_rows("in.jsonl", *ROWS, *more)
    cap = billed() + 400
    assert batchrun("run", path, "--max-tokens-total", cap, "--yes").code == 5
    assert billed() <= cap
    assert len(results()) < 60
    assert batchrun("run", path, "--max-tokens-total", 10**6, "--yes").code == 0
    assert len([score for score, _, _ in scores() if score is not None]) == 60


def test_a_judging_that_was_killed_keeps_the_cap_and_resumes(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """What was in flight may have been billed: it counts for the answers' cap too."""
    path = write_job(endpoint)
    endpoint.change(latency_s=0.05, concurrency_limit=4)
    process = spawn("run", path, "--max-cost", 8, "--yes")
    wait_for(lambda: endpoint.stats.answered >= 40)
    process.kill()
    process.wait()
    endpoint.change(latency_s=0, concurrency_limit=None)
    for _ in range(2):
        assert batchrun("run", path, "--max-cost", 2.5, "--yes").code in (0, 5)
        assert (endpoint.stats.prompt_tokens * 100 + endpoint.stats.completion_tokens * 1000) / 1e6 <= 2.5
    assert batchrun("run", path, "--max-cost", 20, "--yes").code == 0
    assert None not in {score for score, _, _ in scores()}


def test_an_interrupted_judging_resumes(spawn: Any, batchrun: Any, endpoint: Any) -> None:
    """Ctrl-C drains it; the results have the judgments so far, and the same command buys the rest."""
    path = write_job(endpoint)
    endpoint.change(latency_s=0.05, concurrency_limit=2)
    process = spawn("run", path)
    wait_for(lambda: endpoint.stats.answered >= 40)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "the answers are complete; of their judging, " in stderr
    so_far = [score for score, _, _ in scores() if score is not None]
    assert 0 < len(so_far) < 30
    endpoint.change(latency_s=0, concurrency_limit=None)
    received = sent(endpoint)
    assert batchrun("run", path).code == 0
    assert sent(endpoint) - received == 30 - len(so_far)
    assert None not in {score for score, _, _ in scores()}


def test_an_answer_that_is_bought_again_is_judged_again(batchrun: Any, endpoint: Any) -> None:
    """The judgment of the old answer does not stand next to the new one."""
    path = write_job(endpoint)
    assert batchrun("run", path).code == 0
    assert batchrun("run", path, "--restart", "--model", OTHER, "--max-tokens-total", 300, "--yes").code == 5
    assert len(results()) < 30
    assert scores() == [(None, None, False)] * len(results())
    assert [each.name for each in sorted(Path("out/judge").glob("before-restart*"))] == [
        "before-restart.checkpoint.sqlite"
    ]


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ('template = "{{ anwser }}"', "has no column anwser, which judge.template names; did you mean answer?"),
        ('template = "{{ answer"', "judge.template"),
        ("labels = { good = 1, bad = 0 }", "judge.labels"),
        ('score = "stars"', "judge.score"),
        ('endpoint = { base_url = "https://host/v1", key = "sk" }', "not key"),
        ('modell = "m"', "job.toml: judge.modell is unknown; did you mean model?"),
    ],
)
def test_a_wrong_judge_is_refused_before_anything_is_sent(
    batchrun: Any, endpoint: Any, judge: str, message: str
) -> None:
    """By `run` and by `check`."""
    path = write_job(endpoint, judge)
    for command in ("check", "run"):
        refused = batchrun(command, path)
        assert (refused.code, message in refused.stderr) == (2, True), refused.stderr
    assert sent(endpoint) == 0


def test_a_folder_that_cannot_be_made_costs_only_the_judging(batchrun: Any, endpoint: Any) -> None:
    """The answers are written, and the same command judges them when the cause is removed."""
    Path("out").mkdir()
    Path("out/judge").write_text("not a folder")
    stopped = batchrun("run", write_job(endpoint))
    assert stopped.code == 3
    assert "the answers are complete, but not judged: out/judge/answers.parquet: cannot be written" in stopped.stderr
    assert (len(results()), scores()[0]) == (30, (None, None, False))
    Path("out/judge").unlink()
    assert batchrun("run", "job.toml").code == 0
    assert (sent(endpoint), None in {score for score, _, _ in scores()}) == (60, False)


def test_the_judge_may_have_an_endpoint_and_a_key_of_its_own(
    batchrun: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing key is found before the answers are bought."""
    path = write_job(endpoint, 'endpoint = { base_url = "https://judge.invalid/v1", api_key_env = "JUDGE_KEY" }')
    refused = batchrun("run", path)
    assert (refused.code, "JUDGE_KEY" in refused.stderr, sent(endpoint)) == (4, True, 0)
    monkeypatch.setenv("JUDGE_KEY", "sk-other")
    write_job(endpoint, f'endpoint = {{ base_url = "{endpoint.base_url}", api_key_env = "JUDGE_KEY" }}')
    assert batchrun("run", path).code == 0
    assert None not in {score for score, _, _ in scores()}


def test_what_judging_takes_is_foreseen(batchrun: Any, endpoint: Any) -> None:
    """As a guess: there are no answers yet."""
    line = f"then judging by {JUDGE}: up to 30 requests, about "
    assert line in batchrun("check", write_job(endpoint)).stdout
    assert line in batchrun("run", "job.toml").stderr


def test_what_is_left_to_judge_is_checked_as_it_is_sent(batchrun: Any, endpoint: Any) -> None:
    """Also where all answers are there: after the judge was added, when all is judged, and after an edit of it."""
    path = Path(write_job(endpoint))
    judge = path.read_text()
    path.write_text(judge[: judge.index("[judge]")] + judge[judge.index("[prices") :])
    assert batchrun("run", path).code == 0
    path.write_text(judge)
    assert f"then judging by {JUDGE}: up to 30 requests" in batchrun("check", path).stdout
    assert batchrun("run", path).code == 0
    assert "then judging" not in batchrun("check", path).stdout
    path.write_text(judge.replace(f'model = "{JUDGE}"', f'model = "{OTHER}"'))
    checked = batchrun("check", path)
    assert f"then judging by {OTHER}: 30 requests, " in checked.stdout
    assert "judge.model changed: 0 rows kept, 30 to send" in checked.stdout
    refused = batchrun("run", path)
    cure = "add --yes to buy these judgments; the answers stay"
    assert (checked.code, cure in checked.stderr) == (refused.code, cure in refused.stderr) == (2, True)
    assert sent(endpoint) == 60
    assert batchrun("run", path, "--yes").code == 0
    assert sent(endpoint) == 90


def test_two_models_are_compared_by_their_judge(batchrun: Any) -> None:
    """From the answers to the comparison, as the page on evaluation shows it."""
    rows = [{"question": f"{number} + 1?", "answer": number + 1} for number in range(20)]
    write_rows("in.jsonl", *rows)
    Path("job.toml").write_text(
        '[input]\npath = "in.jsonl"\n[prompt]\nuser = "{{ question }}"\n'
        f'[model]\nnames = ["{ANSWERS}", "{OTHER}"]\n[evaluate]\ntarget = "answer"\nscorer = "number"\n'
        f'[judge]\nmodel = "{JUDGE}"\n[output]\ndir = "out"\n'
    )
    assert batchrun("run", "job.toml", "--simulate").code == 0
    table = pq.read_table("out/results.parquet").to_pylist()
    means = [sum(row["judge_score"] for row in table if row["model"] == model) / 20 for model in (ANSWERS, OTHER)]
    (entry,) = batchrun("compare", "out", "--json").json["comparisons"]
    judged = next(each for each in entry["scores"] if each["column"] == "judge_score")
    assert judged["means"] == pytest.approx(means)
    assert judged["difference"] == pytest.approx(means[1] - means[0])
    assert judged["wins"] + judged["losses"] + judged["ties"] == 20
