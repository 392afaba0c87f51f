from collections.abc import Iterable, Iterator
from itertools import pairwise
from random import Random

import pytest

from batchrun.prompts import order
from batchrun.prompts.order import _BATCHES_AHEAD, by_prefix, in_random_order
from batchrun.records import BadRow, Request


def request(row: int, text: str, model: str = "m") -> Request:
    return Request(row, model, 0, b"", b'{"model":"%b","messages":["%b"]}' % (model.encode(), text.encode()), None)


def some(rows: Iterable[int]) -> list[Request | BadRow]:
    return [request(row, "a") for row in rows]


def batches(entries: list[Request | BadRow], size: int) -> Iterator[list[Request | BadRow]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))


def changes(texts: list[str]) -> int:
    """Return how often a prompt begins differently from the one before."""
    return sum(one[0] != other[0] for one, other in pairwise(texts))


def texts(entries: list[Request | BadRow]) -> list[str]:
    return [entry.body.decode().split('"')[7] for entry in entries if isinstance(entry, Request)]


def test_prompts_that_begin_alike_come_together() -> None:
    """Equal ones keep the order of their rows."""
    asked = [request(row, "abc"[row % 3] + str(row % 2)) for row in range(60)]
    made = [each for batch in by_prefix(batches(asked, 7)) for each in batch]
    assert changes(texts(asked)) == 59
    assert changes(texts(made)) == 2
    assert [each.row for each in made[:10]] == list(range(0, 60, 6))


def test_models_stay_mixed() -> None:
    """Each model has its own limit, which would be idle during the other's turn."""
    asked = [request(row, "ab"[row % 2], model) for row in range(10) for model in ("x", "a longer name")]
    made = [each for batch in by_prefix(batches(asked, 4)) for each in batch]
    assert [each.model for each in made] == ["x", "a longer name"] * 10


@pytest.mark.parametrize("seed", range(5))
def test_every_entry_comes_once_and_no_more_than_a_window_is_held(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In requests and in bytes, for any batches; the window refills while it is emptied."""
    random = Random(seed)
    monkeypatch.setattr(order, "_ROWS", 100)
    monkeypatch.setattr(order, "_BYTES", 20_000)
    monkeypatch.setattr(order, "_BATCH_ROWS", 10)
    asked: list[Request | BadRow] = []
    for row in range(1000):
        is_broken = random.random() < 0.1
        asked.append(
            BadRow(row, "m", 0, b"", None, "no")
            if is_broken
            else request(row, random.choice("abcdef") + "." * random.randint(0, 400))
        )
    read = 0

    def reading() -> Iterator[list[Request | BadRow]]:
        nonlocal read
        start = 0
        while start < len(asked):
            size = random.randint(0, 10)
            read += len(asked[start : start + size])
            yield asked[start : start + size]
            start += size

    made: list[Request | BadRow] = []
    for batch in by_prefix(reading()):
        assert 0 < len(batch) <= 10
        made += batch
        assert read - len(made) < 100 + 10
        held = sum(len(each.body) for each in asked[:read] if isinstance(each, Request)) - sum(
            len(each.body) for each in made if isinstance(each, Request)
        )
        assert held < 20_000 + 10 * 500
    assert sorted(each.row for each in made) == list(range(1000))
    assert changes(texts(made)) < changes(texts(asked)) / 3


def test_a_random_order_has_each_entry_once_and_the_parts_one_after_the_other() -> None:
    """Within a part the place of the row decides; the samples of a row stay together."""
    parts = [[some(range(0, 60, 3)), []], [some(range(1, 60, 3))], [], [some(range(2, 60, 3)), []]]
    ordered = [entry.row for batch in in_random_order(map(iter, parts), lambda row: -row) for entry in batch]
    assert ordered == [*range(57, -1, -3), *range(58, 0, -3), *range(59, 0, -3)]


def test_a_part_is_handed_on_while_the_next_is_read() -> None:
    """So that nobody waits for a pass over the whole input."""
    read = []

    def part(number: int) -> Iterator[list[Request | BadRow]]:
        for batch in range(1_000):
            read.append((number, batch))
            yield some([number * 1_000 + batch])

    made = in_random_order(map(part, range(3)), lambda row: row)
    next(made)
    assert read[-1] == (0, 999)
    next(made)
    assert read[-1] == (1, _BATCHES_AHEAD - 1)
    assert sum(map(len, made)) == 3_000 - 512
