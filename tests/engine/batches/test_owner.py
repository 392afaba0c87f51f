import asyncio
from typing import Any

from harness.notes import Notes

from batchrun.checkpoint.batch_tables import COLLECTED, CREATED, CREATING, UPLOADED, BatchRow
from batchrun.endpoint.access import Access
from batchrun.endpoint.key import Secret
from batchrun.engine.batches.owner import Owner, fingerprint


def access(key: str | None, **headers: str | Secret) -> Access:
    return Access("http://host/v1", None if key is None else Secret(key), None, headers)


def row(step: str) -> BatchRow:
    return BatchRow(1, "m", "chat", step, 5, 0.0, 0.0, 0)


def refusal(owner: Owner, *rows: BatchRow, is_seen: bool) -> Any:
    async def sees(row: BatchRow) -> bool:
        return is_seen

    return asyncio.run(owner.refusal(rows, sees))


def test_a_fingerprint_tells_keys_apart_and_is_too_short_to_reveal_one() -> None:
    one = fingerprint(access("sk-first-0123456789"), b"salt")
    assert one == fingerprint(access("sk-first-0123456789"), b"salt")
    assert one != fingerprint(access("sk-other-0123456789"), b"salt")
    assert one != fingerprint(access("sk-first-0123456789"), b"other")
    assert len(one) == 4


def test_secret_headers_count_and_plain_ones_do_not() -> None:
    salt = b"salt"
    assert fingerprint(access(None, token=Secret("a" * 20)), salt) != fingerprint(
        access(None, token=Secret("b" * 20)), salt
    )
    assert fingerprint(access(None, team="a"), salt) == fingerprint(access(None, team="b"), salt)


def test_only_batches_under_way_that_another_key_cannot_see_are_refused() -> None:
    notes: Any = Notes()
    first = Owner(access("sk-first-0123456789"), notes)
    assert refusal(first, row(CREATED), is_seen=False) is None
    first.take_over()
    assert refusal(Owner(access("sk-first-0123456789"), notes), row(CREATED), is_seen=False) is None
    other = Owner(access("sk-other-0123456789"), notes)
    assert refusal(other, row(CREATED), is_seen=True) is None
    assert refusal(other, row(UPLOADED), row(COLLECTED), is_seen=False) is None
    for step in (CREATED, CREATING):
        stop = refusal(other, row(step), is_seen=False)
        assert stop is not None
        assert "1 batch with 5 requests cannot be seen with this key, and was created with another one" in stop.message
    assert "sk-" not in str(notes.found)
