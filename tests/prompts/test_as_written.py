"""The body of a batch line is sent as it stands there, unless the job asks something else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.endpoint.renaming import renamed
from batchrun.job.sections import Input, Job, Model
from batchrun.prompts.input.digits import exact
from batchrun.prompts.rendering import Rendering
from batchrun.records import BadRow, Request, Row

BODY = (
    rb'{ "temperature":1.0, "top_p" : 1e-1,"messages":[{"content":"Gr\u00fc\u00dfe \ud83d\ude00\/","role":"user"}],'
    + (b'"metadata":{"id":18446744073709551615} , "user":"\xc3\xbc","model":"m" }')
)


def line_of(body: bytes, order: str = "custom_id method url body") -> bytes:
    """Return a batch line with its keys in an order."""
    values = {
        "custom_id": b'"a"',
        "method": b'"POST"',
        "url": b'"/v1/chat/completions"',
        "body": body,
        "more": b'{"body":{}}',
    }
    return b"{ " + b" ,".join(b'"%b" : %b' % (name.encode(), values[name]) for name in order.split()) + b" }"


@pytest.fixture
def sent(make_job):
    """Return the requests of a job for a batch line."""

    def sent(line: bytes, **job: Any) -> list[Request]:
        entries = Rendering(make_job(**({"names": ()} | job))).entries(Row(0, exact(line), "in.jsonl:1", line=line))
        assert not any(isinstance(each, BadRow) for each in entries), entries
        return [each for each in entries if isinstance(each, Request)]

    return sent


@pytest.mark.parametrize(
    "order",
    [
        "custom_id method url body",
        "body custom_id method url",
        "custom_id body more method",
        "more custom_id body",
        "custom_id body",
    ],
)
def test_a_body_is_sent_byte_for_byte(sent, order: str) -> None:
    """White space, the order of keys, forms of numbers, and escapes, wherever the body stands in its line."""
    [request] = sent(line_of(BODY, order))
    assert request.body == BODY
    assert request.model == "m"


@pytest.mark.parametrize(
    "job", [{}, {"names": ("m",)}, {"temperature": 0.3, "max_tokens": 5}, {"num_samples": 2}, {"system": "Be brief."}]
)
def test_the_key_is_that_of_what_the_body_says(make_job, sent, job: dict[str, Any]) -> None:
    """So a run that was begun before bodies were sent as they stand is resumed, and buys nothing again."""
    columns = exact(line_of(BODY))
    entries = Rendering(make_job(**({"names": ()} | job))).entries(Row(0, columns, "in.jsonl:1"))
    before = [each.key for each in entries if isinstance(each, Request)]
    assert [each.key for each in sent(line_of(BODY), **job)] == before


@pytest.mark.parametrize(
    ("job", "is_kept"),
    [
        ({"names": ("m",)}, True),
        ({"extra_body": {"user": "else"}}, True),  # the body's own value beats the job's
        ({"num_samples": 2, "extra_body": {"seed": 5}}, False),  # a seed for each sample
        ({"max_tokens": 5}, False),
        ({"system": "Be brief."}, False),
        ({"examples": ({"prompt": "1", "answer": "2"},)}, False),
    ],
)
def test_it_is_written_again_where_the_job_adds_something(sent, job: dict[str, Any], is_kept: bool) -> None:
    """Then it has what the job adds, once, and all that the row says."""
    bodies = [each.body for each in sent(line_of(BODY), **job)]
    assert (bodies[-1] == BODY) is is_kept
    assert (json.loads(bodies[-1]) == json.loads(BODY)) is is_kept
    assert json.loads(bodies[-1])["metadata"] == {"id": 2**64 - 1}


def test_another_model_changes_nothing_else(sent) -> None:
    """Whether the job names it, the endpoint has another name for it, or the row has none."""
    [request] = sent(line_of(BODY), names=("org/other",))
    assert request.body == BODY.replace(b'"model":"m"', b'"model":"org/other"')
    assert renamed(request.body, "org/other", 'a"b') == BODY.replace(b'"model":"m"', rb'"model":"a\"b"')
    nameless = BODY.replace(b',"model":"m"', b"")
    [added] = sent(line_of(nameless), names=("m",))
    assert added.body == b'{"model":"m",' + nameless[1:]


@pytest.mark.parametrize(
    ("own", "job", "is_kept"),
    [
        (b'"n":1,"stream":false,', {}, True),
        (b'"n" : null,"stream": null,', {}, True),
        (b'"n":1,', {"num_samples": 2}, False),
        (b"", {"num_samples": 2}, True),
        (b'"stream":true,', {}, False),
        (b'"stream":false,"stream_options":{"include_usage":true},', {}, False),
        (b'"stream":false,', {"stream": True}, False),
    ],
)
def test_how_often_and_how_a_request_travels_is_for_the_run_to_say(
    sent, own: bytes, job: dict[str, Any], is_kept: bool
) -> None:
    """What says the same stays; what says something else is not sent."""
    body = b"{" + own + BODY[1:]
    made = sent(line_of(body), **job)
    assert [each.body == body for each in made] == [is_kept] * len(made)
    assert not is_kept or own in made[0].body
    assert json.loads(made[0].body).get("stream") in ((True,) if job.get("stream") else (False, None))


def test_a_stream_is_asked_for_at_the_end(sent) -> None:
    """The rest stays as it is."""
    [request] = sent(line_of(BODY), stream=True)
    assert request.body == BODY[:-1] + b',"stream":true,"stream_options":{"include_usage":true}}'


@pytest.mark.parametrize(
    "twins",
    [
        b'"temperature":0,',
        b'"model":"other",',
        b'"\\u006dodel":"other",',
        b'"metadata":{"a":"\\u003a:","a":1},',
    ],
)
def test_a_body_with_a_key_twice_is_written_again(sent, twins: bytes) -> None:
    """Servers need not agree on which of the two counts: the last one does here, and it alone is sent."""
    body = b"{" + twins + BODY[1:]
    [request] = sent(line_of(body))
    assert request.body != body
    assert json.loads(request.body) == json.loads(body)


def test_of_two_bodies_in_a_line_the_one_that_counts_is_sent(sent) -> None:
    """It is the last, as in every row."""
    [request] = sent(line_of(b'{"model":"x","messages":[]}')[:-1] + b', "body": ' + BODY + b"}")
    assert json.loads(request.body) == json.loads(BODY)


def test_colons_in_texts_are_not_keys(sent) -> None:
    """Escaped or not."""
    body = rb'{"model":"m", "messages":[{"role":"user","content":"a:b \u003a \\u003a {\"x\": 1}"}]}'
    [request] = sent(line_of(body))
    assert request.body == body


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    # No half surrogate pairs: a line with one is not JSON that can be sent.
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab:"\\', max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(VALUES, st.sampled_from([None, 1]), st.booleans(), st.sampled_from([(",", ":"), (" , ", " : "), (", ", ": ")]))
def test_whatever_a_body_holds_it_stays_as_it_is(
    value: Any, indent: int | None, is_ascii: bool, separators: tuple[str, str]
) -> None:
    """In any spelling of JSON."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "metadata": value, "model": "m"}
    text = json.dumps(body, ensure_ascii=is_ascii, separators=separators, indent=indent).replace("\n", "\t").encode()
    line = line_of(text)
    [entry] = Rendering(Job(input=Input(path=("-",)), model=Model(names=()))).entries(
        Row(0, exact(line), "in.jsonl:1", line=line)
    )
    assert isinstance(entry, Request)
    assert entry.body == text
