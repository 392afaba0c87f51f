"""Row → its requests, or why it can have none; the driver of a cluster leaves this to its workers."""

from collections.abc import Iterator

from batchrun.job.sections import Job
from batchrun.prompts.attachments import attachments_of
from batchrun.prompts.other_keys import OtherKeys
from batchrun.prompts.other_makers import OtherMakers
from batchrun.prompts.request import RequestMaker
from batchrun.prompts.rows import RowForms
from batchrun.prompts.template import TemplateProblem
from batchrun.prompts.values import RowProblem
from batchrun.records import BadRow, Request, Row

Entry = Request | BadRow

_BATCH_BYTES = 1 << 20
"""Bodies in one batch, roughly: long prompts come fewer at a time."""


class Rendering:
    """Makes entries of rows, as a job asks."""

    def __init__(self, job: Job) -> None:
        """Compile the job's templates and parameters.

        Raises:
            JobError: a template does not compile, or a parameter cannot be sent.
        """
        self.forms = RowForms(job)
        self._maker = RequestMaker(job)
        self._kind = self._maker.kind
        self.makers = OtherMakers(job)
        """The makers of requests of other kinds than the job's."""
        self.attachments = attachments_of(job.prompt)
        """Find the files of rows."""

    def list_other_keys(self, others: OtherKeys | None) -> None:
        """Have the keys of requests noted under other names of their models too; None: no longer."""
        self._maker.other_keys = others
        self.makers.list_other_keys(others)

    def entries(self, row: Row) -> list[Request] | list[BadRow]:
        """Return the requests of a row, or why it has none: as many, models × samples in both cases."""
        try:
            prompt = self.forms.prompt(row)
            for each in self.attachments:
                prompt = each.added(prompt, row)
            return (self._maker if prompt.kind == self._kind else self.makers.of(prompt)).requests(prompt)
        except (RowProblem, TemplateProblem) as problem:
            reason = row.problem or str(problem)
        except RecursionError:
            reason = "is nested too deeply"
        return list(self._maker.bad_rows(row, self.forms.label_of(row), reason))

    def batches(self, rows: list[Row]) -> Iterator[list[Entry]]:
        """Yield the entries of rows, in order."""
        batch: list[Entry] = []
        size_bytes = 0
        for row in rows:
            entries = self.entries(row)
            batch += entries
            for entry in entries:
                if isinstance(entry, Request):
                    size_bytes += len(entry.body)
            if size_bytes >= _BATCH_BYTES:
                yield batch
                batch, size_bytes = [], 0
        if batch:
            yield batch

    def problem(self, row: Row) -> str | None:
        """Return why a row can have no requests; None where it can."""
        entry = self.entries(row)[0]
        return entry.message if isinstance(entry, BadRow) else None
