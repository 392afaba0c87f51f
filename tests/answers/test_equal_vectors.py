"""Vectors of many answers, read at once."""

import base64
from array import array
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.answers.envelope import parse_completion
from batchrun.answers.equal_vectors import EqualVectors, equal_columns
from batchrun.answers.kinds.embeddings import Vectors


def text_of(*numbers: float) -> str:
    return base64.b64encode(array("f", numbers)).decode()


def body_of(vector: Any, **more: Any) -> bytes:
    return orjson.dumps({"object": "list", "data": [{"index": 0, "embedding": vector}], **more})


ODD = [
    body_of(text_of(1.0, 2.0) + "\n"),
    body_of("A=="),
    body_of("AAAA=AAA"),
    body_of("Aé" + text_of(1.0)[2:]),
    body_of("-_" + text_of(1.0)[2:]),
    body_of(""),
    body_of([1.0, 2.0]),
    body_of(None),
    body_of(text_of(1.0, 2.0, 3.0)),
    body_of(text_of(1.0, 2.0), choices=[]),
    body_of(text_of(1.0, 2.0), id=7),
    orjson.dumps({"data": [{"embedding": text_of(1.0)}] * 2}),
    orjson.dumps({"data": {"embedding": text_of(1.0)}}),
    b"[]",
    b"{}",
    b"{",
    None,
]
"""Answers that are not read together with others, or not at all."""


@given(st.lists(st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1, max_size=9))
def test_what_is_read_at_once_is_what_is_read_one_by_one(vectors: list[list[float]]) -> None:
    bodies = [body_of(text_of(*each), id=f"id-{place}") for place, each in enumerate(vectors)]
    columns = equal_columns(bodies)
    completions = [parse_completion(each) for each in bodies]
    assert columns is not None
    assert columns["data"] == EqualVectors(
        len(vectors), 3, b"".join(each.data.decoded[0] for each in completions if isinstance(each.data, Vectors))
    )
    others = {name: values for name, values in columns.items() if name != "data"}
    assert others == {name: [getattr(each, name) for each in completions] for name in others}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_answer_is_left_to_what_reads_every_kind(odd: bytes | None) -> None:
    assert equal_columns([body_of(text_of(1.0, 2.0)), odd]) is None


@given(st.text(st.sampled_from("ABz09+/=-_ \n"), min_size=4, max_size=24))
def test_only_plain_base64_is_read(text: str) -> None:
    """Other characters, and padding inside, are noticed by the length alone."""
    columns = equal_columns([body_of(text)])
    if columns is not None:
        assert base64.b64encode(columns["data"].floats).decode()[:-2] == text[:-2]


def test_nothing_has_no_columns() -> None:
    assert equal_columns([]) is None
