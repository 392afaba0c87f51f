"""Votes of the answers to each prompt."""

from typing import Any

import pyarrow as pa
import pytest

from batchrun.answers.columns import AnswerColumns
from batchrun.answers.schema import AnswerSchema
from batchrun.errors import JobError
from batchrun.job.evaluate import Evaluate
from batchrun.results.columns import results_schema
from batchrun.results.votes import Voted, Voting, voted_on

ANSWERS = AnswerColumns(
    AnswerSchema(
        {
            "type": "object",
            "properties": {
                "label": {"enum": ["good", "bad"]},
                "stars": {"type": "integer"},
                "tags": {"type": "array", "items": {"type": "string"}},
            },
        }
    )
)


def batch(*prompts: str) -> pa.RecordBatch:
    """Return rows of the results: one prompt per text, one answer per letter; `-` is a failed one, `.` has no text."""
    letters = [(row, letter) for row, text in enumerate(prompts) for letter in text]
    rows = [
        {
            "row": row,
            "model": "m",
            "status": "failed" if letter == "-" else "completed",
            "response": {"-": None, ".": " "}.get(letter, letter),
        }
        for row, letter in letters
    ]
    return pa.RecordBatch.from_pylist(rows, schema=results_schema(None))


def voted(voting: Voting, *batches: pa.RecordBatch) -> list[dict[str, Any]]:
    schema = results_schema(None, added=voting.columns)
    return [row for each in voting.extended(batches, schema) for row in each.to_pylist()]


RESPONSE = Voted("response", None, pa.string())


def test_each_answer_has_the_vote_of_its_prompt_wherever_batches_end() -> None:
    """A failed answer and one without a text have no vote; a tie has no label."""
    whole = batch("aab", "ab", "a-", "..", "-", "bbbb")
    expected = [("a", 2 / 3)] * 3 + [(None, 0.5)] * 2 + [("a", 1)] * 2 + [(None, None)] * 3 + [("b", 1)] * 4
    for size in range(1, whole.num_rows + 1):
        parts = [whole[at : at + size] for at in range(0, whole.num_rows, size)]
        voting = Voting(RESPONSE)
        assert [(row["vote"], row["vote_share"]) for row in voted(voting, *parts)] == expected
        found = voting.table()
        assert (found["prompts"], found["answers"], found["unanimous"], found["tied"]) == (3, 9, 1, 1)
        assert found["alpha"] == pytest.approx(1 - 8 * (9 - (2 / 2 + 0 + 12 / 3)) / (81 - 3 * 3 - 6 * 6))


def test_long_answers_count_by_their_hash() -> None:
    """Only equal ones agree."""
    voting = Voting(RESPONSE)
    rows = batch("aab", "bb").to_pylist()
    for row in rows:
        row["response"] *= 1_000
    found = voted(voting, pa.RecordBatch.from_pylist(rows, schema=results_schema(None)))
    assert found[0]["vote"] == "a" * 1_000
    assert voting.table()["alpha"] == pytest.approx(1 - 4 * (5 - (2 / 2 + 2)) / (25 - 2 * 2 - 3 * 3))


def test_answers_may_vote_on_a_property_or_the_text_or_what_the_scorer_finds() -> None:
    """The labels have the type of the property."""
    assert voted_on(Evaluate(), ANSWERS) is None
    assert voted_on(Evaluate(vote="label"), ANSWERS) == Voted("label", 0, pa.string())
    assert voted_on(Evaluate(vote="stars"), ANSWERS) == Voted("stars", 1, pa.int64())
    assert voted_on(Evaluate(vote="response"), None) == RESPONSE
    found = voted_on(Evaluate(vote="prediction", target="x", scorer="number"), None)
    assert found is not None
    assert found.is_prediction


def test_the_column_of_a_property_is_found_also_under_another_name() -> None:
    """A property with the name of another column has a prefix."""
    voted = voted_on(Evaluate(vote="stars"), ANSWERS)
    assert voted is not None
    schema = results_schema(pa.schema([("stars", pa.string())]), ANSWERS)
    assert voted.column_in(schema) == "response_stars"


@pytest.mark.parametrize(
    ("evaluate", "answers", "message"),
    [
        (Evaluate(vote="lable"), ANSWERS, r"must be label, stars, tags, response or prediction; did you mean label\?"),
        (Evaluate(vote="label"), None, "a property needs response.schema"),
        (Evaluate(vote="tags"), ANSWERS, "is a list or an object"),
        (Evaluate(vote="prediction"), ANSWERS, "needs evaluate.target"),
        (Evaluate(vote="prediction", target="x", scorer="contains"), ANSWERS, "a scorer that finds a text"),
    ],
)
def test_a_vote_on_something_else_is_refused(evaluate: Evaluate, answers: AnswerColumns | None, message: str) -> None:
    """The message lists what there is."""
    with pytest.raises(JobError, match=message):
        voted_on(evaluate, answers)
