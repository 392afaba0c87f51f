"""`[prices."MODEL"]`: what a model costs, where the job says so."""

from dataclasses import dataclass

from batchrun.job.settings import Section, number, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(Section):
    """`[prices."MODEL"]`: the price of a model; it replaces the built-in price."""

    input_usd_per_mtok: float = setting(0.0, "USD per million prompt tokens", number(at_least=0))
    output_usd_per_mtok: float = setting(0.0, "USD per million completion tokens", number(at_least=0))
    cached_input_usd_per_mtok: float | None = setting(None, "USD per million cached prompt tokens", number(at_least=0))
    batch_factor: float | None = setting(
        None,
        "what a request in a batch costs, as a share of these prices",
        number(at_least=0),
        shown="the provider's, 0.5 for most",
    )
