"""From a run directory to the systems that it is to be seen in. Runs in a process of its own: see `dispatch`.

Their SDKs start threads and processes, hook into Python's exit, and wait for servers that are away. None of that is in
the run's process, so that whatever happens there costs the publishing and nothing else.
"""

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import orjson

from batchrun.credentials import find_key, hide_keys
from batchrun.errors import BatchrunError, EndpointRefused, PublishError
from batchrun.export import export
from batchrun.integrations.ledger import Ledger
from batchrun.integrations.record import RunRecord
from batchrun.job import Endpoint
from batchrun.reporting import is_fresh

_KEY = "WANDB_API_KEY"

_ENVIRONMENT = {
    "WANDB_ERROR_REPORTING": "false",  # else both SDKs report their errors to a service of somebody else's
    "WANDB_SILENT": "true",
}

_OFFLINE = ("offline", "dryrun", "disabled")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What is to be published, and where."""

    directory: Path
    """Of the run."""
    weave: str | None = None
    """TEAM/PROJECT."""
    wandb: str | None = None
    """TEAM/PROJECT."""
    sample: int | None = None
    """How many input rows Weave is shown, with all their answers; all unless given."""
    is_live: bool = False
    """The run goes on until standard input says otherwise; only for `wandb`."""


def publish(publication: Publication, say: Say, has_ended: Callable[[float], bool] | None = None) -> None:
    """Publish a run. What is published already is not published again.

    Args:
        publication: what and where.
        say: told what was done.
        has_ended: of a run that goes on: waits so many seconds for its end, and says whether it has come.

    Raises:
        EndpointRefused: there is no key.
        JobError: an SDK is not installed.
        PublishError: the system is away, or refuses it.
        RunDirectoryError: the run cannot be read.
    """
    directory = publication.directory
    _prepare_environment(needs_key=publication.weave is not None or not _is_offline())
    if has_ended is None and not is_fresh(directory):
        for notice in export(directory).notices:
            say(f"note: {notice}")
    with Ledger(directory) as ledger:
        if publication.wandb is not None:
            from batchrun.integrations import wandb  # only where it is asked for, as is the next

            if has_ended is not None:
                wandb.follow(directory, ledger, publication.wandb, has_ended, say)
            else:
                with RunRecord(directory) as record:
                    wandb.publish(record, ledger, publication.wandb, say)
        if publication.weave is not None:
            from batchrun.integrations import weave

            with RunRecord(directory, publication.sample) as record:
                weave.publish(record, ledger, publication.weave, say)


def _is_offline() -> bool:
    return os.environ.get("WANDB_MODE", "") in _OFFLINE


def _prepare_environment(*, needs_key: bool) -> None:
    """Set what the SDKs read as they are imported; hand them the key, which Weave's looks for in fewer places."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not needs_key:
        return
    try:
        key = find_key(Endpoint(provider="wandb"))
    except EndpointRefused as problem:
        cure = f"export {_KEY}=…, which wandb.ai/settings shows, and publish the run again"
        raise EndpointRefused(f"no key to publish with: looked in {_KEY} and ~/.netrc; {cure}") from problem
    assert key is not None  # it never is for W&B, which is not on this machine
    os.environ[_KEY] = key.reveal()


def main() -> NoReturn:
    """Publish what the first argument says, as JSON; say on standard output what is done; end with the exit code."""
    publication = Publication(**{**(said := orjson.loads(sys.argv[1])), "directory": Path(said["directory"])})
    code = 0
    ended = _listen(is_live=publication.is_live)
    try:
        publish(publication, _say, ended.wait if publication.is_live else None)
    except BatchrunError as problem:
        _say(str(problem))
        code = problem.exit_code
    except Exception as problem:  # noqa: BLE001  # the outermost place of this process
        _say(f"publishing failed: {type(problem).__name__}: {problem}; the run is as it was")
        code = PublishError.exit_code
    sys.stdout.flush()
    os._exit(code)  # what the SDKs do as Python ends may take for ever; what they were given has been flushed


def _say(message: str) -> None:
    print(hide_keys(message), flush=True)  # noqa: T201  # its parent reads it


def _listen(*, is_live: bool) -> threading.Event:
    """Return what is set once the run has ended, as standard input says, or as its end does: then the run is gone.

    Without a run that goes on, the end of standard input is that of whoever wanted this, and of this process too.
    """
    ended = threading.Event()

    def listen() -> None:
        for _ in sys.stdin:
            ended.set()
        ended.set()
        if not is_live:
            os._exit(PublishError.exit_code)

    threading.Thread(target=listen, daemon=True).start()
    return ended


if __name__ == "__main__":
    main()
