"""Publishes a run to W&B Weave: requests as traced calls, dataset, results, one evaluation per model, a leaderboard."""

from batchrun.publish.errors import translated
from batchrun.publish.ledger import Ledger
from batchrun.publish.record import RunRecord
from batchrun.publish.weave.calls import Calls
from batchrun.publish.weave.evaluations import Evaluations
from batchrun.publish.weave.session import Say, Session


def publish(record: RunRecord, ledger: Ledger, project: str, say: Say) -> None:
    """Publish a run to a project. Nothing is sent twice.

    Args:
        record: the run.
        ledger: what has been published already.
        project: TEAM/PROJECT.
        say: gets messages about the progress, at least every few seconds while the server answers.

    Raises:
        EndpointRefused: the key is refused, or may not write there.
        JobError: the SDK is not installed.
        PublishError: the server is away or refuses the data, or some calls were left out; the others are published.
    """
    with translated("weave", project):
        session = Session(record, ledger, project, say)
        calls = Calls(session)
        calls.send()
        if record.is_whole:
            Evaluations(session, calls.ids).send()
        else:
            say("weave: the run is not complete; publish it again when it is, for its evaluations")
        calls.check()
