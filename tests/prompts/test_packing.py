"""A row that travels ends as one that does not: the same requests, or the same reason why there are none."""

import pickle
from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from batchrun.engine.cluster.messages import pack_rows, unpack_rows
from batchrun.prompts.packing import Packing, Unpacking, can_pack
from batchrun.prompts.rendering import Rendering
from batchrun.records import BadRow, PackedRow, Request, Row

NESTED: dict[str, Any] = {}
for _ in range(5_000):
    NESTED = {"a": NESTED}

ROWS: tuple[dict[str, Any] | None, ...] = (
    {"id": "a", "q": "Is it?"},
    {"id": 7, "q": None},
    {"q": 10**30},
    {"q": "half \ud83d a pair"},
    {"other": 1},
    {"q": float("nan")},
    {"q": datetime(2026, 11, 29), "params": {"temperature": 0.5}},
    {"q": Decimal("1.5"), "params": '{"max_tokens": 3}'},
    {"q": b"bytes", "params": "no JSON"},
    {"q": "x", "params": {"temperature": None}},
    {"q": NESTED},
    {"q": "deep", "unused": NESTED},
    {"q": {"unprintable": lambda: 0}},
    None,
)


@pytest.mark.parametrize(
    "settings",
    [
        {"user": "{{ q }}"},
        {"user": "{{ q }}", "names": ("m", "n"), "num_samples": 3, "seed": 1, "system": "Say {{ id }}."},
        {"user": "{{ q }}", "examples": ({"q": "1", "answer": "2"},)},
        {},
    ],
)
def test_packed_rows_become_what_they_become_here(make_job, settings) -> None:
    """For every model and sample, also of rows that cannot be sent."""
    job = make_job(**settings)
    rendering = Rendering(job)
    rows = [
        Row(number, columns, f"in.jsonl:{number}", None if columns else "is not JSON")
        for number, columns in enumerate(ROWS)
    ]
    packed = Packing(job, rendering).entries(rows)
    travelling = [entry for entry in packed if not isinstance(entry, BadRow)]
    arrived = [*Unpacking(job).entries(unpack_rows(pack_rows(travelling)))]
    broken_here = [entry for entry in packed if isinstance(entry, BadRow)]
    expected = [entry for row in rows for entry in rendering.entries(row)]
    assert sorted([*arrived, *broken_here], key=lambda each: each.row) == expected
    assert {type(entry) for entry in expected} >= {BadRow}
    assert sum(isinstance(entry, PackedRow) for entry in packed) > len(packed) / 2


def test_a_bad_row_that_travels_alone_is_the_one_of_its_model_and_sample(make_job) -> None:
    """Rows of a worker that died come back one by one, in any order."""
    job = make_job(user="{{ q }}", names=("m", "n"), num_samples=2)
    packed = Packing(job, Rendering(job)).entries([Row(0, {"q": "a"}, ""), Row(1, {}, "")])
    made = [*Unpacking(job).entries([each for each in reversed(packed) if isinstance(each, PackedRow)])]
    assert [(each.row, each.model, each.sample) for each in made] == [each[:3] for each in reversed(packed)]
    assert [type(each) for each in made] == [BadRow] * 4 + [Request] * 4


def test_a_row_is_packed_once_for_all_its_requests(make_job) -> None:
    """A message has its bytes once, too."""
    job = make_job(user="{{ q }}", num_samples=50)
    packed = Packing(job, Rendering(job)).entries([Row(0, {"q": "x" * 10_000}, "")])
    assert len(packed) == 50
    assert len(pickle.dumps([tuple(each) for each in packed], 5)) < 20_000


@pytest.mark.parametrize(
    ("settings", "can"),
    [
        ({}, True),
        ({"names": ()}, False),
        ({"order": "prefix"}, False),
        ({"order": "random"}, True),
        ({"dedupe": True}, False),
        ({"images": "image"}, False),
        ({"files": "pdf"}, False),
        ({"kind": "embeddings", "rows_per_request": 8}, False),
        ({"num_samples": 4, "samples_per_request": 2}, False),
        ({"num_samples": 4}, True),
    ],
)
def test_requests_are_made_where_what_they_need_is(make_job, settings, can) -> None:
    """Workers see neither files nor other rows."""
    assert can_pack(make_job(user="{{ q }}", **settings)) == can


def test_a_batch_line_travels_as_it_was_read_and_only_once(make_job) -> None:
    """Its columns, which are as long again, stay here; one that a condition broke stays broken."""
    line = b'{"custom_id":"a", "body": {"messages": [{"role":"user","content":"%b"}], "id": %d}}' % (
        b"x" * 5_000,
        10**18,
    )
    row = Row(0, orjson.loads(line), "in.jsonl:1", line=line)
    job = make_job()
    [packed] = Packing(job, Rendering(job)).entries([row])
    assert isinstance(packed, PackedRow)
    assert len(packed.packed) < len(line) + 100
    [request] = Unpacking(job).entries([packed])
    assert request == Rendering(job).entries(row)[0]
    assert isinstance(request, Request)
    assert request.body == b'{"model":"m",' + line[line.index(b'"messages"') : -1]
    broken = row._replace(columns=None, problem="where: is odd")
    assert [*Unpacking(job).entries(Packing(job, Rendering(job)).entries([broken]))] == Rendering(job).entries(broken)


def test_rows_that_were_read_together_travel_together(make_job) -> None:
    """But for long ones, and in random order, where each may go to another worker. Each says its part of the size."""
    short, long = ([Row(number, {"q": f"{number}" + "x" * size}, "") for number in range(40)] for size in (10, 3_000))
    for rows, order, blocks in ((short, "input", 3), (long, "input", 40), (short, "random", 40)):
        job = make_job(user="{{ q }}", order=order)
        packed = Packing(job, Rendering(job)).entries(rows)
        found = {id(each.packed): len(each.packed) for each in packed if isinstance(each, PackedRow)}
        assert len(found) == blocks
        assert sum(found.values()) - 40 < sum(each.size for each in packed if isinstance(each, PackedRow))
        arrived = unpack_rows(pack_rows(each for each in packed if isinstance(each, PackedRow)))
        assert [*Unpacking(job).entries(arrived)] == [each for row in rows for each in Rendering(job).entries(row)]
        assert len({id(each.packed) for each in arrived if isinstance(each, PackedRow)}) == blocks


def test_a_row_that_cannot_be_packed_does_not_keep_its_neighbours_here(make_job) -> None:
    """Only its own requests are made here."""
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    job = make_job(user="{{ q }}")
    rows = [Row(0, {"q": "a"}, ""), Row(1, {"q": "b", "other": nested}, ""), Row(2, {"q": "c"}, "")]
    packed = Packing(job, Rendering(job)).entries(rows)
    assert [type(each) for each in packed] == [PackedRow, Request, PackedRow]
    assert [each.row for each in packed] == [0, 1, 2]
