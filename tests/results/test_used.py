"""What a run has used: what answers stated, and what stays set aside."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Fact
from batchrun.checkpoint.in_flight import Journal
from batchrun.endpoint.pool.budget import Amount
from batchrun.job.sections import Input, Job, Model, Price
from batchrun.job.serialization import job_to_dict
from batchrun.records import AnswerSource, ModelTotals
from batchrun.results.used import used_in

TOTALS = {AnswerSource("m"): ModelTotals(requests=1, completed=1, prompt_tokens=1_000_000, total_tokens=1_000_000)}


class Kept:
    """A checkpoint with some facts, next to a note."""

    def __init__(self, directory: Path, noted_usd: float, **known: Any) -> None:
        self.path = directory / "checkpoint.sqlite"
        self._known = known
        with closing(Journal(directory)) as journal:
            journal.note(1, noted_usd, 1_000_000)

    def fact(self, fact: Fact[Any]) -> Any:
        return self._known.get(fact.name)


def job_at(usd_per_mtok: float) -> Job:
    prices = {"m": Price(input_usd_per_mtok=usd_per_mtok, output_usd_per_mtok=0.0)}
    return Job(input=Input(path=("in.jsonl",)), model=Model(names=("m",)), prices=prices)


@pytest.mark.parametrize(("noted_usd", "set_aside_usd"), [(4.0, 0.0), (4.5, 0.5)])
@pytest.mark.parametrize("usd_per_mtok", [1.0, 4.0, 9.0])
def test_a_corrected_price_changes_what_was_spent_not_what_is_set_aside(
    tmp_path: Path, usd_per_mtok: float, noted_usd: float, set_aside_usd: float
) -> None:
    """The note was made at the price of 4 USD."""
    kept = Kept(tmp_path, noted_usd, **{facts.JOB.name: job_to_dict(job_at(4.0))})
    used = used_in(kept, job_at(usd_per_mtok), TOTALS)
    assert (used.spent.usd, used.set_aside) == (usd_per_mtok, Amount(set_aside_usd, 0))


@pytest.mark.parametrize("recorded", [None, {"name": "job", "later": 1}])
def test_a_note_whose_job_cannot_be_read_is_compared_at_the_prices_of_now(
    tmp_path: Path, recorded: dict[str, Any] | None
) -> None:
    """So no less is set aside than the note says."""
    kept = Kept(tmp_path, 4.0, **{facts.JOB.name: recorded})
    assert used_in(kept, job_at(1.0), TOTALS).set_aside.usd == 3.0


def test_what_is_left_of_rounding_is_not_set_aside(tmp_path: Path) -> None:
    """Sums of money in another order differ in the last digits."""
    kept = Kept(tmp_path, 4.0 + 1e-15, **{facts.SET_ASIDE_USD.name: 1e-16})
    assert used_in(kept, job_at(4.0), TOTALS).set_aside.usd == 0.0
