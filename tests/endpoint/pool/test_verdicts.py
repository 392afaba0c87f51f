"""The table of what each kind of reply means."""

from batchrun.endpoint.pool.verdicts import ATTEMPT, EFFECTS, ROW_KINDS, ForLimit, ForRow, ForRun, verdict_rows


def test_a_kind_that_ends_the_run_has_an_exit_code_and_a_cure_and_keeps_its_row_open() -> None:
    """The other kinds have none of these."""
    assert {kind: effect.run.exit_code for kind, effect in EFFECTS.items() if effect.run.exit_code} == {
        "unauthorized": 4,
        "forbidden": 4,
        "account_unsupported": 4,
        "model_not_found": 4,
        "quota_exhausted": 5,
    }
    for effect in EFFECTS.values():
        assert (effect.row is ForRow.OPEN) == bool(effect.run.exit_code)
        assert bool(effect.cure) == ("drains and stops" in effect.run.text)


def test_another_attempt_costs_a_whole_one_a_quarter_or_nothing() -> None:
    """What the endpoint does to everybody is free, and an overloaded endpoint is nearly so."""
    assert {kind for kind, effect in EFFECTS.items() if effect.row is ForRow.AGAIN_FREE} == {
        "throttled",
        "rate_limited",
    }
    assert (ForRow.AGAIN_FREE.cost, ForRow.AGAIN.cost, ForRow.OPEN.cost) == (0, ATTEMPT, ATTEMPT)
    assert EFFECTS["overloaded"].row.cost * 4 == EFFECTS["timeout"].row.cost


def test_only_a_concurrency_rejection_takes_the_limit_down() -> None:
    """A rate, an outage or a bad request says nothing of how many requests the server holds."""
    assert [kind for kind, effect in EFFECTS.items() if effect.limit is ForLimit.DOWN] == ["throttled"]
    assert [kind for kind, effect in EFFECTS.items() if effect.run is ForRun.WAITS] == ["rate_limited"]


def test_no_two_members_of_an_enumeration_are_the_same() -> None:
    """Members of equal value would be one member under two names, and the code could not tell them apart."""
    for each in (ForRow, ForLimit, ForRun):
        assert len(each.__members__) == len(list(each))
        assert len({member.value for member in each}) == len(list(each))


def test_the_table_in_words_has_a_row_for_each_kind_and_says_which_exit_code() -> None:
    """No cell is empty, and none shows a placeholder."""
    rows = {kind: cells for kind, *cells in verdict_rows()}
    assert list(rows) == [*EFFECTS, *ROW_KINDS]
    assert all(cell and "{" not in cell for cells in rows.values() for cell in cells)
    assert rows["forbidden"][1:] == ["stays open", "–", "drains and stops when a canary is refused too, exit 4", "–"]
    assert "exit 5" in rows["quota_exhausted"][3]
    assert rows["bad_row"][1:] == ["failed", "–", "continues", "–"]
    assert (rows["refused"][-1], rows["timeout"][-1]) == ("asked", "–")
