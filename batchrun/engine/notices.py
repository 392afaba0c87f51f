"""Tells people about a run by Apprise. A notice that cannot be sent costs nothing but the notice."""

import asyncio
import os
import platform
import re
import threading
import time
from collections.abc import Callable
from typing import Any

from batchrun.errors import BatchrunError, JobError
from batchrun.job.sections import Job
from batchrun.records import Figures
from batchrun.report.bar import Progress, Wrapped
from batchrun.report.notice import Notice, ended_notice, failed_notice, paused_notice
from batchrun.results.summary import Summary

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
"""Form of the name of an environment variable. Source: POSIX, 8.1."""

_PATIENCE_S = 30.0
"""How long the end of a run waits for its notice to be sent."""


class Notices:
    """The notices of one execution."""

    def __init__(self, job: Job, say: Callable[[str], None]) -> None:
        """Load Apprise and read the URLs, so that a mistake shows before anything is sent.

        Args:
            job: with `notify.url_env`.
            say: prints a line.

        Raises:
            JobError: Apprise is missing, a variable is not set, or holds no URL that Apprise knows.
        """
        self._job, self._say = job, say
        self._services = _services(job.notify.url_env)
        self._place = f"{platform.node()}:{job.run_directory.absolute()}"
        self._sent_ms: int | None = None  # of the pause that a notice was sent of

    def watched(self, progress: Progress) -> Progress:
        """Return what shows the progress as before, and sends a notice when a pause is long."""
        return _Watched(progress, self._look)

    async def ended(self, summary: Summary) -> None:
        """Send the notice that the run has ended."""
        await self._send_last(ended_notice(self._job.name, summary, self._place))

    async def failed(self, problem: BatchrunError) -> None:
        """Send the notice that the run could not start, or not continue."""
        await self._send_last(failed_notice(self._job.name, str(problem), self._place))

    def _look(self, figures: Figures) -> None:
        since_ms = figures.paused_since_ms
        if since_ms is None or figures.pause is None or since_ms == self._sent_ms:
            return
        paused_s = time.time() - since_ms / 1000
        if paused_s >= self._job.notify.after_pause_s:
            self._sent_ms = since_ms
            self._send(paused_notice(self._job.name, figures.pause, paused_s, self._place))

    async def _send_last(self, notice: Notice) -> None:
        sending = self._send(notice)
        await asyncio.to_thread(sending.join, _PATIENCE_S)
        if sending.is_alive():
            self._say(f"note: the notice is not sent after {_PATIENCE_S:.0f} s, and is given up")

    def _send(self, notice: Notice) -> threading.Thread:
        """Send a notice in a thread of its own: a service may take its time, and must not hold up the run."""
        thread = threading.Thread(target=self._notify, args=(notice,), name="batchrun-notice", daemon=True)
        thread.start()
        return thread

    def _notify(self, notice: Notice) -> None:
        for variable, service in self._services.items():
            try:
                is_sent = bool(service.notify(title=notice.title, body=notice.body, notify_type=_kind(notice)))
            except Exception:  # noqa: BLE001  # of any of a hundred services
                is_sent = False
            if not is_sent:
                self._say(f'note: the notice was not sent; to see why: apprise -vv -b test "${variable}"')


class _Watched(Wrapped):
    """A progress whose figures somebody else sees too."""

    def __init__(self, progress: Progress, look: Callable[[Figures], None]) -> None:
        super().__init__(progress)
        self._look = look

    def show(self, figures: Figures) -> None:
        super().show(figures)
        self._look(figures)


def _kind(notice: Notice) -> str:
    return "success" if notice.is_good else "warning"


def _services(variables: tuple[str, ...]) -> dict[str, Any]:
    """Return the service of each variable; raises `JobError`, which never holds a URL."""
    try:
        import apprise  # an extra
    except ImportError as problem:
        raise JobError(f"[notify] needs Apprise ({problem}); install it: pip install 'apprise>=1.9'") from problem
    services = {}
    for variable in variables:
        if not _NAME.fullmatch(variable):  # it may be the URL itself
            cure = 'the URL goes into a variable: url_env = "NTFY_URL", and export NTFY_URL=URL'
            raise JobError(f"notify.url_env holds what is not the name of an environment variable; {cure}")
        url = os.environ.get(variable, "").strip()
        if not url:
            raise JobError(f"notify.url_env: {variable} is not set; export {variable}=URL, with the URL of a service")
        services[variable] = apprise.Apprise()
        if not services[variable].add(url):
            known = "see https://github.com/caronc/apprise/wiki"
            raise JobError(f"notify.url_env: {variable} holds no URL of a service that Apprise knows; {known}")
    return services
