"""What an answer is charged: by the endpoint that gave it."""

import dataclasses
from typing import Any

import orjson

from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Fact
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Model, Price
from batchrun.job.serialization import job_to_dict
from batchrun.records import AnswerSource, ModelTotals
from batchrun.results.prices import has_price, paid_until_now, price_entries, prices_at, prices_in

OWN, JOBS = Price(input_usd_per_mtok=1), Price(input_usd_per_mtok=2)
LOCAL = {"base_url": "http://127.0.0.1:8000/v1"}


def job(**settings: Any) -> Job:
    return Job(input=Input(path=("in.jsonl",)), model=Model(names=("m", "n")), **settings)


def endpoints(**settings: dict[str, Any]) -> dict[str, Endpoint]:
    urls = {name: f"http://127.0.0.1:{port}/v1" for port, name in enumerate(settings, 8000)}
    return {name: Endpoint(base_url=urls[name], **its) for name, its in settings.items()}


def test_an_endpoint_s_own_price_wins_over_that_of_the_job() -> None:
    price = prices_at(job(endpoints=endpoints(east={"prices": {"m": OWN}}, west={}), prices={"m": JOBS}))
    assert [price(endpoint, "m") for endpoint in ("east", "west")] == [OWN, JOBS]
    assert price("west", "n") is None


def test_the_built_in_price_is_that_of_the_model_as_the_endpoint_calls_it() -> None:
    """The job may have another name for it."""
    wandb = Endpoint(models={"m": "openai/gpt-oss-120b", "n": "n"})
    price = prices_at(job(endpoints={"wandb": wandb}))
    assert price("wandb", "m") is not None
    assert price("wandb", "n") is None


def test_answers_from_before_endpoints_had_names_cost_what_all_of_them_ask() -> None:
    """Where they differ, it is not known."""
    same = prices_at(job(endpoints=endpoints(east={"prices": {"m": OWN}}, west={"prices": {"m": OWN}})))
    assert same("", "m") == same("removed", "m") == OWN
    differing = prices_at(job(endpoints=endpoints(east={"prices": {"m": OWN}}, west={"prices": {"m": JOBS}})))
    assert differing("", "m") is None


def test_prices_are_shown_with_their_endpoint_where_there_are_several() -> None:
    several = job(endpoints=endpoints(east={"prices": {"m": OWN, "n": OWN}}, west={}), prices={"n": JOBS})
    shown = [
        (each["model"], each["endpoint"], each["input_usd_per_mtok"])
        for each in price_entries(several, "mn", {}, prices_at(several))
    ]
    assert shown == [("m", "east", 1), ("n", "east", 1), ("n", "west", 2)]
    assert (has_price(several, "m"), has_price(several, "n")) == (False, True)
    single = job(prices={"m": JOBS, "n": OWN}, endpoint=Endpoint(**LOCAL))
    assert [
        ("endpoint" in each, each["input_usd_per_mtok"]) for each in price_entries(single, "mn", {}, prices_at(single))
    ] == [
        (False, 2),
        (False, 1),
    ]
    assert has_price(single, "m")


def test_without_a_job_no_price_is_known() -> None:
    assert prices_at(None)("", "m") is None


class Recorded:
    """Facts of a run directory."""

    def __init__(self, last: Job | None, **known: Any) -> None:
        self.known = known | ({} if last is None else {facts.JOB.name: job_to_dict(last)})

    def fact(self, fact: Fact[Any]) -> Any:
        return self.known.get(fact.name)


PARTS = {AnswerSource("m", "dear"): ModelTotals(attempts=1), AnswerSource("m", "dear (batch)"): ModelTotals(attempts=1)}
DEAR = job(endpoints=endpoints(dear={"prices": {"m": JOBS}}))
CHEAP = job(endpoints=endpoints(cheap={"prices": {"m": OWN}}))


def usd(recorded: Recorded, now: Job | None, endpoint: str, model: str = "m") -> float | None:
    price = prices_in(recorded, now)(endpoint, model)
    return None if price is None else price.input_usd_per_mtok


def test_an_endpoint_that_is_gone_keeps_the_price_at_which_it_was_paid() -> None:
    """Before and after the job without it is noted, and however many jobs follow."""
    assert [usd(Recorded(DEAR), CHEAP, name) for name in ("dear", "dear (batch)", "cheap")] == [2, 1, 1]
    noted = {facts.PRICES.name: orjson.loads(orjson.dumps(paid_until_now(Recorded(DEAR), PARTS)))}
    third = Recorded(CHEAP, **noted)
    assert [usd(third, Job(input=DEAR.input, model=DEAR.model), "dear"), usd(third, None, "dear")] == [2, 2]
    assert paid_until_now(third, PARTS) == noted[facts.PRICES.name]


def test_a_price_that_is_edited_counts_for_all_that_the_endpoint_has_answered() -> None:
    """It is a correction: what was noted before does not count where the job states a price."""
    noted = {facts.PRICES.name: paid_until_now(Recorded(DEAR), PARTS)}
    edited = job(endpoints=endpoints(dear={"prices": {"m": OWN}}))
    assert usd(Recorded(DEAR, **noted), edited, "dear") == 1
    gone = Recorded(edited, **noted)
    assert usd(gone, CHEAP, "dear") == 1
    assert paid_until_now(gone, PARTS)["dear"]["m"]["input_usd_per_mtok"] == 1


def test_a_model_that_is_no_longer_asked_keeps_its_price() -> None:
    """That of a model that is asked is not known where the job states it no more."""
    unpriced, other = job(endpoints=endpoints(dear={})), Job(input=DEAR.input, model=Model(names=("n",)))
    noted = {facts.PRICES.name: paid_until_now(Recorded(DEAR), PARTS)}
    assert usd(Recorded(DEAR), unpriced, "dear") is None
    assert usd(Recorded(other, **noted), dataclasses.replace(other, endpoints=unpriced.endpoints), "dear") == 2


def test_what_is_guessed_is_not_noted() -> None:
    """A price that is stated later would not count."""
    assert usd(Recorded(None), CHEAP, "dear") == 1
    assert paid_until_now(Recorded(CHEAP), PARTS) == {}


def test_prices_of_endpoints_that_are_gone_are_shown_too() -> None:
    shown = price_entries(CHEAP, "m", PARTS, prices_in(Recorded(DEAR), CHEAP))
    assert [(each["endpoint"], each["input_usd_per_mtok"]) for each in shown] == [
        ("cheap", 1),
        ("dear", 2),
        ("dear", 1),
    ]
