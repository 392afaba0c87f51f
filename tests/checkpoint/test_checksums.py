"""Whatever changes of an answer on the disk changes its checksum."""

import pytest

from batchrun.checkpoint.checksums import changed, checksum, completed_checksums

KEY = b"k" * 16
COLUMNS = ("key", "kind", "error", "http_status", "body")
ANSWER = (KEY, None, None, 200, b'{"choices": []}')
FAILURE = (KEY, "bad_request", "no", 400, None)


def columns(*outcomes: tuple[object, ...], sums: list[int | None]) -> dict[str, tuple[object, ...]]:
    return {**dict(zip(COLUMNS, zip(*outcomes, strict=True), strict=True)), "checksum": tuple(sums)}


@pytest.mark.parametrize(
    "outcome", [ANSWER, FAILURE, (KEY, "timeout", None, None, None), (b"", "bad_row", "é", None, None)]
)
def test_a_checksum_is_stored_in_four_bytes(outcome: tuple[object, ...]) -> None:
    """SQLite stores from -2^31 to below 2^31 so."""
    assert -(1 << 31) <= checksum(*outcome) < 1 << 31


def test_every_bit_of_an_answer_counts() -> None:
    """Also each of its key."""
    expected = checksum(*ANSWER)
    for place in (0, 4):
        for bit in range(8 * len(ANSWER[place])):
            turned = bytearray(ANSWER[place])
            turned[bit // 8] ^= 1 << bit % 8
            parts = list(ANSWER)
            parts[place] = bytes(turned)
            assert checksum(*parts) != expected


@pytest.mark.parametrize(("place", "value"), [(1, "bad_requesu"), (1, None), (2, "nO"), (2, None), (3, 401), (4, b"")])
def test_what_a_failure_says_counts(place: int, value: object) -> None:
    parts = list(FAILURE)
    parts[place] = value
    assert checksum(*parts) != checksum(*FAILURE) or (place, value) == (4, b"")


def test_the_changed_ones_are_found_by_their_place() -> None:
    """One without a checksum, or for good without a key, cannot have changed."""
    good, bad = checksum(*ANSWER), checksum(*ANSWER) ^ 1
    forgotten = (b"", *FAILURE[1:])
    unchanged, some = columns(ANSWER, ANSWER, sums=[good, good]), [good, bad, None, bad]
    assert changed(unchanged, unchanged["body"]) == []
    for last in (forgotten, (b"", *ANSWER[1:])):
        their = columns(ANSWER, ANSWER, ANSWER, last, sums=some)
        assert changed(their, their["body"]) == [1]


def test_many_completed_rows_have_the_checksums_of_each() -> None:
    """Also of one without a status, or a body."""
    outcomes = [ANSWER, (KEY, None, None, None, None), (b"q" * 16, None, None, 201, b"{}")]
    keys, _, _, statuses, bodies = zip(*outcomes, strict=True)
    assert completed_checksums(keys, statuses, bodies) == [checksum(*each) for each in outcomes]
