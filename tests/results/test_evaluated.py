"""What an evaluation adds to the results."""

from typing import Any

import pyarrow as pa

from batchrun.answers.scores.scorers import NamedFunction
from batchrun.job.evaluate import Evaluate
from batchrun.results.columns import results_schema
from batchrun.results.evaluated import Evaluated, evaluated_by

INPUTS = pa.schema([("gold", pa.string()), ("score", pa.string())])


def made(evaluate: Evaluate, function: NamedFunction | None = None) -> Evaluated:
    return evaluated_by(evaluate, INPUTS, None, samples=1, function=function)


def rows(evaluated: Evaluated, *answers: str) -> list[dict[str, Any]]:
    """Return the rows of one prompt with these answers, whose target is 7."""
    whole = results_schema(INPUTS, added=evaluated.columns)
    own = pa.schema(list(whole)[: len(whole) - len(evaluated.columns)])
    answered = [
        {"row": 0, "model": "m", "status": "completed", "response": each, "gold": "7", "input_score": "9"}
        for each in answers
    ]
    scored = evaluated.scored(pa.RecordBatch.from_pylist(answered, schema=own), None)
    return [row for batch in evaluated.voted([scored], whole) for row in batch.to_pylist()]


def test_every_scorer_and_the_vote_have_their_columns() -> None:
    """The vote on what the scorer found shows what that was."""
    scorers: Any = {"loose": "contains", "own": {"target": "score", "scorer": "number"}}
    evaluated = made(Evaluate(target="gold", scorer="number", scorers=scorers, vote="prediction"))
    names = ["score", "score_loose", "score_own", "prediction", "vote", "vote_share"]
    assert [column.name for column in evaluated.columns] == names
    found = rows(evaluated, "It is 7.0", "7", "9")
    assert [[row[name] for name in names[:4]] for row in found] == [[1, 1, 0, "7"], [1, 1, 0, "7"], [0, 0, 1, "9"]]
    assert {row["vote"] for row in found} == {"7"}
    assert [(each["column"], each["mean"]) for each in evaluated.table()] == [
        ("score", 2 / 3),
        ("score_loose", 2 / 3),
        ("score_own", 1 / 3),
    ]


def test_the_needed_columns_of_the_input_have_their_names_in_the_results() -> None:
    """A name that a column of scores takes has a prefix."""
    evaluated = made(Evaluate(target="score", by="gold"))
    assert evaluated.reads == {"score": "input_score", "gold": "gold"}


def test_a_function_replaces_all_scorers_and_finds_nothing_to_vote_on() -> None:
    """The reason is a notice: the results are written without the vote."""
    evaluate = Evaluate(target="gold", scorers={"a": {"scorer": "exact"}}, vote="prediction")
    evaluated = made(evaluate, NamedFunction("mine:score", lambda row: 0.25))
    assert [column.name for column in evaluated.columns] == ["score"]
    assert rows(evaluated, "x")[0]["score"] == 0.25
    assert evaluated.notices == [
        "the answers do not vote: evaluate.vote: mine:score finds no text in the answers to vote on"
    ]
