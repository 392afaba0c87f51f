"""Evaluation: a score in every row, and the totals of the scores."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from harness.prompts import columns, results, write_rows
from harness.settled import HEAD, failed, settle

ROWS = [{"prompt": "1 + 1?", "answer": 2}, {"prompt": "1 + 2?", "answer": 3}, {"prompt": "1 + 3?", "answer": None}]
NUMBER = '[evaluate]\ntarget = "answer"\nscorer = "number"\n'


def footer() -> Any:
    """Return the scores in the footer of the results."""
    metadata = pq.read_metadata("out/results.parquet").metadata
    return json.loads(metadata[b"batchrun.scores"]) if b"batchrun.scores" in metadata else None


def write_scorer(body: str) -> None:
    """Write a module `mine` with a function `score`."""
    Path("mine.py").write_text(f"def score(row):\n    {body}\n")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each test import its own module `mine`."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def test_every_row_has_its_score(batchrun: Any) -> None:
    """It is the last column, and null if the row failed or has no target."""
    answers = ["It is 2.00", "It is 4", "whatever"]
    rows = [*ROWS, {"prompt": "?", "answer": 5}]
    settle(rows, lambda asked: answers[asked.row] if asked.row < 3 else failed("bad_request", 400), NUMBER)
    assert batchrun("export", "out").code == 0
    assert [row["score"] for row in results()] == [1.0, 0.0, None, None]
    assert columns()[-1] == "score"


@pytest.mark.parametrize(
    ("how", "answer", "message"),
    [
        ('scorer = "json_field"\nfield = "lable"', '{"label": 2}', "none of 2 answers has evaluate.field = 'lable'"),
        (
            'scorer = "regex"\npattern = "A: (.*)"',
            "B: 2",
            "none of 2 answers has what evaluate.pattern = 'A: (.*)' finds",
        ),
        ('scorer = "number"', "two", "none of 2 answers has a number"),
        ('scorer = "json_field"\nfield = "label"', '{"label": 9}', None),
        ('scorer = "exact"', "two", None),
    ],
)
def test_a_field_that_no_answer_has_is_reported(batchrun: Any, how: str, answer: str, message: str | None) -> None:
    """A misspelt field must not look like a bad model."""
    settle(ROWS, lambda asked: answer, f'[evaluate]\ntarget = "answer"\n{how}\n')
    stderr = batchrun("export", "out").stderr
    assert ("none of" in stderr) == (message is not None)
    assert (message or "") in stderr
    assert [row["score"] for row in results()] == [0.0, 0.0, None]


def test_scores_are_averaged_by_model(batchrun: Any) -> None:
    """In the footer of the results, in messages, and in `status --json`."""
    head = HEAD.replace('["m"]', '["m", "n"]')
    rows = [{"prompt": str(each), "answer": each} for each in range(20)]
    settle(rows, lambda asked: str(asked.row if asked.model == "m" or asked.row < 5 else 99), NUMBER, head=head)
    text = batchrun("export", "out").stderr
    (m, n) = footer()
    assert (m["model"], m["scored"], m["unscored"], m["prompts"], m["mean"]) == ("m", 20, 0, 20, 1.0)
    assert (n["model"], n["mean"]) == ("n", 0.25)
    low, high = n["interval"]
    assert 0.1 < low < 0.25 < high < 0.5
    assert f"score     m: 1 (95 %: {m['interval'][0]:.4g} to 1) over 20 answers\n          n: 0.25 (95 %: " in text
    assert batchrun("status", "out", "--json").json["scores"] == [m, n]
    assert "          n: 0.25 (95 %: " in batchrun("status", "out").stdout
    assert batchrun("report", "out").code == 0
    page = Path("out/report.html").read_text()
    assert f"{n['interval'][0]:.4g} – {n['interval'][1]:.4g}" in page


def test_samples_give_pass_at_k(batchrun: Any) -> None:
    """That is the chance that one of k samples is right, averaged over all prompts."""
    head = HEAD.replace('["m"]', '["m"]\nnum_samples = 2')
    rows = [{"prompt": str(each), "answer": each} for each in range(2)]
    settle(rows, lambda asked: "0" if asked.sample == 0 else "7", NUMBER, head=head)
    text = batchrun("export", "out").stderr
    assert footer()[0]["pass_at"] == {"1": 0.25, "2": 0.5}
    assert "pass@1 0.25; pass@2 0.5" in text


def test_labels_have_accuracy_and_confusion(batchrun: Any) -> None:
    """Every class has precision and recall."""
    rows = [{"prompt": str(each), "answer": "good" if each % 2 else "bad"} for each in range(12)]
    settle(rows, lambda asked: "good" if asked.row < 11 else "ugly", '[evaluate]\ntarget = "answer"\n')
    text = batchrun("export", "out").stderr
    labels = footer()[0]["labels"]
    assert [each["label"] for each in labels["classes"]] == ["bad", "good"]
    assert labels["confusion"] == [[0, 6, 0], [0, 5, 1]]
    assert labels["classes"][1] == pytest.approx(
        {"label": "good", "support": 6, "predicted": 11, "precision": 5 / 11, "recall": 5 / 6, "f1": 10 / 17}, abs=1e-9
    )
    assert "m: 0.4167 (95 %: 0.1933 to 0.6805) over 12 answers; macro F1 0.2941 over 2 labels" in text


def test_several_scorers_groups_and_votes_are_shown_wherever_scores_are(batchrun: Any) -> None:
    """At the end, in run.json's form, in one row per prompt, in `show` and on the page, where ties come first."""
    head = HEAD.replace('["m"]', '["m", "n"]')
    evaluate = 'by = "kind"\nvote = "prediction"\nscorers = { loose = "contains" }\n'
    rows = [{"prompt": str(each), "answer": each, "kind": "odd" if each % 2 else "even"} for each in range(6)]
    settle(
        rows,
        lambda asked: f"It is {asked.row if asked.model == 'm' or asked.row != 3 else 33}.",
        NUMBER + evaluate,
        head=head,
    )
    text = batchrun("export", "out").stderr
    assert "            odd: 0.6667 (95 %: " in text
    assert "score_loose m: 1 (95 %: " in text
    agreed = "prediction: all answers agree on 5 of 6 prompts, and 1 is tied; Krippendorff's alpha is 0.82 (nominal)"
    assert f"vote      {agreed}" in text
    status = batchrun("status", "out", "--json").json
    assert [(each["column"], each["model"]) for each in status["scores"]] == [
        ("score", "m"),
        ("score", "n"),
        ("score_loose", "m"),
        ("score_loose", "n"),
    ]
    means = {each["group"]: each["mean"] for each in status["scores"][1]["groups"]}
    assert means == pytest.approx({"even": 1, "odd": 2 / 3})
    assert status["agreement"]["tied"] == 1
    assert columns()[-5:] == ["score", "score_loose", "prediction", "vote", "vote_share"]
    assert results()[6]["vote"] is None
    assert (results()[6]["vote_share"], results()[0]["vote"]) == (0.5, "0")
    assert batchrun("export", "out", "--wide").code == 0
    wide = pq.read_schema("out/results.wide.parquet").names
    assert wide[:7] == ["row", "custom_id", "prompt", "answer", "kind", "vote", "vote_share"]
    assert wide[-4:] == ["n/0/response", "n/0/score", "n/0/score_loose", "n/0/prediction"]
    assert batchrun("report", "out").code == 0
    page = Path("out/report.html").read_text()
    assert agreed.replace("'", "&#39;") in page
    assert "<h3>score_loose</h3>" in page
    assert ">odd</td>" in page


def test_an_evaluation_that_cannot_be_made_is_refused_before_anything_is_sent(run: Any) -> None:
    """The setting is named, also that of one scorer among several."""
    write_rows("in.jsonl", *ROWS)
    for setting, message in {
        'vote = "label"': 'evaluate.vote = "label"; must be response or prediction',
        'scorers = { a = { scorer = "regex" } }': "evaluate.scorers.a.pattern: the scorer regex needs it",
        'by = "kind"': "has no column kind, which evaluate.by names",
    }.items():
        Path("job.toml").write_text(f'[input]\npath = "in.jsonl"\n{NUMBER}{setting}\n')
        refused = run("job.toml")
        assert (refused.code, message in refused.stderr) == (2, True), refused.stderr


def test_a_run_ends_with_its_scores(run: Any, batchrun: Any) -> None:
    """They are the same in run.json, in --json and in the last message."""
    rows = [{"prompt": str(each), "answer": "no such answer"} for each in range(3)]
    Path("job.toml").write_text(f'[input]\npath = "{write_rows("in.jsonl", *rows)}"\n[evaluate]\ntarget = "answer"\n')
    done = run("job.toml", "--json")
    (scores,) = done.json["scores"]
    assert (scores["mean"], scores["scored"]) == (0.0, 3)
    assert json.loads(Path("out/run.json").read_text())["scores"] == [scores] == footer()
    assert "score     meta-llama/Llama-3.1-8B-Instruct: 0 (95 %: 0 to " in done.stderr


def test_a_run_without_evaluation_has_no_scores(run: Any) -> None:
    """There is no column for them either."""
    done = run(write_rows("in.jsonl", {"prompt": "a", "score": 5}), "--json")
    assert done.json["scores"] == []
    assert "score" not in done.stderr.replace("answers", "")
    assert footer() is None
    assert results()[0]["score"] == 5
    assert columns().index("score") < columns().index("model")


def test_an_edited_evaluation_sends_nothing(run: Any, endpoint: Any) -> None:
    """The same command scores the existing answers again."""
    rows = [{"prompt": str(each), "answer": str(each), "other": "x"} for each in range(3)]
    job = f'[input]\npath = "{write_rows("in.jsonl", *rows)}"\n'
    Path("job.toml").write_text(job)
    assert run("job.toml").code == 0
    for evaluate in ('target = "answer"', 'target = "other"\nscorer = "contains"', 'target = "answer"'):
        Path("job.toml").write_text(f"{job}[evaluate]\n{evaluate}\n")
        done = run("job.toml")
        assert done.code == 0
        assert "changed" not in done.stderr
        assert [row["score"] is None for row in results()] == [False] * 3
    assert endpoint.stats.received == 3


@pytest.mark.parametrize(
    ("evaluate", "words"),
    [
        ('target = "anser"', "has no column anser, which evaluate.target names; did you mean answer?"),
        ('target = "answer"\nscorer = "regex"', "evaluate.pattern: the scorer regex needs it"),
        ('target = "answer"\nscorer = "regex"\npattern = "("', "is not a regular expression"),
        ('target = "answer"\nscorer = "json_field"', "evaluate.field: the scorer json_field needs it"),
        ('target = "answer"\nscorer = "mine:score"', "must be one of"),
    ],
)
def test_an_invalid_evaluation_is_refused(run: Any, endpoint: Any, evaluate: str, words: str) -> None:
    """Before any request is sent. A job file cannot name a Python function."""
    write_scorer("raise SystemExit")
    Path("job.toml").write_text(f'[input]\npath = "{write_rows("in.jsonl", *ROWS)}"\n[evaluate]\n{evaluate}\n')
    done = run("job.toml")
    assert done.code == 2
    assert words in done.stderr
    assert endpoint.stats.received == 0
    assert not Path("out/checkpoint.sqlite").exists()


def test_the_target_column_may_be_left_out_of_the_results(batchrun: Any) -> None:
    """It is still read for the scores."""
    settle(ROWS, lambda asked: "2", NUMBER, head=HEAD + 'keep = ["prompt"]\n')
    assert batchrun("export", "out").code == 0
    assert [row["score"] for row in results()] == [1.0, 0.0, None]
    assert "answer" not in columns()
    assert results()[0]["prompt"] == "1 + 1?"


@pytest.mark.parametrize("name", ["score", "status"])
def test_a_target_with_the_name_of_a_results_column_is_found(batchrun: Any, name: str) -> None:
    """It has another name in the results."""
    rows = [{"prompt": str(each), name: each} for each in range(2)]
    settle(rows, lambda asked: "1", f'[evaluate]\ntarget = "{name}"\n')
    batchrun("export", "out")
    assert [(row[f"input_{name}"], row["score"]) for row in results()] == [(0, 0.0), (1, 1.0)]


def test_without_the_input_scores_are_null(batchrun: Any) -> None:
    """The column exists, and a message reports it."""
    settle(ROWS, lambda asked: "2", NUMBER)
    Path("in.jsonl").unlink()
    text = batchrun("export", "out").stderr
    assert "without the input's columns and without scores" in text
    assert [row["score"] for row in results()] == [None] * 3
    assert "score     m: none of 3 rows could be scored" in text


def test_a_property_of_the_answer_is_scored(batchrun: Any) -> None:
    """It is the property of the object that the schema finds in the text."""
    label = '{ label = { enum = ["a", "b"] } }'
    schema = f'[response]\nschema = {{ type = "object", properties = {label}, required = ["label"] }}\n'
    evaluate = '[evaluate]\ntarget = "answer"\nscorer = "json_field"\nfield = "label"\n'
    answer = '{"label": "a"} and not {"label": "c"}, {"unlike": 1}'
    settle([{"prompt": "a", "answer": "a"}], lambda asked: answer, schema + evaluate)
    batchrun("export", "out")
    assert [(row["label"], row["score"]) for row in results()] == [("a", 1.0)]


def test_a_function_of_the_user_scores_rows(batchrun: Any, run: Any) -> None:
    """It gets the row of the results, and its module is found in the current folder."""
    write_scorer('return len(row["response"]) * row["weight"] if row["status"] == "completed" else 1 / 0')
    write_rows("in.jsonl", {"prompt": "a", "weight": 2}, {"prompt": "[[simulate: 400]]", "weight": 2})
    done = run("in.jsonl", "--scorer", "mine:score", "--json")
    assert [row["score"] for row in results()] == [2.0 * len(results()[0]["response"]), None]
    assert done.json["scores"] == footer()
    assert (footer()[0]["scored"], footer()[0]["unscored"]) == (1, 1)
    batchrun("export", "out")
    assert "score" not in columns()
    batchrun("export", "out", "--scorer", "mine:score")
    assert columns()[-1] == "score"
    assert json.loads(Path("out/run.json").read_text()) == done.json == batchrun("status", "out", "--json").json


def test_rows_that_a_function_cannot_score_are_counted(batchrun: Any) -> None:
    """The message has the first error; the other rows have their scores."""
    write_scorer("return 1 / row['n']")
    settle([{"prompt": str(each), "n": each % 2} for each in range(4)], lambda asked: "x")
    done = batchrun("export", "out", "--scorer", "mine:score")
    assert done.code == 0
    assert "rows without a score: 2, because mine:score raised ZeroDivisionError: division by zero" in done.stderr
    assert [row["score"] for row in results()] == [None, 1.0, None, 1.0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine", "MODULE:FUNCTION, such as scorers:score for score() in ./scorers.py"),
        ("mine:", "MODULE:FUNCTION, such as scorers:score for score() in ./scorers.py"),
        ("no_such_module_here:score", "cannot be imported: ModuleNotFoundError"),
        ("mine:other", "mine has no function other"),
        ("broken:score", "broken cannot be imported: SyntaxError"),
        (".mine:score", "cannot be imported"),
    ],
)
@pytest.mark.parametrize("command", ["run", "export"])
def test_a_function_that_does_not_exist_is_refused(batchrun: Any, command: str, name: str, words: str) -> None:
    """Before any other step."""
    write_scorer("return 1")
    Path("broken.py").write_text("def score(:\n")
    done = batchrun(command, "in.jsonl", "--scorer", name)
    assert done.code == 2
    assert f"--scorer {name}: " in done.stderr
    assert words in done.stderr
