"""The requests of a row are those that were sent; what has changed since is found by their keys."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness.prompts import write_rows
from harness.settled import HEAD, body_of, failed, settle

from batchrun.errors import InputError
from batchrun.results.requests import requests_of

OUT = Path("out")
SCHEMA = '[response.schema]\ntype = "object"\nrequired = ["a"]\nproperties.a = { type = "integer" }\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_model_and_sample_of_a_row_is_rendered_as_it_was_sent() -> None:
    sent: dict[tuple[str, int], bytes] = {}

    def answer(asked: Any) -> Any:
        if asked.row == 300:
            sent[asked.model, asked.sample] = asked.body
        return "x"

    head = HEAD.replace('["m"]', '["m", "n"]\nnum_samples = 2\nseed = 5')
    settle([{"prompt": str(number)} for number in range(400)], answer, head=head)
    found = requests_of(OUT, 300)
    assert {(each.request.model, each.request.sample): each.request.body for each in found} == sent
    assert all(each.is_same and each.outcome is not None for each in found)
    assert [json.loads(each.request.body)["seed"] for each in found] == [5, 6, 5, 6]


def test_a_row_that_has_changed_or_moved_is_not_the_same() -> None:
    settle([{"prompt": "a"}, {"prompt": "b"}], lambda asked: "x")
    write_rows("in.jsonl", {"prompt": "new"}, {"prompt": "b"}, {"prompt": "c"})
    assert [requests_of(OUT, row)[0].is_same for row in range(3)] == [False, True, True]
    assert requests_of(OUT, 2)[0].outcome is None


@pytest.mark.parametrize(
    ("row", "message"),
    [(5, "row 5: the input has no such row"), (1, r"row 1: cannot become a request: in\.jsonl:2: .*string")],
)
def test_a_row_without_a_request_is_refused_with_the_reason(row: int, message: str) -> None:
    settle([{"prompt": "a"}, {"prompt": 1}], lambda asked: "x")
    with pytest.raises(InputError, match=message):
        requests_of(OUT, row)


@pytest.mark.parametrize(
    ("answer", "is_repaired"),
    [
        ('{"a": 1}', False),
        (failed("invalid_response", 200, body=body_of('{"a": "x"}')), True),
        (failed("bad_request", 400, body=b"{}"), False),
        (failed("invalid_response", 200, body=b"not json"), False),
        (failed("invalid_response", 200, body=b'{"error": "x"}'), False),
        (failed("invalid_response", 200), False),
    ],
)
def test_only_an_answer_that_does_not_fit_is_asked_for_again(answer: Any, is_repaired: bool) -> None:
    settle([{"prompt": "a"}], lambda asked: answer, SCHEMA)
    (found,) = requests_of(OUT, 0)
    assert (found.repair is not None) == is_repaired
    if found.repair is not None:
        first, second = orjson.loads(found.request.body), orjson.loads(found.repair.body)
        assert second["messages"][:-2] == first["messages"]
        assert second["messages"][-2] == {"role": "assistant", "content": '{"a": "x"}'}
        assert '"x" is not of type "integer"' in second["messages"][-1]["content"]
