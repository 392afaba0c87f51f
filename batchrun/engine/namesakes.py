"""Which answers of another run count for which models of a job: those of the same model at the same endpoint.

Jobs name models and endpoints as they like. What stands behind the names is compared: the base URL, and the model's
name there. Models of the job for which the same answers count are one group: each answer is taken for one of them.
"""

from collections.abc import Callable, Iterable, Mapping

from batchrun.checkpoint.facts import Known
from batchrun.job.sections import Job
from batchrun.records import AnswerSource, named_endpoint
from batchrun.results.endpoints import had, is_among, is_same_endpoint, named_endpoints
from batchrun.results.meanings import meanings_of, place_of

EndpointOf = Callable[[str, AnswerSource], str | None]
"""The endpoint of a job at which its model, named first, would get the answers of a source; None: at none."""


def endpoints_of(other: Known, job: Job, *, simulated: bool) -> EndpointOf:
    """Return what tells the endpoint of a job that has the same base URL and model as the source of an answer."""
    named, meanings = named_endpoints(other), meanings_of(other)

    def endpoint_of(model: str, source: AnswerSource) -> str | None:
        if simulated:
            return _simulated(job, model, source)
        answering = job.fallbacks.get(model) if source.answered_by else model
        if answering is None or (source.answered_by and model != source.model and not may_be_same(model, source)):
            return None  # another model, which this job would not ask
        place = place_of(meanings, source.endpoint)
        theirs = (
            had(named, named_endpoint(source.endpoint), source.answering_model)
            if place is None
            else [(place[0], place[1].get(source.answering_model, source.answering_model))]
        )
        for name, here in job.serving(answering).items():
            url = job.endpoints[name].base_url
            if theirs and all(there == here and is_same_endpoint(its, url) for its, there in theirs):
                return name
        return None

    def may_be_same(model: str, source: AnswerSource) -> bool:
        """Return whether the model that a fallback stood in for was asked where this job asks `model`."""
        theirs = [each for name in named for each in had(named, name, source.model)]
        return any(
            there == here and is_same_endpoint(its, job.endpoints[name].base_url)
            for name, here in job.serving(model).items()
            for its, there in theirs
        )

    return endpoint_of


def unclear_endpoints(other: Known, job: Job, sources: Iterable[AnswerSource]) -> list[str]:
    """Return the endpoints whose answers nobody can place, although one of their base URLs is an endpoint of a job.

    Older versions did not note which of the base URLs that a name has had gave an answer. The name of an only endpoint
    is empty.
    """
    named, meanings = named_endpoints(other), meanings_of(other)
    ours = [endpoint.base_url for endpoint in job.endpoints.values()]
    found: dict[str, None] = {}
    for source in sources:
        name = named_endpoint(source.endpoint)
        places = had(named, name, source.answering_model)
        is_unclear = place_of(meanings, source.endpoint) is None and len({*places}) > 1
        if is_unclear and any(is_among(url, ours) for url, _ in places):
            found[name] = None
    return [*found]


def _simulated(job: Job, model: str, source: AnswerSource) -> str | None:
    """Return the endpoint for answers of the simulator, which is asked for models by the names of the job."""
    if model != source.model or (source.answered_by and job.fallbacks.get(model) != source.answered_by):
        return None
    return next(iter(job.serving(source.answering_model)), None)


def possible_models(job: Job, others: Iterable[Known], sources: Iterable[AnswerSource]) -> list[str]:
    """Return the models of a job that answers of other runs may count for; where rows name them, all that may be."""
    if job.models:
        return [*job.models]
    ours = [model for endpoint in job.endpoints.values() for model in endpoint.models or ()]
    theirs = [source.model for source in sources]
    there = [
        name
        for other in others
        for places in named_endpoints(other).values()
        for _, models in places
        for name in (models or {}).values()
    ]
    found = dict.fromkeys([*ours, *theirs, *there])
    return [model for model in found if job.serving(model)]


class Namesakes:
    """The models of a job, and the answers of one run that count for them."""

    def __init__(self, models: Iterable[str], sources: Iterable[AnswerSource], endpoint_of: EndpointOf) -> None:
        """Compare them.

        Args:
            models: of the job.
            sources: of the answers of the run.
            endpoint_of: tells which count.
        """
        members: dict[str, list[str]] = {}
        counting: dict[AnswerSource, str] = {}
        for source in sources:
            ours = [model for model in models if endpoint_of(model, source) is not None]
            for model in ours:
                _join(members, ours[0], model)
            if ours:
                counting[source] = ours[0]
        leaders = {model: group[0] for model, group in members.items()}
        self._groups = {model: number for number, model in enumerate(dict.fromkeys(leaders.values()))}
        self._leaders = leaders
        self._members = members
        self._counting = counting

    def group_of_model(self, model: str) -> int | None:
        """Return the group of a model of the job; None where no answer counts for it."""
        leader = self._leaders.get(model)
        return None if leader is None else self._groups[leader]

    def group_of(self, source: AnswerSource) -> int | None:
        """Return the group of the models that the answers of a source count for; None: for none."""
        ours = self._counting.get(source)
        return None if ours is None else self.group_of_model(ours)

    def ranked(self, models: Mapping[int, str]) -> list[tuple[int, int, int]]:
        """Return number, group and rank in the group, from 1, of each of these models that answers count for."""
        return [
            (number, self._groups[self._leaders[model]], self._members[model].index(model) + 1)
            for number, model in models.items()
            if model in self._leaders
        ]

    def names(self) -> dict[str, set[str]]:
        """Return by model of the job all names that it and its answers have here, where these are several."""
        found: dict[int, set[str]] = {}
        for model in self._leaders:
            found.setdefault(self._groups[self._leaders[model]], set()).add(model)
        for source, ours in self._counting.items():
            found[self._groups[self._leaders[ours]]].add(source.model)
        return {
            model: names for model, leader in self._leaders.items() if len(names := found[self._groups[leader]]) > 1
        }


def all_names(others: Iterable[Namesakes]) -> dict[str, set[str]]:
    """Return by model of the job all names that it has in any of several runs, where these are several."""
    found: dict[str, set[str]] = {}
    for other in others:
        for model, names in other.names().items():
            found.setdefault(model, set()).update(names)
    return found


def _join(members: dict[str, list[str]], one: str, other: str) -> None:
    """Make the groups of two models one; all members of a group share its list."""
    group, added = members.setdefault(one, [one]), members.setdefault(other, [other])
    if group is not added:
        group += added
        for model in added:
            members[model] = group
