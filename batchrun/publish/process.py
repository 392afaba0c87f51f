"""The process that publishes a run, from its directory to the systems that it is to be seen in: see `publishing`.

Their SDKs start threads and processes, hook into Python's exit, and wait for servers that are away. None of that is in
the run's process, so that whatever happens there costs the publishing and nothing else.
"""

import os
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import orjson

from batchrun.endpoint.key import check_encrypted, find_wandb_key, hide_keys, wandb_server
from batchrun.errors import BatchrunError, PublishError
from batchrun.publish import wandb, weave
from batchrun.publish.ledger import Ledger, alone
from batchrun.publish.record import RunRecord
from batchrun.results.export import export
from batchrun.results.state import is_fresh

_ENVIRONMENT = {
    "WANDB_ERROR_REPORTING": "false",  # else both SDKs report their errors to a service of somebody else's
    "WANDB_SILENT": "true",
}

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
        EndpointRefused: there is no key, or it is not taken.
        JobError: an SDK is not installed, or its settings would give the key away.
        PublishError: the system is away, or refuses it.
        RunDirectoryError: the run cannot be read, or another process publishes it.
    """
    directory = publication.directory
    _prepare_environment(publication)
    if has_ended is None and not is_fresh(directory):
        for notice in export(directory).notices:
            say(f"note: {notice}")
    with Ledger(directory) as ledger:
        if publication.wandb is not None and has_ended is not None:
            with alone(directory, "wandb", has_ended):
                wandb.follow(directory, ledger, publication.wandb, has_ended, say)
        elif publication.wandb is not None:
            with alone(directory, "wandb"), RunRecord(directory) as record:
                wandb.publish(record, ledger, publication.wandb, say)
        if publication.weave is not None:
            with alone(directory, "weave"), RunRecord(directory, publication.sample) as record:
                weave.publish(record, ledger, publication.weave, say)


def _prepare_environment(publication: Publication) -> None:
    """Set what the SDKs read: where to go, with which key, and where their own files may lie.

    Raises:
        EndpointRefused: there is no key.
        JobError: others could read the key on its way.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    server = wandb_server()
    os.environ.update(
        WANDB_BASE_URL=server,  # else the SDKs may find another one than the key is for
        WANDB_CACHE_DIR=tempfile.gettempdir(),
        WANDB_DATA_DIR=str(publication.directory.absolute() / "wandb"),  # what `wandb sync` will want, not in HOME
    )
    if publication.weave is not None or not wandb.is_offline():
        os.environ["WANDB_API_KEY"] = find_wandb_key(server).reveal()  # Weave's SDK looks for it in fewer places
    if publication.weave is not None and (traces := os.environ.get("WF_TRACE_SERVER_URL")):
        check_encrypted("WF_TRACE_SERVER_URL", traces)


def main() -> NoReturn:
    """Publish what the first argument says, as JSON; say on standard output what is done; end with the exit code.

    Each line is JSON: `["said", text]`, or at the end `["failed", text]`. Whatever else stands there is the SDKs'.
    """
    publication = Publication(**{**(said := orjson.loads(sys.argv[1])), "directory": Path(said["directory"])})
    code = 0
    ended = _listen(is_live=publication.is_live)
    try:
        publish(publication, lambda line: _tell("said", line), ended.wait if publication.is_live else None)
    except BatchrunError as problem:
        _tell("failed", str(problem))
        code = problem.exit_code
    except Exception as problem:  # noqa: BLE001  # the outermost place of this process
        _tell("failed", f"publishing failed: {type(problem).__name__}: {problem}; the run is as it was")
        code = PublishError.exit_code
    os._exit(code)  # what the SDKs do as Python ends may take for ever; what they were given has been flushed


def _tell(kind: str, text: str) -> None:
    with suppress(OSError):  # the run that was followed is gone: what it left is published all the same
        os.write(1, orjson.dumps([kind, hide_keys(text)]) + b"\n")


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
