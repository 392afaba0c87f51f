"""What the driver and a worker send each other arrives as it was."""

from harness.checkpoints import answer, requests, sharing

from batchrun.engine.cluster.bound import Answered, Faltered, Rejected, Restored
from batchrun.engine.cluster.keeper import Allowance
from batchrun.engine.cluster.messages import (
    NOTHING_SHIPPED,
    RouteWord,
    Word,
    pack_outcomes,
    pack_rows,
    pack_word,
    unpack_outcomes,
    unpack_rows,
    unpack_word,
)
from batchrun.records import PackedRow


def test_rows_arrive_as_they_were() -> None:
    rows = [*requests(*"ab"), PackedRow(2, "m", 0, b"rows", 2)]
    assert unpack_rows(pack_rows(rows)) == rows


def test_a_word_arrives_as_it_was() -> None:
    """With all that happened to requests, in its order."""
    news = [Answered(0.5, True), Rejected(3, 0.25), Answered(0.25, False), Faltered(), Restored()]
    allowance = Allowance(5, 4, wants_more=True)
    route = RouteWord(allowance, news, 1, None, True, False, None, None, [], ["m"], {})
    ended = {"drained": (0, 0), "closed": {}, "unanswered": None, "is_done": False, "stop": None}
    word = Word("a", 1, NOTHING_SHIPPED, [], {"": route}, None, 1, 0, False, 1.0, **ended)
    found = unpack_word(pack_word(word))
    assert found == word
    assert list(map(type, found.routes[""].news)) == list(map(type, news))


def test_outcomes_arrive_as_they_were_and_share_their_reply() -> None:
    """Sent once for all rows of a bundle, it is one reply at the other end too."""
    outcomes = [answer(*requests("z", first=9)), *sharing(requests(*"abcd"), 1000)]
    packed = pack_outcomes(outcomes)
    found = unpack_outcomes(packed)
    assert found == outcomes
    assert len({id(each.reply) for each in found[1:]}) == 1
    assert len(packed) < 4 * 4000 + 2000
