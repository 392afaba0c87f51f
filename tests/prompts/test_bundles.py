"""Which requests travel together, and the body that they have then."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import JobError
from batchrun.job.sections import Input, Job, Model
from batchrun.prompts.bundles import MOST_BYTES, bundled, joined
from batchrun.prompts.rendering import Rendering
from batchrun.prompts.request import RequestMaker
from batchrun.records import BadRow, Prompt, Request, Row


def job(path: str = "in.jsonl", **model: Any) -> Job:
    return Job(name="j", input=Input(path=path), model=Model(name="m", **model))


def made(asks: Job, *bodies: dict[str, Any]) -> list[Any]:
    maker = RequestMaker(asks)
    prompts = [Prompt(row, None, body, kind=asks.model.kind) for row, body in enumerate(bodies)]
    return [request for prompt in prompts for request in maker.requests(prompt)]


def sent(asks: Job, *batches: list[Any]) -> list[Any]:
    return [*chain.from_iterable(bundled(asks, iter(batches)))]


def rows(request: Request) -> list[int]:
    return [each.row for each in request.rows]


EMBEDDINGS = job(kind="embeddings", rows_per_request=3)


def test_texts_become_one_list() -> None:
    """Over the ends of batches; the last bundle has what is left, and a row alone keeps its body."""
    requests = made(EMBEDDINGS, *({"input": f'text "{n}"'} for n in range(7)))
    one, two, three = sent(EMBEDDINGS, requests[:2], requests[2:])
    assert [rows(one), rows(two), rows(three)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert one.body.startswith(b'{"model":"m",')
    expected = {"model": "m", "input": ['text "0"', 'text "1"', 'text "2"'], "encoding_format": "base64"}
    assert orjson.loads(one.body) == expected
    assert three == requests[6]
    assert one.members == tuple(requests[:3])
    assert joined(one.members) == one


ANY_TEXT = st.text(st.sampled_from('"\\,:{}m\nxé'))


@given(st.lists(st.tuples(ANY_TEXT, st.sampled_from([None, 8])), min_size=1, max_size=9))
def test_each_text_is_sent_as_its_row_has_it(asked: list[tuple[str, int | None]]) -> None:
    """Whatever looks like the end of a text, like the rest of a body, or like the model."""
    bodies = [{"input": text} | ({"dimensions": count} if count else {}) for text, count in asked]
    requests = made(EMBEDDINGS, *bodies)
    for bundle in sent(EMBEDDINGS, requests):
        members = [orjson.loads(each.body) for each in bundle.rows]
        texts = [each["input"] for each in members]
        assert orjson.loads(bundle.body) == members[0] | {"input": texts if len(texts) > 1 else texts[0]}
        assert len({each.get("dimensions") for each in members}) == 1


def test_only_rows_with_the_same_parameters_travel_together() -> None:
    """Model, parameters and form must be the same; a row with several texts is a list already."""
    requests = made(
        EMBEDDINGS,
        {"input": "a"},
        {"input": "b", "dimensions": 8},
        {"input": [1, 2]},
        {"input": ["c", "d"]},
        {"input": "e"},
        {"input": "f", "dimensions": 8},
        {"input": [3]},
    )
    bundles = sent(EMBEDDINGS, requests)
    assert sorted(map(rows, bundles)) == [[0, 4], [1, 5], [2, 6], [3]]
    found = {tuple(rows(each)): orjson.loads(each.body) for each in bundles}
    assert found[1, 5]["dimensions"] == 8
    assert found[2, 6]["input"] == [[1, 2], [3]]
    assert found[3,]["input"] == ["c", "d"]


def test_a_body_is_not_longer_than_servers_take() -> None:
    asks = job(kind="embeddings", rows_per_request=64)
    bundles = sent(
        asks, made(asks, *({"input": "x" * (MOST_BYTES // 4)} for _ in range(10)), {"input": "y" * 2_000_000})
    )
    assert sorted(row for each in bundles for row in rows(each)) == [*range(11)]
    assert all(len(each.body) <= MOST_BYTES or not each.members for each in bundles)
    assert max(len(each.rows) for each in bundles) == 3


def test_rows_of_a_pipe_do_not_wait_for_more() -> None:
    """What comes after them may not come for hours."""
    asks = job("-", kind="embeddings", rows_per_request=64)

    def batches() -> Iterator[list[Any]]:
        yield made(asks, {"input": "a"}, {"input": "b"})
        raise AssertionError("it waits for more")

    assert [rows(each) for each in next(bundled(asks, batches())) if isinstance(each, Request)] == [[0, 1]]


def test_many_forms_are_not_all_held() -> None:
    """Rows that each have parameters of their own are sent as they come."""
    asks = job(kind="embeddings", rows_per_request=64)
    requests = made(asks, *({"input": "a", "user": f"u{n}"} for n in range(500)))
    ready = next(bundled(asks, iter([requests])))
    assert len(ready) > 400


def test_broken_rows_and_other_kinds_pass() -> None:
    chat = job()
    bad = BadRow(9, "m", 0, b"", None, "broken")
    others = [bad, *made(chat, {"messages": [{"role": "user", "content": "Hi"}]})]
    assert sent(EMBEDDINGS, others) == others


def samples(count: int, most: int, **model: Any) -> list[Any]:
    asks = job(num_samples=count, samples_per_request=most, **model)
    return sent(asks, made(asks, *({"messages": [{"role": "user", "content": f"{n}"}]} for n in range(2))))


def test_the_samples_of_a_row_are_asked_at_once() -> None:
    """By `n`; no more than the job allows, and what is left alone has none."""
    bundles = samples(5, 2)
    assert [[(each.row, each.sample) for each in bundle.rows] for bundle in bundles] == [
        [(0, 0), (0, 1)],
        [(0, 2), (0, 3)],
        [(0, 4)],
        [(1, 0), (1, 1)],
        [(1, 2), (1, 3)],
        [(1, 4)],
    ]
    assert [orjson.loads(bundle.body).get("n") for bundle in bundles] == [2, 2, None] * 2


def test_nothing_is_bundled_unless_the_job_says_so() -> None:
    batches = iter([[]])
    assert bundled(job(num_samples=3), batches) is batches
    assert bundled(job(samples_per_request=3), batches) is batches


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"rows_per_request": 2}, "model.rows_per_request is set; requests of the kind chat have one row each"),
        ({"rows_per_request": 2, "kind": "rerank"}, "the kind rerank have one row each"),
        ({"samples_per_request": 2, "kind": "responses"}, "requests of the kind responses have no n"),
        ({"samples_per_request": 2, "stream": True}, "set model.stream = false"),
        ({"samples_per_request": 2, "stream": "auto"}, "set model.stream = false"),
        ({"samples_per_request": 2, "seed": 1}, "model.seed are both set"),
    ],
)
def test_jobs_that_cannot_bundle_are_refused(model: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        RequestMaker(job(**model))


@pytest.mark.parametrize("style", [{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}])
def test_texts_of_batch_lines_are_bundled_however_their_json_is_spelled(style: dict[str, Any]) -> None:
    """The model is given the texts that the lines mean."""
    texts = ["Grüße", 'say "hi"', "one", "two", "天地"]
    asks = Job(name="j", input=Input(path="in.jsonl"), model=Model(kind="embeddings", rows_per_request=5))
    entries: list[Any] = []
    for number, text in enumerate(texts):
        body = json.dumps({"model": "m", "input": text, "encoding_format": "float"}, **style)
        line = b'{"custom_id":"a","url":"/v1/embeddings","body":%b}' % body.encode()
        [request] = Rendering(asks).entries(Row(number, orjson.loads(line), "in.jsonl", line=line))
        assert isinstance(request, Request)
        assert request.body == body.encode()
        entries.append(request)
    [bundle] = filter(None, sent(asks, entries))
    assert len(bundle.rows) == 5
    assert json.loads(bundle.body) == {"model": "m", "input": texts, "encoding_format": "float"}
