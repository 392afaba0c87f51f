"""What the name of an endpoint has meant in a run: which base URL, and by which names it knows the models of the job.

Answers are stored under the name of their endpoint. When a later job gives this name to another place, the two must
stay apart: each has its own price, and its answers can be reused only there. So the places of a name are numbered in
the order in which they came, and what a later one answers is stored with its number: `a`, then `a [2]`. People are
shown the name alone. Runs of older versions did not number them: where such a name has had several places, nobody knows
which one has answered, and the first number stands for all of them.
"""

from collections.abc import Mapping
from typing import Any

from batchrun.checkpoint import facts
from batchrun.checkpoint.facts import Known
from batchrun.job.endpoint import Endpoint
from batchrun.job.sections import Job
from batchrun.records import named_endpoint, numbered_endpoint, place_number
from batchrun.results.endpoints import is_same_endpoint, named_endpoints

Meanings = Mapping[str, list[list[Any] | None]]
"""By name of an endpoint, each place that it has stood for: base URL, and the models that have another name there; None
for one of several."""

NO_MEANINGS: Meanings = {}


def meanings_of(recorded: Known) -> Meanings:
    """Return the places of all names; none where the simulator answers, which has no address."""
    if recorded.fact(facts.SIMULATED):
        return NO_MEANINGS
    if (noted := recorded.fact(facts.MEANT)) is not None:
        return noted
    found: dict[str, list[list[Any] | None]] = {}
    for name, places in named_endpoints(recorded).items():
        known = [[url or "", _other_names(models)] for url, models in places]
        if known:
            found[name] = [known[0]] if all(_is_same(known[0], each) for each in known) else [None]
    return found


def with_job(meanings: Meanings, job: Job) -> dict[str, list[list[Any] | None]]:
    """Return the places with those of a job added."""
    found = {name: list(places) for name, places in meanings.items()}
    for name, endpoint in job.endpoints.items():
        places = found.setdefault(name, [])
        if not any(_stands_for(place, endpoint) for place in places):
            places.append([endpoint.base_url, _other_names(endpoint.models)])
    return found


def stored_names(meanings: Meanings, job: Job) -> dict[str, str]:
    """Return by name of an endpoint of a job the name that its answers are stored under, where it is another one."""
    names = {}
    for name, endpoint in job.endpoints.items():
        places = meanings.get(name, [])
        number = next((at for at, place in enumerate(places, 1) if _stands_for(place, endpoint)), 1)
        if number > 1:
            names[name] = numbered_endpoint(name, number)
    return names


def is_now(meanings: Meanings, endpoint: str, job: Job) -> bool:
    """Return whether what is stored under a name comes from the endpoint that a job calls so, as far as is known."""
    its = job.endpoints.get(named_endpoint(endpoint))
    if its is None:
        return False
    places = meanings.get(named_endpoint(endpoint), [])[place_number(endpoint) - 1 :]
    return not places or places[0] is None or _stands_for(places[0], its)


def place_of(meanings: Meanings, endpoint: str) -> tuple[str, Mapping[str, str]] | None:
    """Return the base URL that a stored name stands for, and the models that have another name there; or None.

    None: it is not known, or it is one of several.
    """
    places = meanings.get(named_endpoint(endpoint), [])[place_number(endpoint) - 1 :]
    return None if not places or places[0] is None else (places[0][0], places[0][1])


def _stands_for(place: list[Any] | None, endpoint: Endpoint) -> bool:
    return place is not None and _is_same(place, [endpoint.base_url, _other_names(endpoint.models)])


def _is_same(one: list[Any], other: list[Any]) -> bool:
    return is_same_endpoint(one[0], other[0]) and one[1] == other[1]


def _other_names(models: Mapping[str, str] | None) -> dict[str, str]:
    return {name: there for name, there in (models or {}).items() if there != name}
