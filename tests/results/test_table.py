"""The rows of the results: input, answer and score."""

from collections.abc import Callable, Iterator

import orjson
import pyarrow as pa
from harness.checkpoints import columns_of
from harness.priced import priced

from batchrun.answers.schema import AnswerSchema
from batchrun.job.evaluate import Evaluate
from batchrun.records import Outcome
from batchrun.results.answers import AnswerReader
from batchrun.results.evaluated import Evaluated
from batchrun.results.row_scorers import ByTarget
from batchrun.results.scores import Scoring
from batchrun.results.table import Results

Make = Callable[..., Outcome]

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}, "text": {"type": "string"}}, "required": ["n"]}


class Inputs:
    """An input of three rows, in batches of two."""

    schema = pa.schema([("text", pa.string()), ("score", pa.string())])

    def batches(self) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch([["a", "b"], ["1", "2"]], schema=self.schema)
        yield pa.record_batch([["c"], ["2"]], schema=self.schema)


def answered(outcome: Make, *numbers: int) -> list[Outcome]:
    texts = [orjson.dumps({"n": number}).decode() for number in numbers]
    bodies = [orjson.dumps({"choices": [{"message": {"content": text}}]}) for text in texts]
    return [outcome(row=row, body=body) for row, body in enumerate(bodies)]


def made(outcomes: list[Outcome], *hidden: str) -> Results:
    evaluate = Evaluate(target="score", scorer="json_field", field="n")
    return Results(
        [columns_of(outcomes)],
        Inputs(),
        priced(),
        reader=AnswerReader(AnswerSchema(SCHEMA)),
        evaluated=Evaluated([Scoring(ByTarget(evaluate, "input_score"), 1)]),
        hidden=hidden,
    )


def test_a_row_has_its_input_its_answer_and_its_score(outcome: Make) -> None:
    """Each column has its place and a unique name, for all batch sizes."""
    results = made(answered(outcome, 1, 1, 2))
    rows = pa.Table.from_batches(list(results.batches()), results.schema).to_pylist()
    names = ["text", "input_score", "n", "response_text", "score"]
    assert [[row[name] for name in names] for row in rows] == [
        ["a", "1", 1, None, 1.0],
        ["b", "2", 1, None, 0.0],
        ["c", "2", 2, None, 1.0],
    ]
    order = results.schema.names
    assert order[:5] == ["row", "custom_id", "text", "input_score", "model"]
    assert order[order.index("reasoning") + 1 : order.index("tool_calls")] == ["n", "response_text"]
    assert order[-1] == "score"


def test_a_hidden_target_is_used_for_scores_and_left_out(outcome: Make) -> None:
    """The user did not ask for this column."""
    results = made(answered(outcome, 1, 1, 2), "input_score")
    table = pa.Table.from_batches(list(results.batches()), results.schema)
    assert "input_score" not in table.schema.names
    assert table["score"].to_pylist() == [1.0, 0.0, 1.0]


def test_rows_are_counted_while_they_are_read(outcome: Make) -> None:
    """Rows that the input no longer has are counted as dropped."""
    results = made(answered(outcome, 1, 1, 2, 2, 2))
    assert (results.rows, results.dropped) == (0, 0)
    assert sum(batch.num_rows for batch in results.batches()) == 3
    assert (results.rows, results.dropped) == (3, 2)


def test_what_is_to_be_known_about_the_answers_is_counted_as_they_pass(outcome: Make) -> None:
    """By model, and only for completed rows."""
    choices = [("yes", "stop"), (None, "length"), (" ", "stop"), ("half an ans", "length")]
    bodies = [{"choices": [{"message": {"content": text}, "finish_reason": why}]} for text, why in choices]
    outcomes = [outcome(row=row, body=orjson.dumps(body)) for row, body in enumerate(bodies)]
    results = Results(
        [columns_of(outcomes), columns_of([outcome(row=9, kind="bad_request", body=None)])], None, priced()
    )
    assert sum(batch.num_rows for batch in results.batches()) == 5
    (counts,) = results.answers.table()
    assert (counts["completed"], counts["empty"], counts["cut_off"]) == (4, {"length": 1, "stop": 1}, 2)
