"""Shows a run in W&B Weave: requests as traced calls, dataset and results, an evaluation a model, a leaderboard."""

from batchrun.publish.errors import translated
from batchrun.publish.ledger import Ledger
from batchrun.publish.record import RunRecord
from batchrun.publish.weave.calls import Calls
from batchrun.publish.weave.evaluations import Evaluations
from batchrun.publish.weave.session import Say, Session


def publish(record: RunRecord, ledger: Ledger, project: str, say: Say) -> None:
    """Show a run in a project; what is there already is not sent again.

    Args:
        record: the run.
        ledger: what of it has been published.
        project: TEAM/PROJECT.
        say: told what was done, and how it goes on, at least every few seconds while the server answers.

    Raises:
        EndpointRefused: the key is not taken, or may not write there.
        JobError: the SDK is not installed.
        PublishError: the server is away, or refuses it, or calls had to be left out; the others are there by then.
    """
    with translated("weave", project):
        session = Session(record, ledger, project, say)
        calls = Calls(session)
        calls.send()
        if record.is_whole:
            Evaluations(session, calls.ids).send()
        else:
            say("weave: the run is not complete; its evaluations follow when it is published again")
        calls.check()
