"""Rows over standard input that have changed are handled like an edited file."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from harness.prompts import results

A, B, C, X = (b'{"prompt": "%c", "note": "%c!"}\n' % (letter, letter) for letter in b"abcx")


def noted() -> list[tuple[str, str]]:
    """Return each row's prompt and note: columns of the input."""
    return [(row["prompt"], row["note"]) for row in results()]


def test_other_rows_over_standard_input_are_asked_about(run: Any, endpoint: Any) -> None:
    """As after an edit of a file. Refused, nothing is sent, and results and input stay as they were."""
    run("-", stdin=A + B)
    before = results()
    done = run("-", stdin=X + C)
    assert done.code == 2
    assert "the input changed: 0 rows kept, 2 to send, 2 leaving the results" in done.stderr
    question = "2 of 2 settled rows would leave the results and 2 requests would be sent, because the input changed"
    assert f"{question}; add --yes to buy these answers, or use another -o DIR" in done.stderr
    assert endpoint.stats.received == 2
    assert (results(), Path("out/input.jsonl").read_bytes()) == (before, A + B)
    assert [path.name for path in Path("out").glob(".*.tmp")] == []
    assert run("-", stdin=A + B).code == 0
    assert (results(), endpoint.stats.received) == (before, 2)
    assert run("-", "--yes", stdin=X + C).code == 0
    assert endpoint.stats.received == 4
    assert (noted(), Path("out/input.jsonl").read_bytes()) == ([("x", "x!"), ("c", "c!")], X + C)


@pytest.mark.parametrize(
    ("now", "words", "sent", "prompts"),
    [
        (X + A + B, "the input changed: 2 rows kept, 1 to send, 0 leaving", 1, "xab"),
        (B, "the input changed: 1 row kept, 0 to send, 1 leaving", 0, "b"),
        (A + B + C, "", 1, "abc"),
        (gzip.compress(A + B), "", 0, "ab"),
    ],
)
def test_rows_over_standard_input_keep_their_answers_wherever_they_are(
    run: Any, endpoint: Any, now: bytes, words: str, sent: int, prompts: str
) -> None:
    """Inserted, removed or appended; the input's columns stay next to the answers."""
    run("-", stdin=A + B)
    done = run("-", stdin=now)
    assert done.code == 0
    assert words in done.stderr
    assert ("changed" in done.stderr) is bool(words)
    assert endpoint.stats.received == 2 + sent
    assert noted() == [(letter, f"{letter}!") for letter in prompts]


def test_standard_input_that_breaks_off_changes_nothing(run: Any, endpoint: Any) -> None:
    """It cannot be known whether rows are missing."""
    run("-", stdin=A + B)
    before = results()
    assert run("-", "--yes", stdin=gzip.compress((X + B) * 9)[:-9]).code == 2
    assert (results(), Path("out/input.jsonl").read_bytes(), endpoint.stats.received) == (before, A + B, 2)


def test_check_sees_that_standard_input_has_changed(run: Any, batchrun: Any, endpoint: Any) -> None:
    """It says what the run says."""
    run("-", stdin=A + B)
    flags = ("-m", "meta-llama/Llama-3.1-8B-Instruct", "-o", "out", "--base-url", endpoint.base_url)
    checked = batchrun("check", "-", *flags, stdin=A + X)
    assert "the input changed: 1 row kept, 1 to send, 1 leaving the results" in checked.stdout
    assert checked.code == 2
    assert "changed" not in batchrun("check", "-", *flags, stdin=A + B + C).stdout
