"""What the driver and a worker send each other arrives as it was."""

from harness.checkpoints import answer, requests, sharing

from batchrun.engine.cluster.messages import pack_outcomes, pack_rows, unpack_outcomes, unpack_rows
from batchrun.records import PackedRow


def test_rows_arrive_as_they_were() -> None:
    rows = [*requests(*"ab"), PackedRow(2, "m", 0, b"row")]
    assert unpack_rows(pack_rows(rows)) == rows


def test_outcomes_arrive_as_they_were_and_share_their_reply() -> None:
    """Sent once for all rows of a bundle, it is one reply at the other end too."""
    outcomes = [answer(*requests("z", first=9)), *sharing(requests(*"abcd"), 1000)]
    packed = pack_outcomes(outcomes)
    found = unpack_outcomes(packed)
    assert found == outcomes
    assert len({id(each.reply) for each in found[1:]}) == 1
    assert len(packed) < 4 * 4000 + 2000
