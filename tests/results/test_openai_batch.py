"""OpenAI's output and error files."""

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.checkpoints import columns_of

from batchrun.records import Outcome
from batchrun.results.answers import AnswerReader
from batchrun.results.openai_batch import write_batch_files

Make = Callable[..., Outcome]


def test_an_answer_that_is_not_strict_json_is_written_as_it_was_read(tmp_path: Path, outcome: Make) -> None:
    """Half an emoji, NaN, or a line break inside a text: the file must be one that every reader takes."""
    bodies = {
        "strict": b'{"id": "a",\n "choices": [{"message": {"content": "x"}}]}',
        "half an emoji": b'{"id": "b", "choices": [{"message": {"content": "\\ud83d"}}]}',
        "not a number": b'{"id": "c", "n": NaN, "choices": [{"message": {"content": "x"}}]}',
        "in a list": b'[{"id": "d", "choices": [{"message": {"content": "x"}}]}]',
    }
    outcomes = [outcome(row=row, custom_id=name, body=body) for row, (name, body) in enumerate(bodies.items())]
    paths = [tmp_path / "output", tmp_path / "errors"]
    assert write_batch_files(*paths, [columns_of(outcomes)], AnswerReader(None)) == (4, 0)
    lines = [json.loads(line, parse_constant=refuse_constant) for line in paths[0].read_bytes().splitlines()]
    assert [line["custom_id"] for line in lines] == list(bodies)
    assert [line["response"]["request_id"] for line in lines] == ["a", "b", "c", "d"]
    contents = [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines]
    assert (contents[0], *contents[2:]) == ("x", "x", "x")
    assert lines[2]["response"]["body"]["n"] is None


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_every_row_has_one_line_with_a_unique_id(tmp_path: Path, outcome: Make) -> None:
    """Also if the samples and models of one prompt come in several batches."""
    places = [(row, model, sample) for row in range(2) for model in "ab" for sample in range(2)]
    outcomes = [outcome(row=row, model=model, sample=sample, custom_id=f"c{row}") for row, model, sample in places]
    outcomes[3] = outcomes[3]._replace(kind="bad_request", http_status=400, body=b"{}")
    chunks = [columns_of(some) for some in (outcomes[:3], outcomes[3:4], outcomes[4:])]
    paths = [tmp_path / "output", tmp_path / "errors"]
    assert write_batch_files(*paths, chunks, AnswerReader(None)) == (7, 1)
    lines = [[json.loads(line) for line in path.read_bytes().splitlines()] for path in paths]
    assert [line["custom_id"] for line in lines[0]] == ["c0"] * 3 + ["c1"] * 4
    assert [line["id"] for line in lines[1]] == ["batch_req_0_3"]
    assert {line["id"] for some in lines for line in some} == {
        f"batch_req_{row}_{number}" for row in range(2) for number in range(4)
    }


@pytest.mark.parametrize("keeps_base64", [False, True])
def test_vectors_are_numbers_unless_the_row_asks_for_base64(tmp_path: Path, outcome: Make, keeps_base64: bool) -> None:
    """Between endpoint and checkpoint they are base64 to be shorter, which nobody asked for."""
    text = base64.b64encode(struct.pack("<2f", 0.5, -2.0)).decode()
    vectors: list[Any] = [text, [0.25, 1]]
    bodies = [json.dumps({"id": "e", "data": [{"index": 0, "embedding": each}]}).encode() for each in vectors]
    outcomes = [outcome(row=row, custom_id="c", body=body) for row, body in enumerate(bodies)]
    paths = [tmp_path / "output", tmp_path / "errors"]
    asked: list[int] = []

    def asks_base64(row: int) -> bool:
        asked.append(row)
        return keeps_base64

    assert write_batch_files(*paths, [columns_of(outcomes)], AnswerReader(None), asks_base64=asks_base64) == (2, 0)
    assert asked == [0, 1]
    written = [json.loads(line)["response"] for line in paths[0].read_bytes().splitlines()]
    first = text if keeps_base64 else [0.5, -2.0]
    assert [each["body"]["data"] for each in written] == [
        [{"index": 0, "embedding": first}],
        [{"index": 0, "embedding": [0.25, 1]}],
    ]
    assert [each["request_id"] for each in written] == ["e", "e"]
