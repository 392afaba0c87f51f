"""The caps on money and on tokens."""

import random
from dataclasses import dataclass, field
from math import inf

import orjson
import pytest
from harness.endpoints import ANSWER, Endpoint, lognormal, refusal
from harness.runs import requests, send_all
from hypothesis import given
from hypothesis import strategies as st

from batchrun.endpoint.pool.budget import NO_CAP, Amount, Budget, Used
from batchrun.endpoint.pool.limits import Limit
from batchrun.endpoint.pool.replies import judge
from batchrun.endpoint.pool.rules import Policy
from batchrun.records import Fault, Reply, Request, Usage

WORST = Amount(2.0, 100)
USED = Amount(0.5, 30)
NOTHING = Used()


def request(body: bytes = b"") -> Request:
    return Request(0, "m", 0, b"", body, None)


def budget(cap: Amount, used: Amount | None = USED, before: Used = NOTHING) -> Budget:
    return Budget(cap, before, lambda request: WORST, lambda model, usage: used)


def dollars(cap_usd: float, used: Amount | None = USED) -> Budget:
    return budget(NO_CAP._replace(usd=cap_usd), used)


def settle(budget: Budget, result: Reply | Fault) -> None:
    reserve = budget.reserve(request())
    assert reserve is not None
    budget.settle(reserve, "m", judge(result), result)


@pytest.mark.parametrize("cap", [Amount(5.0, NO_CAP.tokens), Amount(NO_CAP.usd, 250), Amount(5.0, 250)])
def test_what_a_request_may_use_is_set_aside_until_it_is_answered(cap: Amount) -> None:
    """Two of two dollars and a hundred tokens fit, a third does not; an answer for less makes room again."""
    left = budget(cap)
    first, second = left.reserve(request()), left.reserve(request())
    assert first is not None
    assert second is not None
    assert left.reserve(request()) is None
    answer = Reply(200, {}, ANSWER, 0.1)
    left.settle(first, "m", judge(answer), answer)
    assert (left.account.spent_usd, left.account.reserved_usd) == (0.5, 2.0)
    assert (left.account.spent_tokens, left.account.reserved_tokens) == (30, 100)
    assert left.owed == (2.5, 130)
    assert left.reserve(request()) is not None


def test_exactly_the_cap_may_be_used() -> None:
    """The cap is what may be used, not what may not be reached."""
    assert dollars(2.0).reserve(request()) is not None
    assert budget(NO_CAP._replace(usd=2.0), before=Used(Amount(0.01, 0))).reserve(request()) is None
    assert budget(NO_CAP._replace(tokens=100)).reserve(request()) is not None
    assert budget(NO_CAP._replace(tokens=100), before=Used(set_aside=Amount(0.0, 1))).reserve(request()) is None


def test_each_end_of_an_attempt_is_booked_as_it_may_have_been_billed() -> None:
    """An answer spends what it states. A refusal uses nothing. What was cut off or states nothing stays set aside."""
    cases = [
        (Reply(200, {}, ANSWER, 0.1), USED, Used(spent=USED)),
        (Reply(200, {}, ANSWER, 0.1), None, Used(set_aside=WORST)),
        (Reply(200, {}, b"<html>", 0.1), None, Used(set_aside=WORST)),
        (refusal(429, "Concurrency limit reached for requests"), USED, NOTHING),
        (refusal(500), USED, NOTHING),
        (Fault("connection", "cut", 0.1), None, Used(set_aside=WORST)),
        (Fault("timeout", "silence", 0.1), None, Used(set_aside=WORST)),
        (Fault("connection", "refused", 0.1, was_sent=False), None, NOTHING),
    ]
    for result, used, expected in cases:
        left = dollars(5.0, used)
        settle(left, result)
        assert left.used == expected, result
        assert (left.account.reserved_usd, left.account.reserved_tokens) == Amount()


def test_an_endpoint_that_is_away_uses_nothing() -> None:
    """However often a connection is refused, the cap is as far as before."""
    left = dollars(5.0, None)
    for _ in range(1_000):
        settle(left, Fault("connection", "refused", 0.1, was_sent=False))
    assert left.owed == Amount()


@pytest.mark.parametrize(
    ("cap", "kind", "words"),
    [
        (
            Amount(1.0, NO_CAP.tokens),
            "cost_cap",
            ["cost cap of 1 USD", "which can cost up to 2.0000 USD; spent so far: 0 USD; ", "raise --max-cost "],
        ),
        (
            Amount(NO_CAP.usd, 50),
            "token_cap",
            ["token cap of 50", "which can use up to 100 tokens; used so far: 0 tokens; ", "raise --max-tokens-total "],
        ),
    ],
)
def test_the_message_names_the_cap(cap: Amount, kind: str, words: list[str]) -> None:
    """And the flag that raises it."""
    left = budget(cap)
    assert left.reserve(request()) is None
    assert left.kind == kind
    for each in words:
        assert each in left.message


def test_all_endpoints_know_which_cap_allowed_no_more() -> None:
    """Each has its own prices; the account is one."""
    left = budget(NO_CAP._replace(tokens=50))
    there = left.at(lambda request: WORST, lambda model, usage: USED, lambda model, usage: NOTHING.spent)
    assert there.reserve(request()) is None
    assert left.kind == there.kind == "token_cap"
    assert left.message == there.message


@pytest.mark.parametrize(
    ("cap", "words"),
    [
        (
            Amount(4.0, NO_CAP.tokens),
            "spent so far: 0.5000 USD, up to 2.5000 USD with requests whose tokens are not known",
        ),
        (Amount(NO_CAP.usd, 200), "used so far: 30 tokens, up to 130 tokens with requests whose tokens are not known"),
    ],
)
def test_what_was_spent_is_not_mixed_with_what_is_set_aside(cap: Amount, words: str) -> None:
    """The message of a cap names both, so that nobody looks for the difference on the bill."""
    left = Budget(cap, NOTHING, lambda request: WORST, lambda model, usage: USED if usage.total_tokens else None)
    settle(left, Reply(200, {}, ANSWER, 0.1))
    settle(left, Fault("connection", "cut", 0.1))
    assert left.reserve(request()) is None
    assert words in left.message


@given(
    cap=st.builds(Amount, st.floats(0, 20), st.integers(0, 2_000)),
    steps=st.lists(
        st.tuples(
            st.builds(Amount, st.floats(0, 3), st.integers(0, 300)),
            st.floats(0, 1),
            st.sampled_from(["answer", "unstated", "cut", "500"]),
        )
    ),
)
def test_no_cap_is_ever_passed(cap: Amount, steps: list[tuple[Amount, float, str]]) -> None:
    """Whatever requests may use, and whatever comes back in whatever order: spent and set aside stay under both."""
    worst = iter([amount for amount, _, _ in steps])
    stated: list[Amount | None] = [None]
    left = Budget(cap, NOTHING, lambda request: next(worst), lambda model, usage: stated[0])
    held = []
    for _, share, kind in steps:
        reserve = left.reserve(request())
        if reserve is not None:
            held.append((reserve, share, kind))
        assert left.owed.usd <= cap.usd + 1e-9
        assert left.owed.tokens <= cap.tokens
        if len(held) > 3:
            reserve, share, kind = held.pop(0)
            stated[0] = Amount(share * reserve.usd, int(share * reserve.tokens)) if kind == "answer" else None
            result = {"cut": Fault("connection", "cut", 0.1), "500": refusal(500)}.get(
                kind, Reply(200, {}, ANSWER, 0.1)
            )
            left.settle(reserve, "m", judge(result), result)
            assert left.owed.usd <= cap.usd + 1e-9
            assert left.owed.tokens <= cap.tokens
    assert left.account.spent_usd >= 0
    assert left.account.spent_tokens >= 0


def test_after_an_answer_that_used_more_than_was_set_aside_as_much_is_set_aside_for_every_request() -> None:
    """Also for those in flight. An answer for less changes nothing."""
    stated = [Amount(5.0, 300)]
    left = Budget(NO_CAP, NOTHING, lambda request: WORST, lambda model, usage: stated[0])
    for _ in range(4):
        left.reserve(request())
    assert left.set_aside == (8.0, 400)
    settle(left, Reply(200, {}, ANSWER, 0.1))
    assert left.used == Used(Amount(5.0, 300), Amount())
    assert left.set_aside == (20.0, 1_200)
    stated[0] = USED
    settle(left, Reply(200, {}, ANSWER, 0.1))
    assert left.set_aside == (20.0, 1_200)


@pytest.mark.parametrize(("least", "kept"), [(Amount(1.0, 40), WORST), (Amount(7.0, 900), Amount(7.0, 900))])
def test_an_answer_that_states_its_tokens_in_part_keeps_what_was_set_aside_and_at_least_what_it_states(
    least: Amount, kept: Amount
) -> None:
    left = Budget(NO_CAP, NOTHING, lambda request: WORST, lambda model, usage: None, lambda model, usage: least)
    settle(left, Reply(200, {}, ANSWER, 0.1))
    assert left.used == Used(Amount(), kept)


USD_PER_TOKEN = 0.001
LONGEST = 60
"""Tokens of the longest prompt and answer together, in the runs below."""


@dataclass
class Biller:
    """A server that bills what it answers, and every request whose connection broke; it fails by chance."""

    chance: random.Random
    billed: int = 0
    faults: float = 0.3
    seen: list[int] = field(default_factory=list)

    def __call__(self, now_s: float, body: bytes) -> Reply | Fault:
        """Answer in the place of the endpoint."""
        draw = self.chance.random() / self.faults
        tokens = self.chance.randint(2, LONGEST)
        if draw < 0.4:
            return refusal(500)
        if draw < 0.5:
            return Fault("connection", "refused", 0.01, was_sent=False)
        self.billed += tokens
        if draw < 1:
            return Fault("connection", "cut", 0.2)
        usage = {"prompt_tokens": 1, "completion_tokens": tokens - 1, "total_tokens": tokens}
        answer = orjson.loads(ANSWER) | ({} if draw < 1.1 else {"usage": usage})
        if draw < 1.1:
            del answer["usage"]
        return Reply(200, {}, orjson.dumps(answer), self.chance.uniform(0.05, 2.0))


def worst(request: Request) -> Amount:
    return Amount(LONGEST * USD_PER_TOKEN, LONGEST)


def used(model: str, usage: Usage) -> Amount | None:
    tokens = usage.total_tokens
    return None if tokens is None else Amount(tokens * USD_PER_TOKEN, tokens)


@pytest.mark.parametrize("which", ["usd", "tokens"])
def test_a_hundred_random_runs_never_pass_their_cap(which: str) -> None:
    """Over two resumes each, whatever fails, is cut off or states nothing; and all but one request of it is used."""
    for seed in range(100):
        chance = random.Random(seed)
        biller = Biller(chance, faults=chance.choice([0.01, 0.3, 0.8]))
        before = NOTHING
        cap_tokens = 0
        rows = requests(150)
        for _ in range(3):
            cap_tokens += chance.randint(1, 40 * LONGEST)
            cap = (
                Amount(cap_tokens * USD_PER_TOKEN, NO_CAP.tokens) if which == "usd" else Amount(NO_CAP.usd, cap_tokens)
            )
            left = Budget(cap, before, worst, used)
            ceiling = chance.choice([1, 7, 100])
            run = send_all(
                Endpoint(lambda now_s: 50, lognormal(), trouble=biller, seed=seed),
                rows,
                limit=Limit(ceiling, start=ceiling),
                policy=Policy(max_attempts=20),
                seed=seed,
                budget=left,
            )
            assert biller.billed <= cap_tokens, seed
            assert biller.billed <= left.used.total.tokens
            assert left.used.total.usd <= cap.usd + 1e-9
            if run.stop is not None:
                assert (run.stop.kind, run.stop.exit_code) == ("cost_cap" if which == "usd" else "token_cap", 5)
                assert left.used.total.tokens >= cap_tokens - LONGEST
            before = left.used
            settled = {outcome.row for outcome in run.outcomes}
            rows = [row for row in rows if row.row not in settled]


def test_the_message_says_that_a_model_has_no_known_price() -> None:
    """No cap is far enough for it."""
    left = Budget(Amount(1.0, NO_CAP.tokens), NOTHING, lambda request: Amount(inf, 1), lambda model, usage: None)
    assert left.reserve(request()) is None
    assert "another request, whose model has no known price; " in left.message


@pytest.mark.parametrize("cap", [Amount(5.0, NO_CAP.tokens), Amount(NO_CAP.usd, 250)])
def test_what_another_run_has_used_counts_for_the_cap_too(cap: Amount) -> None:
    """The answers and their judge share one. The message has the sum."""
    elsewhere = Used(Amount(2.0, 100), Amount(0.5, 25))
    left = Budget(cap, NOTHING, lambda request: WORST, lambda model, usage: USED, elsewhere=elsewhere)
    assert left.has_room(request())
    assert left.reserve(request()) is not None
    assert not left.has_room(request())
    assert left.reserve(request()) is None
    assert left.owed == WORST  # the note in the checkpoint is of this run
    so_far = "2.0000 USD, up to 2.5000 USD" if cap.usd == 5.0 else "100 tokens, up to 125 tokens"
    assert f"so far: {so_far}" in left.message


def test_what_a_batch_may_use_is_held_apart_until_it_is_collected() -> None:
    """It is not owed by this process: another one may collect it. Answers that are lost stay set aside."""
    left = dollars(5.0)
    assert left.hold(Amount(4.0, 200))
    assert left.owed == Amount()
    assert not left.hold(left.worst(request()))
    assert left.kind == "cost_cap"
    left.collected(Amount(4.0, 200), [("m", Usage(1, 1)), ("m", Usage(1, 1))], unstated=0.25)
    assert left.used == Used(Amount(1.0, 60), Amount(1.0, 50))
    assert left.hold(Amount(3.0, 0))
    assert not left.hold(Amount(0.1, 0))
    assert left.hold(Amount(9.0, 0), is_begun=True)  # of an earlier execution: it is spent or will be
