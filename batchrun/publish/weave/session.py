"""The connection to a project of Weave: made on first use; errors that the SDK only logs are raised."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib import import_module
from threading import Thread
from typing import Any

from batchrun.errors import JobError, PublishError
from batchrun.publish.ledger import Ledger
from batchrun.publish.record import RunRecord

_FLUSH_S = 300.0
"""How long the SDK may take to flush. Without its server it would try forever."""

_SETTINGS: Mapping[str, Any] = {
    "print_call_link": False,
    "log_level": "ERROR",
    "capture_code": False,
    "capture_system_info": False,
    "implicitly_patch_integrations": False,
    "use_server_cache": False,  # it remembers on disk what it sent, and would send nothing to a new server
    "enable_disk_fallback": False,  # it writes unsent data into the current directory
    "retry_max_interval": 10.0,
}

Say = Callable[[str], None]


class Session:
    """One publication of a run: its record, its ledger and the SDK."""

    def __init__(self, record: RunRecord, ledger: Ledger, project: str, say: Say) -> None:
        """Import the SDK. Does not connect yet.

        Raises:
            JobError: the SDK is not installed.
        """
        self.record, self.ledger, self.project, self.say = record, ledger, project, say
        try:
            self._weave: Any = import_module("weave")
        except ImportError as problem:
            raise JobError(
                f"Weave's SDK is missing ({problem}); install it: pip install 'weave>=0.54,<0.55'"
            ) from problem
        self._trouble = _Trouble()
        self.place = f"{self.module('weave.trace.env').weave_trace_server_url()} {project}"
        """Server and project, for the ledger and in the ids of calls."""

    def module(self, name: str) -> Any:
        """Import a module of the SDK."""
        return import_module(name)

    @cached_property
    def client(self) -> Any:
        """The SDK's client. Not used, so that the server is not contacted, where everything is published already."""
        self.say(f"weave: connecting to {self.project}")  # takes a minute where the server does not answer
        return _connected(self._weave, self.project)

    @property
    def project_id(self) -> str:
        """TEAM/PROJECT as the server spells it, which may differ from what the user typed."""
        return str(self.client.project_id)

    @property
    def weave(self) -> Any:
        """The SDK, connected to the project."""
        _ = self.client
        return self._weave

    def publish(self, what: Any) -> str:
        """Publish an object; return its name once it is stored."""
        return str(self.weave.publish(what).uri)  # waits for the digest from the server

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Raise errors that the SDK only logs, at each flush and at the end."""
        logger = logging.getLogger("weave")
        self._trouble = _Trouble()
        logger.addHandler(self._trouble)
        try:
            yield
        finally:
            logger.removeHandler(self._trouble)
        self._check()

    def _check(self) -> None:
        if self._trouble.first is not None:
            message = self._trouble.first[:500]
            raise PublishError(f"weave: {self.project}: {message}; the run itself is not affected; publish it again")

    def flush(self) -> None:
        """Flush the SDK, with a time limit: it waits forever for a server that is away."""
        thread = Thread(target=self.client.flush, daemon=True)
        thread.start()
        thread.join(_FLUSH_S)
        if thread.is_alive():
            raise PublishError(f"weave: {self.project}: no answer within {_FLUSH_S:.0f} s; publish the run again later")
        self._check()


def _connected(weave: Any, project: str) -> Any:
    """Return the SDK's client of a project. Creates a project that does not exist."""
    with suppress(ImportError):  # another version of the SDK, which may not check
        # The SDK asks pypi.org for a newer version. Publishing should contact W&B only.
        greeting: Any = import_module("weave.trace.init_message")
        greeting._print_version_check = lambda: None
    client = weave.init(project, settings=dict(_SETTINGS))
    if client.entity == "DISABLED":
        raise PublishError(
            f"weave: {project}: the SDK is disabled, or the server requires another version; unset WEAVE_DISABLED, or"
            " run: pip install --upgrade 'weave>=0.54,<0.55'"
        )
    return client


class _Trouble(logging.Handler):
    """Collects the errors that the SDK only logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.first: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or record.getMessage()
