"""The cap on money."""

from harness.endpoints import ANSWER, refusal
from hypothesis import given
from hypothesis import strategies as st

from batchrun.pool.budget import Budget
from batchrun.pool.verdicts import judge
from batchrun.records import Fault, Reply, Request

WORST_USD = 2.0


def request(body: bytes = b"") -> Request:
    return Request(0, "m", 0, b"", body, None)


def budget(cap_usd: float, cost_usd: float | None = 0.5, spent_usd: float = 0.0) -> Budget:
    return Budget(cap_usd, spent_usd, lambda request: WORST_USD, lambda model, usage: cost_usd)


def settle(budget: Budget, result: Reply | Fault) -> None:
    reserve = budget.reserve(request())
    assert reserve is not None
    budget.settle(reserve, "m", judge(result), result)


def test_what_a_request_may_cost_is_set_aside_until_it_is_answered() -> None:
    """Two of two dollars fit under five, a third does not; an answer for less makes room again."""
    money = budget(5.0)
    first, second = money.reserve(request()), money.reserve(request())
    assert first is not None
    assert second is not None
    assert money.reserve(request()) is None
    answer = Reply(200, {}, ANSWER, 0.1)
    money.settle(first, "m", judge(answer), answer)
    assert (money.spent_usd, money.reserved_usd) == (0.5, 2.0)
    assert money.reserve(request()) is not None


def test_exactly_the_cap_may_be_spent() -> None:
    """The cap is what may be spent, not what may not be reached."""
    assert budget(2.0).reserve(request()) is not None
    assert budget(2.0, spent_usd=0.01).reserve(request()) is None


def test_each_end_of_an_attempt_is_booked_as_it_may_have_been_billed() -> None:
    """An answer costs what it says, or at worst; a refusal nothing; what was cut off the worst."""
    cases = [
        (Reply(200, {}, ANSWER, 0.1), 0.5, 0.5),
        (Reply(200, {}, ANSWER, 0.1), None, WORST_USD),
        (Reply(200, {}, b"<html>", 0.1), None, WORST_USD),
        (refusal(429, "Concurrency limit reached for requests"), 0.5, 0.0),
        (refusal(500), 0.5, 0.0),
        (Fault("connection", "cut", 0.1), None, WORST_USD),
        (Fault("timeout", "silence", 0.1), None, WORST_USD),
        (Fault("connection", "refused", 0.1, was_sent=False), None, 0.0),
    ]
    for result, cost_usd, spent_usd in cases:
        money = budget(5.0, cost_usd)
        settle(money, result)
        assert (money.spent_usd, money.reserved_usd) == (spent_usd, 0.0), result


def test_an_endpoint_that_is_away_costs_no_money() -> None:
    """However often a connection is refused, the cap is as far as before."""
    money = budget(5.0, None)
    for _ in range(1_000):
        settle(money, Fault("connection", "refused", 0.1, was_sent=False))
    assert money.spent_usd == 0.0


@given(
    cap_usd=st.floats(0, 20),
    steps=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1), st.sampled_from(["answer", "unstated", "cut", "500"]))),
)
def test_the_cap_is_never_passed(cap_usd: float, steps: list[tuple[float, float, str]]) -> None:
    """Whatever requests may cost, and whatever comes back in whatever order: spent and set aside stay under the cap."""
    worst = iter([worst_usd for worst_usd, _, _ in steps])
    said: list[float | None] = [None]
    money = Budget(cap_usd, 0.0, lambda request: next(worst), lambda model, usage: said[0])
    held = []
    for _, share, kind in steps:
        reserve = money.reserve(request())
        if reserve is not None:
            held.append((reserve, share, kind))
        assert money.spent_usd + money.reserved_usd <= cap_usd + 1e-9
        if len(held) > 3:
            reserve, share, kind = held.pop(0)
            said[0] = share * reserve.usd if kind == "answer" else None
            result = {"cut": Fault("connection", "cut", 0.1), "500": refusal(500)}.get(
                kind, Reply(200, {}, ANSWER, 0.1)
            )
            money.settle(reserve, "m", judge(result), result)
            assert money.spent_usd + money.reserved_usd <= cap_usd + 1e-9
    assert money.spent_usd >= 0
