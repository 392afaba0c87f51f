"""`[notify]`: who hears of the run."""

from dataclasses import InitVar, dataclass

from batchrun.job.field_types import Seconds, Texts
from batchrun.job.settings import Section, alias, duration_s, setting, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(Section):
    """`[notify]`: messages about the run, by mail, Slack, ntfy, a webhook or any other service that Apprise knows."""

    url_env: Texts = setting(
        (), "environment variables that hold Apprise URLs; the URLs themselves are secrets and stay out of files", texts
    )
    after_pause_s: Seconds = setting(
        900.0, "after how long in one pause a message is sent too", duration_s, key="after_pause", shown="15m"
    )
    after_pause: InitVar[float | str | None] = alias("after_pause_s")
