"""What an answer is charged: by the endpoint that gave it."""

from typing import Any

from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Input, Job, Model, Price
from batchrun.results.prices import has_price, price_entries, prices_at

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
    shown = [(each["model"], each["endpoint"], each["input_usd_per_mtok"]) for each in price_entries(several, "mn")]
    assert shown == [("m", "east", 1), ("n", "east", 1), ("n", "west", 2)]
    assert (has_price(several, "m"), has_price(several, "n")) == (False, True)
    single = job(prices={"m": JOBS, "n": OWN}, endpoint=Endpoint(**LOCAL))
    assert [("endpoint" in each, each["input_usd_per_mtok"]) for each in price_entries(single, "mn")] == [
        (False, 2),
        (False, 1),
    ]
    assert has_price(single, "m")


def test_without_a_job_no_price_is_known() -> None:
    assert prices_at(None)("", "m") is None
