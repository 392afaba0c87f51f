"""The process that publishes a run from its run directory. `worker` starts it.

The SDKs start threads and processes, hook into Python's exit, and wait for servers that are away. In a separate
process, whatever happens there affects the publishing and nothing else.
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
    "WANDB_ERROR_REPORTING": "false",  # otherwise both SDKs report their errors to a third party
    "WANDB_SILENT": "true",
}

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What to publish, and where."""

    directory: Path
    """The run directory."""
    weave: str | None = None
    """TEAM/PROJECT."""
    wandb: str | None = None
    """TEAM/PROJECT."""
    sample: int | None = None
    """How many input rows to publish to Weave, with all their answers; None: all."""
    is_live: bool = False
    """The run has not ended: follow it until a line on standard input reports its end. Only for `wandb`."""


def publish(publication: Publication, say: Say, has_ended: Callable[[float], bool] | None = None) -> None:
    """Publish a run. Nothing is published twice.

    Args:
        publication: what and where.
        say: gets messages about the progress.
        has_ended: for a run that has not ended: waits that many seconds for its end, and returns whether it came.

    Raises:
        EndpointRefused: there is no key, or W&B refuses it.
        JobError: an SDK is not installed, or its settings would expose the key.
        PublishError: the system is away, or refuses the data.
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
    """Set the variables that the SDKs read: server, key, and folders for their own files.

    Raises:
        EndpointRefused: there is no key.
        JobError: the key would travel unencrypted.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    server = wandb_server()
    os.environ.update(
        WANDB_BASE_URL=server,  # otherwise the SDKs may use another server than the key belongs to
        WANDB_CACHE_DIR=tempfile.gettempdir(),
        WANDB_DATA_DIR=str(publication.directory.absolute() / "wandb"),  # for `wandb sync`; not in HOME
    )
    if publication.weave is not None or not wandb.is_offline():
        os.environ["WANDB_API_KEY"] = find_wandb_key(server).reveal()  # Weave's SDK searches fewer places
    if publication.weave is not None and (traces := os.environ.get("WF_TRACE_SERVER_URL")):
        check_encrypted("WF_TRACE_SERVER_URL", traces)


def main() -> NoReturn:
    """Publish what the first argument describes in JSON, report on standard output, and exit with the exit code.

    Each line is JSON: `["message", text]`, and after an error `["failed", text]`. The SDKs may print other lines.
    """
    given = orjson.loads(sys.argv[1])
    publication = Publication(**(given | {"directory": Path(given["directory"])}))
    code = 0
    ended = _listen(is_live=publication.is_live)
    try:
        publish(publication, lambda line: _send("message", line), ended.wait if publication.is_live else None)
    except BatchrunError as problem:
        _send("failed", str(problem))
        code = problem.exit_code
    except Exception as problem:  # noqa: BLE001  # the outermost place of this process
        _send("failed", f"unexpected error: {type(problem).__name__}: {problem}; the run itself is not affected")
        code = PublishError.exit_code
    os._exit(code)  # the SDKs' exit hooks may hang; all data has been flushed


def _send(kind: str, text: str) -> None:
    with suppress(OSError):  # the followed run is gone; its results are published anyway
        os.write(1, orjson.dumps([kind, hide_keys(text)]) + b"\n")


def _listen(*, is_live: bool) -> threading.Event:
    """Return an event that is set when the run has ended: by a line on standard input, or by its end.

    Where no run is followed, the end of standard input means that the caller is gone, and ends this process.
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
