"""The connection to a project of Weave, which is made when it is first needed, and what can go wrong with it."""

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
"""How long the SDK may take to send what it holds. Away from its server it would try for ever."""

_SETTINGS: Mapping[str, Any] = {
    "print_call_link": False,
    "log_level": "ERROR",
    "capture_code": False,
    "capture_system_info": False,
    "implicitly_patch_integrations": False,
    "use_server_cache": False,  # it remembers on disk what it sent, and would not send it again to a new server
    "enable_disk_fallback": False,  # it writes what it could not send into the folder that one stands in
    "retry_max_interval": 10.0,
}

Say = Callable[[str], None]


class Session:
    """One publication of a run: the run, what of it is there already, and the SDK."""

    def __init__(self, record: RunRecord, ledger: Ledger, project: str, say: Say) -> None:
        """Import the SDK; connect to nothing yet.

        Raises:
            JobError: it is not installed.
        """
        self.record, self.ledger, self.project, self.say = record, ledger, project, say
        try:
            self._weave: Any = import_module("weave")
        except ImportError as problem:
            raise JobError(
                f"Weave's SDK is missing ({problem}); in the checkout of batchrun: pip install '.[weave]'"
            ) from problem
        self._trouble = _Trouble()
        self.place = f"{self.module('weave.trace.env').weave_trace_server_url()} {project}"
        """Server and project, for the ledger and in the ids of calls."""

    def module(self, name: str) -> Any:
        """Import a module of the SDK."""
        return import_module(name)

    @cached_property
    def client(self) -> Any:
        """The SDK's client. Where all is there already, nobody asks for it, and the server is left alone."""
        self.say(f"weave: asking for {self.project}")  # which takes a minute where the server does not answer
        return _connected(self._weave, self.project)

    @property
    def project_id(self) -> str:
        """TEAM/PROJECT as the server has it, which may not be as it was typed."""
        return str(self.client.project_id)

    @property
    def weave(self) -> Any:
        """The SDK, connected: what it publishes goes to the project."""
        _ = self.client
        return self._weave

    def publish(self, what: Any) -> str:
        """Publish an object; return its name once it is there."""
        return str(self.weave.publish(what).uri)  # asks for its digest, which the server says

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Raise what the SDK only logs, when it is flushed and at the end."""
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
            said = self._trouble.first[:500]
            raise PublishError(f"weave: {self.project}: {said}; the run is as it was; publish it again")

    def flush(self) -> None:
        """Have the SDK send what it holds. It waits for a server that is away, so it is waited for no longer."""
        thread = Thread(target=self.client.flush, daemon=True)
        thread.start()
        thread.join(_FLUSH_S)
        if thread.is_alive():
            raise PublishError(f"weave: {self.project}: the server takes nothing; publish the run again")
        self._check()


def _connected(weave: Any, project: str) -> Any:
    """Return the SDK's client of a project, which is made where it is not there yet."""
    with suppress(ImportError):  # another version of the SDK, which may not ask
        # The SDK asks pypi.org whether it is the newest; what is published is nobody else's business.
        greeting: Any = import_module("weave.trace.init_message")
        greeting._print_version_check = lambda: None
    client = weave.init(project, settings=dict(_SETTINGS))
    if client.entity == "DISABLED":
        raise PublishError(
            f"weave: {project}: the SDK is disabled, or the server wants another version of it; see WEAVE_DISABLED, and"
            " in the checkout of batchrun: pip install --upgrade '.[weave]'"
        )
    return client


class _Trouble(logging.Handler):
    """Hears what the SDK only logs: what it could not send."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.first: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or record.getMessage()
