"""What is to be known about the completed rows."""

from collections.abc import Callable
from typing import Any

import orjson
from harness.checkpoints import columns_of
from harness.priced import priced

from batchrun.records import Outcome, Usage
from batchrun.results.answer_counts import AnswerCounts, answer_lines
from batchrun.results.arrays import outcome_arrays
from batchrun.results.columns import COLUMNS

Make = Callable[..., Outcome]


def answered(finish_reason: str | None = "stop", **message: Any) -> bytes:
    return orjson.dumps({"choices": [{"message": message, "finish_reason": finish_reason}]})


def counted(*outcomes: Outcome) -> list[dict[str, Any]]:
    counts = AnswerCounts()
    for each in outcomes:  # one batch each
        arrays = outcome_arrays(columns_of([each]), priced())
        counts.add(dict(zip([column.name for column in COLUMNS], arrays, strict=True)))
    return counts.table()


def test_an_answer_is_empty_without_text_call_and_refusal(outcome: Make) -> None:
    """Whatever its finish reason; failed rows are not counted."""
    (found,) = counted(
        outcome(body=answered(content="yes")),
        outcome(body=answered(content=" \n")),
        outcome(body=answered(None)),
        outcome(body=answered("content_filter", content="")),
        outcome(body=answered("tool_calls", tool_calls=[{"id": "a"}])),
        outcome(body=answered(refusal="I cannot.")),
        outcome(body=answered("length", content="half of")),
        outcome(kind="bad_request", body=None),
    )
    assert found["completed"] == 7
    assert found["empty"] == {"stop": 1, "none": 1, "content_filter": 1}
    assert (found["refused"], found["cut_off"]) == (1, 1)


def test_token_counts_that_do_not_add_up_are_counted(outcome: Make) -> None:
    """A total below its parts, or a part above the whole; and answers that state none."""
    usages = [Usage(1, 2, 3), Usage(5, 5, 3), Usage(5, 5, 10, 6), Usage(5, 5, 10, None, 6), Usage(), Usage(1)]
    usages += [Usage(None, 3), Usage(None, None, 3)]
    (found,) = counted(*(outcome(body=answered(content="a"), usage=usage) for usage in usages))
    assert (found["contradictory"], found["unstated"], found["partly_stated"]) == (3, 4, 3)


def test_every_finish_reason_of_a_text_is_counted_that_is_not_usual(outcome: Make) -> None:
    """No list of failures is needed: a server may name them as it likes."""
    usual = [None, "stop", "STOP", "length", "tool_calls", "eos", "end_turn", ""]
    odd = ["content_filter", "RECITATION", "ran_out_of_time", "ran_out_of_time", "\x1b" + "y" * 60]
    (found,) = counted(
        *(outcome(body=answered(reason, content="half of")) for reason in usual + odd),
        outcome(body=answered("content_filter", content="")),
    )
    assert found["unusual"] == {"ran_out_of_time": 2, "content_filter": 1, "RECITATION": 1, " " + "y" * 39: 1}
    assert found["empty"] == {"content_filter": 1}
    (many,) = counted(*(outcome(body=answered(f"odd {number}", content="a")) for number in range(50)))
    assert sum(many["unusual"].values()) == 50
    assert len(many["unusual"]) == 21


def test_answers_that_are_cut_and_answers_without_counts_have_separate_notes() -> None:
    """Few are a note, many a warning; and no note claims that nothing is stated where something is."""
    assert answer_lines([counts(unusual={"gone": 1})]) == [
        "note: 1 of 40 answers ends with an unusual finish reason (finish_reason gone); the text may not be whole"
    ]
    (line,) = answer_lines([counts(unusual={"gone": 2, "lost": 1})])
    assert line.startswith("warning: 3 of 40 answers end with an unusual finish reason (2 with finish_reason gone, 1 ")
    none, some = answer_lines([counts(unstated=5, partly_stated=2)])
    assert none.startswith("note: 3 of 40 answers state no token counts; their cost is not known")
    assert some.startswith("note: 2 of 40 answers state only a part of the token counts; their cost is not known")
    old = counts(unstated=1)
    del old["unusual"], old["partly_stated"]
    assert len(answer_lines([old])) == 1


def counts(model: str = "m", completed: int = 40, **more: Any) -> dict[str, Any]:
    zero = {"empty": {}, "unusual": {}, "cut_off": 0, "refused": 0}
    zero |= {"unstated": 0, "partly_stated": 0, "contradictory": 0}
    return {"model": model, "completed": completed, **zero, **more}


def test_more_than_a_few_percent_of_empty_answers_are_a_warning() -> None:
    """Fewer are a note; the cure depends on the reason."""
    assert answer_lines([counts()]) == []
    assert answer_lines([counts(empty={"stop": 38})]) == ["warning: 38 of 40 answers have no text (finish_reason stop)"]
    (line,) = answer_lines([counts(empty={"length": 1}, cut_off=1)])
    assert line.startswith("note: 1 of 40 answers has no text (finish_reason length); raise max_tokens")
    (line,) = answer_lines([counts(completed=1, empty={"stop": 1})])
    assert line == "warning: 1 of 1 answer has no text (finish_reason stop)"
    (line,) = answer_lines([counts(refused=1)])
    assert line == "note: 1 of 40 answers is a refusal; the column refusal has the words"
    (line,) = answer_lines([counts(completed=10, empty={"stop": 3, "content_filter": 1})])
    assert line.endswith("1 with finish_reason content_filter); the endpoint's content filter withheld 1 of them")
    (line,) = answer_lines([counts(completed=10, empty={"content_filter": 2})])
    assert line.endswith("withheld them")
    (line,) = answer_lines([counts(completed=10, empty={"content_filter": 1})])
    assert line.endswith("withheld it")


def test_each_model_has_its_lines_and_warnings_come_first() -> None:
    """Everything else is a note."""
    found = [counts("a", cut_off=3, refused=2), counts("b", empty={"stop": 40}, unstated=1, contradictory=4)]
    first, *others = answer_lines(found)
    assert first.startswith("warning: b: 40 of 40")
    assert [line.split()[:3] for line in others] == [
        ["note:", "a:", "3"],
        ["note:", "a:", "2"],
        ["note:", "b:", "1"],
        ["note:", "b:", "4"],
    ]
