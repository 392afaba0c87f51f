"""The makers of requests for the rows that name another kind than the job's. Pure."""

from batchrun.errors import JobError
from batchrun.job.sections import Job
from batchrun.prompts.other_keys import OtherKeys
from batchrun.prompts.request import RequestMaker
from batchrun.prompts.values import RowProblem
from batchrun.records import Prompt, RequestKind


class OtherMakers:
    """One maker for each kind, made when the first row of the kind is read."""

    def __init__(self, job: Job) -> None:
        """Begin without a maker."""
        self._job = job
        self._makers: dict[RequestKind, RequestMaker] = {}
        self.kinds: dict[str, RequestKind] = {}
        """Models → the kind that their last row named."""
        self._other_keys: OtherKeys | None = None

    def list_other_keys(self, others: OtherKeys | None) -> None:
        """Have the makers note the keys of requests under other names of their models; None: no longer."""
        self._other_keys = others
        for maker in self._makers.values():
            maker.other_keys = others

    def of(self, prompt: Prompt) -> RequestMaker:
        """Return the maker for a prompt; raises `RowProblem` where the job cannot ask this kind."""
        try:
            maker = self.maker(prompt.kind)
        except JobError as problem:
            raise RowProblem(str(problem)) from problem
        for model in self._job.models or (prompt.body.get("model"),):
            if isinstance(model, str):
                self.kinds[model] = prompt.kind
        return maker

    def maker(self, kind: RequestKind) -> RequestMaker:
        """Return the maker of a kind; raises `JobError` where the job cannot ask it."""
        maker = self._makers.get(kind)
        if maker is None:
            maker = self._makers[kind] = RequestMaker(self._job, kind)
            maker.other_keys = self._other_keys
        return maker
